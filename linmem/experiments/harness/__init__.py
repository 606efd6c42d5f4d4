"""What all experiments share: records, jobs, targets, and the list of experiments."""
