"""Sizes of memory on the command line: `4GB`, `1.5GiB`, or a number of bytes."""

from __future__ import annotations

import re

import click

_UNITS = {
    "": 1,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
    "KIB": 1 << 10,
    "MIB": 1 << 20,
    "GIB": 1 << 30,
    "TIB": 1 << 40,
}


def size(_ctx: click.Context, _parameter: click.Parameter, text: str | None) -> int | None:
    """Bytes out of a number and a unit, in letters of either case; rounded down, None for None."""
    if text is None:
        return None
    found = re.fullmatch(r"([0-9]{1,15}(?:\.[0-9]{1,6})?) ?([KMGT]i?B)?", text, re.IGNORECASE)
    if found is None or (found[2] is None and "." in found[1]):
        raise click.BadParameter(f"{text!r} is no size such as 4GiB, 500MB or a number of bytes")
    whole, _, part = found[1].partition(".")
    unit, scale = _UNITS[(found[2] or "").upper()], int(10 ** len(part))
    return int(whole) * unit + int(part or 0) * unit // scale
