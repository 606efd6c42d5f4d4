"""Linear Memory Networks: memory that is solved, not trained."""

__version__ = "0.1.0"
