"""The command line: reads what the user typed, calls the driver, and shows what came of it.

Each command is one file. Only this package knows click, and every number it prints comes from a record of the compiler
or the runtime. Results go to stdout, progress and errors to stderr; docs/cli.md documents both, and the exit statuses.
"""

from __future__ import annotations

from wsec.cli.application import main

__all__ = ["main"]
