"""Static memories (set, not trained) and readouts of their states."""
