"""Packings in columns, for problems of many kernels."""
