"""The program `wsec`, also as `python -m wsec`: Ctrl-C while it is still being loaded ends it like any other."""

from __future__ import annotations

import sys


def main() -> None:
    """Load the command line and run it."""
    try:
        from wsec.cli import main as run
    except KeyboardInterrupt:
        sys.exit(130)
    run()


if __name__ == "__main__":
    main()
