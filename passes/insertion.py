"""Puts passes of the user's into a pipeline, each where it was asked to stand."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wsec.compiler.errors import WsecError
from wsec.passes.base import Pass
from wsec.passes.registry import not_a_pass

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

LAST = "fuse-elementwise"
"""Groups of operators are made here: what changes the model behind it tears them apart."""

_CLEANED_BY = "eliminate-dead-code"
_ANCHOR = re.compile(r"(?P<name>[\w.:-]+)(?:#(?P<run>[1-9][0-9]{0,3}))?")


@dataclass(frozen=True, slots=True)
class PlacedPass:
    """A pass, and the pass of the pipeline behind or in front of which it runs.

    A pass that runs several times stands for its last run in `after` and for its first in `before`; `fold-constants#2`
    is the second. Without either, the pass runs before the last `eliminate-dead-code`, which tidies up behind it.

    Attributes:
        inserted: The pass.
        after: Name of the pass that it follows.
        before: Name of the pass that it precedes.
    """

    inserted: Pass
    after: str = ""
    before: str = ""


@dataclass(frozen=True, slots=True)
class _Entry:
    """A pass in the pipeline, and the entry behind which it was put; None for the others."""

    current: Pass
    behind: _Entry | None = None


def insert_passes(pipeline: Sequence[Pass], added: Iterable[Pass | PlacedPass]) -> tuple[Pass, ...]:
    """The pipeline with all of `added` in it; those with one place keep their order, and may refer to earlier ones.

    Raises:
        WsecError: WSEC403 something is not a pass, WSEC405 it would run behind the fusion of operators, WSEC410 there is
            no such place.
    """
    for current in pipeline:
        _require_pass(current)
    entries = [_Entry(current) for current in pipeline]
    for item in added:
        placed = item if isinstance(item, PlacedPass) else PlacedPass(item)
        _require_pass(placed.inserted)
        _insert(entries, placed)
    return tuple(entry.current for entry in entries)


def _require_pass(found: object) -> None:
    if not isinstance(found, Pass):
        hint = "call the class: passes=[MyPass()]" if callable(found) else "docs/writing-passes.md says how"
        raise not_a_pass(getattr(found, "__name__", repr(found)), "passes", found, hint)


def _insert(entries: list[_Entry], placed: PlacedPass) -> None:
    if placed.after and placed.before:
        raise _no_place(entries, placed, "one of `after` and `before`", "both")
    if not placed.after:
        entries.insert(_position_before(entries, placed), _Entry(placed.inserted))
        return
    position = _find(entries, placed, placed.after, last=True)
    anchor = entries[position]
    if any(entry.current.name == LAST for entry in entries[: position + 1]):
        raise WsecError(
            "WSEC405",
            f"the pass {placed.inserted.name} must run before {LAST}",
            where=f"{placed.inserted} after {placed.after}",
            expected=f"{placed.inserted.name} before {LAST}, because changes behind it tear fused groups apart",
            found=f"it would run after {anchor.current.name}",
            hint=f"leave the place away, or give it as before {LAST}",
        )
    position += 1
    while position < len(entries) and entries[position].behind is anchor:
        position += 1
    entries.insert(position, _Entry(placed.inserted, anchor))


def _position_before(entries: list[_Entry], placed: PlacedPass) -> int:
    if placed.before:
        return _find(entries, placed, placed.before, last=False)
    for name, last in ((_CLEANED_BY, True), (LAST, False)):
        found = _positions(entries, name)
        if found:
            return found[-1 if last else 0]
    return len(entries)


def _find(entries: list[_Entry], placed: PlacedPass, anchor: str, *, last: bool) -> int:
    match = _ANCHOR.fullmatch(anchor)
    found = [] if match is None else _positions(entries, match["name"])
    if match is None or not found:
        names = ", ".join(dict.fromkeys(entry.current.name for entry in entries))
        raise _no_place(entries, placed, f"one of {names}", anchor)
    if match["run"] is None:
        return found[-1 if last else 0]
    if int(match["run"]) > len(found):
        raise _no_place(entries, placed, f"{match['name']}#1 to {match['name']}#{len(found)}", anchor)
    return found[int(match["run"]) - 1]


def _positions(entries: list[_Entry], name: str) -> list[int]:
    return [index for index, entry in enumerate(entries) if entry.current.name == name]


def _no_place(entries: list[_Entry], placed: PlacedPass, expected: str, found: str) -> WsecError:
    return WsecError(
        "WSEC410",
        f"there is no such place for the pass {placed.inserted.name}",
        where=f"{placed.inserted}, in a pipeline of {len(entries)} passes",
        expected=expected,
        found=found,
        hint="`wsec passes` lists the pipeline; NAME#2 is the second run of a pass",
    )
