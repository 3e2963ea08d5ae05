"""Kernels as the compiler sees them: formal arguments, splits, shardings, memory and cycles."""
