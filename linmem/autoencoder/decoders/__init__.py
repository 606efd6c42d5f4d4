"""Decoders of a linear recurrent state: least squares, and refinements of the decoder or of encoder and decoder."""
