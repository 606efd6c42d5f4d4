"""A run is a folder: its options, how it is executed, what it holds; sweeps of many runs."""
