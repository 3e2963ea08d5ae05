"""Judges a plan: executes its shards, compares with onnxruntime, estimates its cycles."""
