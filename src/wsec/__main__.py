"""`python -m wsec` is the command `wsec`."""

from __future__ import annotations

from wsec.cli import main

if __name__ == "__main__":
    main()
