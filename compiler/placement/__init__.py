"""Floorplanning: one shape and one position for each kernel, with a lower bound beside the result."""
