"""Packings as CP-SAT models."""
