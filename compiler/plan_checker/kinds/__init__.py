"""What each kind of kernel expects of its node, derived from docs/kernels.md and the ONNX operator's definition."""
