"""Estimators built on the closed form."""
