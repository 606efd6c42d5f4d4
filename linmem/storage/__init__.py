"""Files: tensors with a JSON description, atomic replacement, locks."""
