"""Judges a placement file of the ISPD 2020 contest, from the contest's statement alone.

Shares nothing with what made the file but the graph: it reads the text, recomputes height, width, time and memory of
every kernel with the statement's formulas in exact fractions, and checks bounds and overlaps core by core.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from contest_format import Graph, Kernel

_CALL: Final = re.compile(r"(\w+)\s*=\s*(conv|dblock|cblock|union)\(([^)]*)\)")
_PLACE: Final = re.compile(r"(\w+)\s*:\s*place\(\s*(-?\d+)\s+(-?\d+)\s+(R0|R90)\s*\)")
_ORDER: Final = {"conv": "HWCKRSTU", "dblock": "HWF", "cblock": "HWF"}
_CONVOLUTIONS: Final = {"conv": 1, "dblock": 3, "cblock": 4}


class IllegalPlacementError(Exception):
    """A placement file that the contest would not accept."""


@dataclass(frozen=True, slots=True)
class Score:
    """Figures of a legal placement; time and cost are exact."""

    time: Fraction
    wirelength: Fraction
    cost: Fraction
    cores_used: int


class _Facts(NamedTuple):
    width: int
    height: int
    time: Fraction
    memory: Fraction


def evaluate(graph: Graph, text: str) -> Score:
    """Check the text of a placement file and compute its cost, without layout mismatches.

    Raises:
        IllegalPlacementError: The first thing that is wrong.
    """
    calls, places, members = _read(text)
    expected = {kernel.name for kernel in graph.kernels}
    for what, names in (("kernels", set(calls)), ("places", set(places)), ("members of kmap", members)):
        if names != expected:
            raise IllegalPlacementError(
                f"{what}: expected those of the graph, differs in {sorted(names ^ expected)}"
            )
    taken = np.zeros((graph.value("height"), graph.value("width")), dtype=np.bool_)
    centres: list[tuple[Fraction, Fraction]] = []
    slowest = Fraction(0)
    for kernel in graph.kernels:
        facts = _facts(kernel, *calls[kernel.name])
        if facts.memory > graph.value("memlimit"):
            raise IllegalPlacementError(
                f"{kernel.name}: memory of {float(facts.memory):.1f} is above the limit"
            )
        x, y, turned = places[kernel.name]
        width, height = (facts.height, facts.width) if turned else (facts.width, facts.height)
        if x < 0 or y < 0 or x + width > graph.value("width") or y + height > graph.value("height"):
            raise IllegalPlacementError(f"{kernel.name}: {width} x {height} at {x}, {y} leaves the grid")
        cores = taken[y : y + height, x : x + width]
        if cores.any():
            raise IllegalPlacementError(
                f"{kernel.name}: {width} x {height} at {x}, {y} overlaps another kernel"
            )
        cores[:] = True
        centres.append((x + Fraction(width, 2), y + Fraction(height, 2)))
        slowest = max(slowest, facts.time)
    wires = sum(
        (abs(centres[a][0] - centres[b][0]) + abs(centres[a][1] - centres[b][1]) for a, b in graph.edges),
        Fraction(0),
    )
    cost = graph.value("wdeltat") * slowest + graph.value("wlength") * wires
    return Score(slowest, wires, cost, int(taken.sum()))


def _read(
    text: str,
) -> tuple[dict[str, tuple[str, list[int]]], dict[str, tuple[int, int, bool]], set[str]]:
    calls: dict[str, tuple[str, list[int]]] = {}
    members: set[str] = set()
    for name, kind, inside in _CALL.findall(text):
        if kind == "union":
            members |= set(inside.split())
        elif name in calls:
            raise IllegalPlacementError(f"{name}: is there twice")
        else:
            calls[name] = (kind, [int(each) for each in inside.split()])
    places = {name: (int(x), int(y), turn == "R90") for name, x, y, turn in _PLACE.findall(text)}
    return calls, places, members


def _facts(kernel: Kernel, kind: str, numbers: list[int]) -> _Facts:
    """Width, height, time and memory of a kernel from the numbers in the file."""
    formal, count = len(_ORDER[kind]), _CONVOLUTIONS[kind]
    if kind != kernel.kind or len(numbers) != formal + 2 + 2 * count:
        raise IllegalPlacementError(f"{kernel.name}: expected the arguments of a {kernel.kind}")
    if numbers[:formal] != [kernel.formal(letter) for letter in _ORDER[kind]]:
        raise IllegalPlacementError(f"{kernel.name}: formal arguments are not those of the graph")
    h, w, *rest = numbers[formal:]
    chosen = list(zip(rest[:count], rest[count:], strict=True))
    parts = [
        _convolution(kernel.name, arguments, (h, w, c, k))
        for arguments, (c, k) in zip(_parts(kind, numbers[:formal]), chosen, strict=True)
    ]
    if h > numbers[0] or w > numbers[1]:
        raise IllegalPlacementError(f"{kernel.name}: h or w is above its formal argument")
    return _Facts(
        sum(each.width for each in parts),
        max(each.height for each in parts),
        max(each.time for each in parts),
        max(each.memory for each in parts),
    )


def _parts(kind: str, formal: list[int]) -> list[list[Fraction]]:
    """H, W, R, S, C, K, T, U of each convolution."""
    if kind == "conv":
        height, width, inputs, outputs, r, s, t, u = map(Fraction, formal)
        return [[height, width, r, s, inputs, outputs, t, u]]
    height, width, filters = map(Fraction, formal)
    one, two, three = Fraction(1), Fraction(2), Fraction(3)
    quarter, half = filters / 4, filters / 2
    if kind == "dblock":
        return [
            [height, width, one, one, filters, quarter, one, one],
            [height, width, three, three, quarter, quarter, one, one],
            [height, width, one, one, quarter, filters, one, one],
        ]
    return [
        [height, width, one, one, half, quarter, one, one],
        [height, width, three, three, quarter, quarter, two, two],
        [height / 2, width / 2, one, one, quarter, filters, one, one],
        [height, width, one, one, half, filters, two, two],
    ]


def _convolution(name: str, formal: list[Fraction], chosen: tuple[int, int, int, int]) -> _Facts:
    height, width, r, s, inputs, outputs, t, u = formal
    h, w, c, k = chosen
    if min(chosen) < 1 or c > inputs or k > outputs:
        raise IllegalPlacementError(f"{name}: an execution argument is outside of 1 ... its formal argument")
    time = ceil(height / h) * ceil(width / w) * ceil(inputs / c) * ceil(outputs / k) * r * s / t / u
    memory = inputs / c * (outputs / k) * r * s + (width + s - 1) / w * ((height + r - 1) / h) * (outputs / k)
    return _Facts(3 * k, h * w * (c + 1), time, memory)
