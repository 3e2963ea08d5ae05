"""Kernels that take turns on large rectangles, all weights in place: the way to low latency (docs/modes.md)."""
