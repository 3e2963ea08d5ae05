"""The analytic cycle model: what a kernel costs in compute, communication and memory cycles."""
