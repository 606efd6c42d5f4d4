"""Music: continuation of pieces by trained models, voices, audio, and statistics of real and sampled pieces.

`generate.py` and `harmonize.py` are behind the commands of these names; `continuation.py` samples frame by frame.
"""
