"""Files: tensors with a JSON description, documents, atomic replacement, limits on what is read."""
