"""Measurements of memories and layers: memory capacity, gradient norms, error against memory size, speed."""
