"""Lines of routers inside a kernel: whether exchanges, reductions and broadcasts go between the cores of docs/fabric.md.

`A` and `B` are the ports to the lower and to the higher neighbour on a line: W and E on a row, N and S on a column.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from wsec.compiler.plan import Collective, Exchange, Kernel
    from wsec.compiler.sharding import MeshAxis

Position = tuple[str, frozenset[str]]
Line = Sequence[tuple[Position, ...]]
"""The positions of each core, none where a router has no setting."""

Fault = tuple[str, str, str]
"""A rule, what it expects, and what is there."""

_TAKES: Final[Position] = ("B", frozenset("R"))
_SENDS: Final[Position] = ("R", frozenset("A"))
_PASSES: Final[Position] = ("B", frozenset("A"))


def axes_along(kernel: Kernel, along: str) -> tuple[MeshAxis, ...]:
    """The axes between whose cores words go along the rows (or columns), the most significant first."""
    side = "columns" if along == "rows" else "rows"
    return tuple(axis for axis in kernel.mesh.axes if axis.side == side)


def segment_of(axes: Sequence[MeshAxis], combined: Sequence[str]) -> int:
    """Cores of a line that are combined with each other, and those between them."""
    outermost = min(number for number, axis in enumerate(axes) if axis.name in combined)
    return math.prod(axis.size for axis in axes[outermost:])


def exchange_faults(line: Line, exchange: Exchange) -> Iterator[Fault]:
    """Each core of a segment in turn sends to all others of it, by rising place."""
    ends = [*range(exchange.offset or exchange.segment, len(line), exchange.segment), len(line)]
    for start, end in zip([0, *ends], ends, strict=False):
        for place in range(start, end):
            wanted = _turns(before=place > start, behind=place < end - 1)
            if tuple(line[place]) != wanted:
                rule = "cores of a segment take turns, by rising place, and all others see what one sends"
                yield rule, f"{shown(wanted)} at place {place} of the line", shown(line[place])
                return


def _turns(*, before: bool, behind: bool) -> tuple[Position, ...]:
    """Of a core of a segment: those before it, itself, those behind it."""
    if not before and not behind:
        return ()
    towards = frozenset("A" * before + "B" * behind)
    found: list[Position] = [("R", towards)]
    if before:
        found.insert(0, ("A", (towards | {"R"}) - {"A"}))
    if behind:
        found.append(("B", (towards | {"R"}) - {"B"}))
    return tuple(found)


def parents(axes: Sequence[MeshAxis], chosen: dict[str, Collective]) -> list[int | None]:
    """For each core of a segment the one that it sends its part to; None for those that keep a result.

    A core sends along the innermost axis on which it is not the first, of those that are combined.
    """
    inner = axes[min(number for number, axis in enumerate(axes) if axis.name in chosen) :]
    length = math.prod(axis.size for axis in inner)
    found: list[int | None] = []
    for core in range(length):
        above, spacing = None, 1
        for axis in reversed(inner):
            index = core // spacing % axis.size
            if axis.name in chosen and index:
                above = core - (index - _parent(chosen[axis.name], index)) * spacing
                break
            spacing *= axis.size
        found.append(above)
    return found


def _parent(collective: Collective, index: int) -> int:
    """The parent of a core of an axis, after the table of docs/fabric.md."""
    if collective.algorithm == "star":
        return 0
    if collective.algorithm == "chain":
        return index - 1
    if collective.algorithm == "tree":
        return index - (index & -index)
    group = max(collective.group, 1)
    return index - 1 if index % group else index - group


def reduce_faults(lines: Sequence[Line], above: Sequence[int | None]) -> Iterator[Fault]:
    """Whether the words of every core come to its parent, and those of a parent's children in rising order.

    Args:
        lines: The settings of a segment in each circuit.
        above: Parents, as of `parents`.
    """
    senders = [
        [core for core, positions in enumerate(line) for source, _ in positions if source == "R"]
        for line in lines
    ]
    everyone = sorted(core for own in senders for core in own)
    wanted = [core for core, parent in enumerate(above) if parent is not None]
    if everyone != wanted:
        rule = "every core but those that keep a result sends its part once"
        yield rule, f"cores {_few(wanted)} of a segment", f"cores {_few(everyone)}"
        return
    for line, own in zip(lines, senders, strict=True):
        yield from _follow(line, set(own), above)


def _follow(line: Line, senders: set[int], above: Sequence[int | None]) -> Iterator[Fault]:
    """Words go towards the lower cores; each is the number of its sender here, from the last core of the line on."""
    coming: list[int] = []
    for core in reversed(range(len(line))):
        children = sorted(other for other in senders if above[other] == core)
        taken: list[int] = []
        gone: list[int] = []
        for position in line[core]:
            if position == _SENDS and len(taken) < len(children):
                rule = "a core sends its part when it has those of its children"
                yield rule, f"B>R before R>A at place {core}", shown(line[core])
                return
            if position == _SENDS:
                gone.append(core)
            elif position == _TAKES:
                taken, coming = coming[: len(children)], coming[len(children) :]
            elif position == _PASSES:
                stay = 0 if taken or not children else len(children)
                passed = len(coming) - stay
                gone, coming = gone + coming[:passed], coming[passed:]
            else:
                rule = "parts go towards the first core of a segment"
                yield rule, "B>R, R>A and B>A", f"{shown(line[core])} at place {core}"
                return
        if taken != children or coming:
            rule = "a core takes the parts of its children in rising order, and passes on all others"
            found = f"those of {_few(taken)}, and {_few(coming)} go nowhere"
            yield rule, f"at place {core} those of {_few(children)}", found
            return
        coming = gone
    if coming:
        rule = "parts stay in their segment"
        yield rule, "nothing that leaves it", f"those of {_few(coming)}"


def ring_faults(lines: Sequence[Line]) -> Iterator[Fault]:
    """Whether every core of a line sends to the next, and the last one to the first."""
    found = sorted(edge for line in lines for edge in _edges(line))
    cores = len(lines[0])
    wanted = sorted((core, (core + 1) % cores) for core in range(cores))
    if found != wanted:
        rule = "each core of a ring sends to the next, and the last to the first"
        differing = sorted(set(found) ^ set(wanted)) or found
        yield rule, f"{cores} ways around", f"not so for {_few(differing[:4])}"


def _edges(line: Line) -> Iterator[tuple[int, int]]:
    for core, positions in enumerate(line):
        for source, outputs in positions:
            if source != "R":
                continue
            for port in sorted(outputs):
                step, back = (1, "A") if port == "B" else (-1, "B")
                at = core + step
                while 0 <= at < len(line):
                    given = [out for own, out in line[at] if own == back]
                    if len(given) != 1:
                        break
                    if "R" in given[0]:
                        yield core, at
                    if port not in given[0]:
                        break
                    at += step


def taking_part(axes: Sequence[MeshAxis], chosen: Collection[str], reduced: Collection[str]) -> list[bool]:
    """For each core of a segment whether a broadcast is for it.

    Args:
        axes: Of the line.
        chosen: Those that are broadcast along.
        reduced: Those along which the result lies at index 0 alone.
    """
    found = [True]
    for axis in axes[min(number for number, axis in enumerate(axes) if axis.name in chosen) :]:
        found = [
            part and (axis.name not in reduced or not index) for part in found for index in range(axis.size)
        ]
    return found


def broadcast_faults(line: Line, part: Sequence[bool]) -> Iterator[Fault]:
    """Whether the first core of a segment sends to all others that have a part, past those that have none."""
    last = max(place for place, own in enumerate(part) if own)
    for place, positions in enumerate(line):
        wanted: tuple[Position, ...] = ()
        if last and not place:
            wanted = (("R", frozenset("B")),)
        elif 0 < place <= last:
            wanted = (("A", frozenset("R" * part[place] + "B" * (place < last))),)
        if tuple(positions) != wanted:
            rule = "a broadcast goes from the first core of a segment to all others"
            yield rule, f"{shown(wanted)} at place {place} of the segment", shown(positions)
            return


def shown(positions: Sequence[Position]) -> str:
    """Positions for a message."""
    return " ".join(f"{source}>{''.join(sorted(outputs))}" for source, outputs in positions) or "no setting"


def _few(values: Sequence[object]) -> str:
    """The first of them for a message."""
    more = f" and {len(values) - 6} more" if len(values) > 6 else ""
    return (", ".join(map(str, values[:6])) or "none") + more
