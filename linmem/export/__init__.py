"""Trained models outside Python: ONNX graphs and C files."""
