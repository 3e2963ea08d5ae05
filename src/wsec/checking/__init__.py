"""`wsec check`: models compiled, verified and held against limits and a baseline, through a cache (docs/check.md)."""
