"""Continuing pieces of music with a trained model."""
