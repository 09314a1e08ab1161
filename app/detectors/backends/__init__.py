"""Inference backends, one file each: they open the network in an ONNX file as a session."""
