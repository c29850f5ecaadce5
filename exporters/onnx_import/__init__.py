"""ONNX files of others, read."""
