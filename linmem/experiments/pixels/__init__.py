"""Sequential and permuted MNIST, pixel by pixel: shared by the experiments `smnist` and `psmnist`."""
