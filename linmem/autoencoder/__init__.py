"""The linear autoencoder for sequences in closed form: history matrix, solvers, decoders, estimator."""
