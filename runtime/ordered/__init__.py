"""Arithmetic in exactly the order of the core programs: numbers that a simulation must give bit for bit.

docs/core-programs.md has the rules. Written apart from the programs, in numpy over all cores at once; only what is summed is
walked one by one.
"""
