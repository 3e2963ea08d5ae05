"""Proves the circuits of a plan by docs/fabric.md: what routers hold brings every word where it is needed.

It shares no code with what made the circuits and none with what runs them. What cannot be followed is not judged further:
a circuit with a loose end has no streams, a link without streams delivers nothing.
"""
