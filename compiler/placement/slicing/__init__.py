"""Slicing floorplans found by dynamic programming and exhaustive search."""
