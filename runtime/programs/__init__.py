"""From a plan to what the fabric simulator runs: routes, core programs, switch turns, filters and memories.

Reads the plan alone. Where words land and who sends them to whom follows docs/fabric.md, and no code is shared with the
compiler that decided it.
"""
