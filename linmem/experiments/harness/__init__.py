"""Shared by all experiments: catalogue, records, resumable jobs, training, summaries and targets."""
