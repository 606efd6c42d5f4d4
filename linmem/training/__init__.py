"""Training: tasks, metrics, batches, the training loop, checkpoints, pretraining."""
