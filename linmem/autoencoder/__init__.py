"""The linear autoencoder for sequences in closed form.

`estimator.py` holds `LinearAutoencoder`. A fit goes from `history` (the matrix of all pasts, as an operator) through a
solver of `solvers` (its singular vectors) to `solution.py` (A and B) and a decoder of `decoders` (C). `fitted.py` is
what a fitted autoencoder does: encode, decode, errors; `partial_fit.py` sums chunks of a stream.
"""
