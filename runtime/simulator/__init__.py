"""Simulates the fabric cycle by cycle, with data: routers, colours, queues, ramps, and engines that run core programs.

It knows no cost formula of the compiler, only the machine: what a word does in a router, and what an instruction costs.
"""
