"""Static memories: linear recurrences that are set without training, and readouts of their states."""
