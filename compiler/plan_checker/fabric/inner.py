"""Circuits inside kernels: the same on every line, and between the cores that docs/fabric.md names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from wsec.compiler.plan import Exchange, Rectangle
from wsec.compiler.plan_checker.fabric.areas import circuit_name
from wsec.compiler.plan_checker.fabric.lines import (
    axes_along,
    broadcast_faults,
    exchange_faults,
    parents,
    reduce_faults,
    ring_faults,
    segment_of,
    taking_part,
)
from wsec.compiler.plan_checker.fabric.settings import PORTS
from wsec.compiler.plan_checker.findings import STREAM, Finding
from wsec.compiler.plan_checker.placement import inside, shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from wsec.compiler.plan import Circuit, Collective, Kernel
    from wsec.compiler.plan_checker.fabric.areas import Areas
    from wsec.compiler.plan_checker.fabric.lines import Fault, Line, Position
    from wsec.compiler.sharding import MeshAxis

    Numbers = NDArray[np.int32]

_TURNED = {"rows": {"W": "A", "E": "B", "R": "R"}, "columns": {"N": "A", "S": "B", "R": "R"}}


@dataclass(frozen=True, slots=True)
class KernelLine:
    """A circuit inside a kernel, and what the routers of each line hold."""

    circuit: Circuit
    line: Line


def read_line(
    number: int, kernel: Kernel, areas: Areas, grid: Numbers
) -> tuple[KernelLine | None, list[Finding]]:
    """What every line of a kernel holds in a circuit, or why that cannot be said.

    Args:
        number: Of the circuit.
        kernel: Whose it is.
        areas: Of the phase.
        grid: Painted with the areas of the circuit's colour.
    """
    circuit, place = areas.circuits[number], kernel.rectangle
    own = range(int(areas.first[number]), int(areas.first[number + 1]))
    where = circuit_name(circuit)
    for area in own:
        rectangle = Rectangle(*areas.bounds[area].tolist())
        if not inside(rectangle, place):
            rule = "circuits inside a kernel stay in its rectangle"
            return None, [Finding(STREAM, rule, where, f"inside {shown(place)}", areas.shown(area))]
    if circuit.axis not in _TURNED:
        rule = "circuits inside a kernel go along rows or columns"
        return None, [Finding(STREAM, rule, where, "rows or columns", circuit.axis)]
    part = grid[place.y : place.y + place.height, place.x : place.x + place.width]
    held = np.where(
        (part >= 0) & (areas.circuit[np.maximum(part, 0)] == number), areas.setting[np.maximum(part, 0)], -1
    )
    held = held if circuit.axis == "rows" else held.T
    if (held != held[0]).any():
        rule = "all lines of a kernel have the same settings"
        line = int((held != held[0]).any(axis=1).argmax())
        return None, [Finding(STREAM, rule, where, "those of the first line", f"others on number {line}")]
    ports = _TURNED[circuit.axis]
    known: dict[int, tuple[Position, ...] | None] = {-1: ()}
    line_settings = held[0].tolist()
    for setting in set(line_settings) - {-1}:
        known[setting] = _turned(areas.settings.positions[setting], ports)
        if known[setting] is None:
            rule = "words stay on their line"
            found = " ".join(areas.settings.positions[setting])
            return None, [Finding(STREAM, rule, where, f"ports {', '.join(ports)}", found)]
    return KernelLine(circuit, [known[setting] or () for setting in line_settings]), []


def check_inner(kernel: Kernel, lines: Sequence[KernelLine]) -> list[Finding]:
    """Findings on the circuits of a kernel; those that are missing are found elsewhere."""
    findings: list[Finding] = []
    for each in lines:
        if each.circuit.purpose == "exchange":
            exchange = Exchange(each.circuit.axis, each.circuit.segment, each.circuit.offset)  # type: ignore[arg-type] # read_line checks it
            findings += _named(exchange_faults(each.line, exchange), circuit_name(each.circuit))
    for along in ("rows", "columns"):
        axes = axes_along(kernel, along)
        sizes = {axis.name: axis.size for axis in axes}
        there = [each for each in kernel.collectives if sizes.get(each.axis, 1) > 1]
        for purpose in ("reduce", "broadcast"):
            # an axis may have collectives of both kinds, of which only one is broadcast
            used = there if purpose == "reduce" else [each for each in there if each.kind == "all_reduce"]
            chosen = {each.axis: each for each in used}
            own = [each for each in lines if each.circuit.purpose == purpose and each.circuit.axis == along]
            reduced = {each.axis for each in there} - {*chosen}
            findings += _check_collectives(axes, chosen, reduced, own)
    return findings


def _check_collectives(
    axes: Sequence[MeshAxis], chosen: dict[str, Collective], reduced: set[str], lines: Sequence[KernelLine]
) -> Iterator[Finding]:
    """On the circuits of all collectives along one side that have the same purpose.

    Args:
        axes: Of the side.
        chosen: The collectives by axis.
        reduced: Axes that have others, whose result is not for all.
        lines: The circuits.
    """
    if not lines or not chosen:
        return
    length = segment_of(axes, list(chosen))
    for each in lines:
        line = list(each.line)
        if line != line[:length] * (len(line) // length):
            rule = "all segments of a line have the same settings"
            yield Finding(STREAM, rule, circuit_name(each.circuit), f"segments of {length} cores", "others")
            return
    segments = [each.line[:length] for each in lines]
    where = circuit_name(lines[0].circuit)
    if lines[0].circuit.purpose == "broadcast":
        part = taking_part(axes, chosen, reduced)
        for each, segment in zip(lines, segments, strict=True):
            yield from _named(broadcast_faults(segment, part), circuit_name(each.circuit))
    elif any(each.algorithm == "ring" for each in chosen.values()):
        yield from _named(ring_faults(segments), where)
    else:
        yield from _named(reduce_faults(segments, parents(axes, chosen)), where)


def _named(faults: Iterator[Fault], where: str) -> Iterator[Finding]:
    return (Finding(STREAM, rule, where, expected, found) for rule, expected, found in faults)


def _turned(positions: tuple[str, ...], ports: dict[str, str]) -> tuple[Position, ...] | None:
    """Positions with the ports of a line; None where one is across."""
    if any(port not in ports for position in positions for port in position if port in PORTS):
        return None
    return tuple((ports[each[0]], frozenset(ports[port] for port in each[2:])) for each in positions)
