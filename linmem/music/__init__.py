"""Music: continuation of pieces by trained models, voices, audio, and statistics of real and sampled pieces."""
