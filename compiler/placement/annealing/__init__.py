"""Simulated annealing of slicing trees."""
