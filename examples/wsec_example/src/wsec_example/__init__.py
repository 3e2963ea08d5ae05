"""A package that adds a pass, a kernel and a target to wsec, without a change in wsec."""
