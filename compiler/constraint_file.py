"""Reads what a user demands of a placement from a TOML file; docs/constraints.md describes it.

Everything that is wrong with a file is said at once, each with its line. TOML parsers give no lines: they are found by
looking for the headers of tables and for keys at the beginning of lines, and left out where that is not conclusive.
"""

from __future__ import annotations

import difflib
import json
import re
import tomllib
from typing import TYPE_CHECKING, Final

from wsec.compiler.errors import WsecError
from wsec.compiler.placement import Adjacent, Forbid, Pin, Rectangle, TouchEdge, Within
from wsec.compiler.placement.constraints import SIDES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from wsec.compiler.placement import Constraint

    Table = Mapping[str, object]

_TEXT: Final = "a text that is not empty"
_START: Final = "a whole number of at least 0"
_EXTENT: Final = "a whole number of at least 1"
_PAIR: Final = "two different texts"
_SIDES: Final = f"a list of {', '.join(SIDES)}"
_BOX: Final = {"x": _START, "y": _START, "width": _EXTENT, "height": _EXTENT}
_KEYS: Final[dict[str, dict[str, str]]] = {
    "pin": {"operator": _TEXT, **_BOX},
    "region": {"operator": _TEXT, **_BOX},
    "forbid": _BOX,
    "adjacent": {"operators": _PAIR},
    "edge": {"operator": _TEXT, "sides": _SIDES},
}
_OPTIONAL: Final = {"name": _TEXT}
_HEADER = re.compile(r"""\s*\[\[\s*["']?([\w-]+)["']?\s*\]\]""")
_ENTRY = re.compile(r"""\s*["']?([\w-]+)["']?\s*=""")


def read_constraints(path: Path) -> tuple[Constraint, ...]:
    """The constraints of a file in its order; what they call kernels are operators of the lowered model.

    Raises:
        WsecError: WSEC210 the file cannot be read, or has entries that cannot be used.
    """
    try:
        text = path.read_text(encoding="utf-8")
        data = tomllib.loads(text)
    except (OSError, ValueError, RecursionError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise _unusable(str(path), "a TOML file", reason) from error
    problems = [_unknown(name, _KEYS, _line_of(text, name)) for name in data if name not in _KEYS]
    found: list[tuple[int, Constraint]] = []
    for kind in _KEYS:
        entries = data.get(kind, [])
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            problems.append(f"{_line_of(text, kind)}{kind}: needs tables under [[{kind}]]")
            continue
        lines = _table_lines(text, kind, len(entries))
        for number, (entry, keys) in enumerate(zip(entries, lines, strict=True), 1):
            place = f"line {keys['']}" if "" in keys else f"[[{kind}]] number {number}"
            wrong = list(_problems(kind, entry, keys, place))
            problems += wrong
            if not wrong:
                found.append((keys.get("", 0), _constraint(kind, entry, f"{path.name}, {place}")))
    if problems:
        raise _unusable(str(path), "tables as docs/constraints.md describes them", "\n".join(problems[:20]))
    return tuple(constraint for _, constraint in sorted(found, key=lambda each: each[0]))


def _problems(kind: str, entry: Table, lines: Mapping[str, int], place: str) -> Iterator[str]:
    known = {**_KEYS[kind], **_OPTIONAL}
    for key, value in entry.items():
        where = f"line {lines[key]}: " if key in lines else f"{place}: "
        if key not in known:
            yield _unknown(key, known, where)
        elif not _FITS[known[key]](value):
            yield f"{where}{key} = {_shown(value)}: needs {known[key]}"
    for key in _KEYS[kind]:
        if key not in entry:
            yield f"{place}: {key} is missing in [[{kind}]], needs {known[key]}"


def _unknown(key: str, known: Mapping[str, object], where: str) -> str:
    nearest = difflib.get_close_matches(key, known, n=1)
    meant = f"did you mean {nearest[0]}?" if nearest else f"known are {', '.join(known)}"
    return f"{where}{key}: unknown key, {meant}"


def _constraint(kind: str, entry: Table, origin: str) -> Constraint:
    """A constraint from a table without problems."""
    values: dict[str, object] = dict(entry)
    called = {"name": str(values.get("name", "")), "origin": origin}
    if kind == "adjacent":
        return Adjacent(*values["operators"], **called)  # type: ignore[misc]
    if kind == "edge":
        return TouchEdge(str(values["operator"]), tuple(values["sides"]), **called)  # type: ignore[arg-type]
    box = Rectangle(*(values[key] for key in _BOX))  # type: ignore[arg-type]
    if kind == "forbid":
        return Forbid(box, **called)
    return (Pin if kind == "pin" else Within)(str(values["operator"]), box, **called)


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value)


def _is_pair(value: object) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(map(_is_text, value)) and value[0] != value[1]


def _are_sides(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(side in SIDES for side in value)


_FITS: Final[dict[str, Callable[[object], bool]]] = {
    _TEXT: _is_text,
    _START: lambda value: type(value) is int and value >= 0,
    _EXTENT: lambda value: type(value) is int and value >= 1,
    _PAIR: _is_pair,
    _SIDES: _are_sides,
}


def _shown(value: object) -> str:
    return json.dumps(value, default=str)


def _line_of(text: str, name: str) -> str:
    """`line N: ` of the first line that begins with a key or the header of a table, or nothing."""
    for number, line in enumerate(text.splitlines(), 1):
        match = _HEADER.match(line) or _ENTRY.match(line) or re.match(r"\s*\[\s*([\w-]+)\s*\]", line)
        if match and match[1] == name:
            return f"line {number}: "
    return ""


def _table_lines(text: str, kind: str, count: int) -> list[dict[str, int]]:
    """For each table of a kind the lines of its keys, under "" that of its header; nothing where that is unsure."""
    tables: list[tuple[str, dict[str, int]]] = []
    for number, line in enumerate(text.splitlines(), 1):
        if header := _HEADER.match(line):
            tables.append((header[1], {"": number}))
        elif tables and (entry := _ENTRY.match(line)):
            tables[-1][1].setdefault(entry[1], number)
    found = [lines for name, lines in tables if name == kind]
    return found if len(found) == count else [{} for _ in range(count)]


def _unusable(where: str, expected: str, found: str) -> WsecError:
    return WsecError(
        "WSEC210",
        "the file of constraints cannot be used",
        where=where,
        expected=expected,
        found=found,
        hint="docs/constraints.md describes the file",
    )
