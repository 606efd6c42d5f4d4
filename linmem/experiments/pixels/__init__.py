"""Sequential and permuted MNIST."""
