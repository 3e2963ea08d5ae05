"""Is a placement legal? Computed from the problem and the placement alone, with none of the solver's code.

Checks that each kernel has an existing option and a position, lies within the grid, off reserved rectangles and off
every other kernel, that every constraint is kept, that interval and wirelength are what the rectangles say, that interval
and cost are not below their bounds, and that the front holds the placement and nothing that something else in it beats.
It does not check that the bounds are valid, nor that the rest of the front exists.
"""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Final

from wsec.compiler.placement.constraints import Forbid, Pin, TouchEdge, Within, label

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wsec.compiler.placement.problem import Placement, PlacementProblem, Rectangle

    Box = tuple[int, int, int, int]

_ROUNDING: Final = 1e-9
"""Sums of the same numbers in another order may differ by as much, as a share of them."""


def explain(problem: PlacementProblem, placement: Placement) -> list[str]:
    """Every reason why the placement is not legal, each with expected and found; empty if it is legal."""
    count = len(problem.kernels)
    lengths = {len(placement.option), len(placement.x), len(placement.y)}
    if lengths != {count}:
        found = f"{len(placement.option)}, {len(placement.x)}, {len(placement.y)}"
        return [f"expected one option, x and y for each of {count} kernels, found {found}"]
    findings = _options(problem, placement)
    if findings:
        return findings
    turned = placement.turned or (False,) * count
    if len(turned) != count:
        return [f"expected one orientation for each of {count} kernels, or none, found {len(turned)}"]
    boxes: list[Box] = []
    for kernel, option, x, y, swap in zip(
        problem.kernels, placement.option, placement.x, placement.y, turned, strict=True
    ):
        width, height = int(kernel.shapes.widths[option]), int(kernel.shapes.heights[option])
        boxes.append((x, y, x + height, y + width) if swap else (x, y, x + width, y + height))
    return [
        *_orientations(problem, turned),
        *_bounds(problem, boxes),
        *_reserved(problem, boxes),
        *_overlaps(problem, boxes),
        *_constraints(problem, boxes),
        *_measures(problem, placement, boxes),
        *_front(placement),
    ]


def _options(problem: PlacementProblem, placement: Placement) -> list[str]:
    return [
        f"kernel {kernel.name!r}: expected an option in 0 ... {len(kernel.shapes.cycles) - 1}, found {option}"
        for kernel, option in zip(problem.kernels, placement.option, strict=True)
        if not 0 <= option < len(kernel.shapes.cycles)
    ]


def _orientations(problem: PlacementProblem, turned: Sequence[bool]) -> list[str]:
    return [
        f"kernel {kernel.name!r}: expected its sides as they are, found them swapped, and it is not rotatable"
        for kernel, swap in zip(problem.kernels, turned, strict=True)
        if swap and not kernel.rotatable
    ]


def _bounds(problem: PlacementProblem, boxes: list[Box]) -> list[str]:
    return [
        f"kernel {kernel.name!r}: expected to lie within columns 0 ... {problem.width - 1} and rows 0 ... "
        f"{problem.height - 1}, found columns {left} ... {right - 1} and rows {top} ... {bottom - 1}"
        for kernel, (left, top, right, bottom) in zip(problem.kernels, boxes, strict=True)
        if left < 0 or top < 0 or right > problem.width or bottom > problem.height
    ]


def _reserved(problem: PlacementProblem, boxes: list[Box]) -> list[str]:
    return [
        f"kernel {kernel.name!r}: expected no reserved core, found overlap with the reserved rectangle of "
        f"{block.width} x {block.height} at column {block.x}, row {block.y}"
        for block in problem.reserved
        for kernel, (left, top, right, bottom) in zip(problem.kernels, boxes, strict=True)
        if left < block.x + block.width
        and block.x < right
        and top < block.y + block.height
        and block.y < bottom
    ]


def _overlaps(problem: PlacementProblem, boxes: list[Box]) -> list[str]:
    """Sweep over columns: only boxes whose columns overlap are compared."""
    findings: list[str] = []
    active: list[int] = []
    for index in sorted(range(len(boxes)), key=lambda each: (boxes[each][0], each)):
        left, top, _, bottom = boxes[index]
        active = [other for other in active if boxes[other][2] > left]
        findings.extend(
            f"kernels {problem.kernels[other].name!r} and {problem.kernels[index].name!r}: expected no common core, "
            f"found both at column {left}, row {max(top, boxes[other][1])}"
            for other in active
            if top < boxes[other][3] and boxes[other][1] < bottom
        )
        active.append(index)
    return findings


def _constraints(problem: PlacementProblem, boxes: list[Box]) -> list[str]:
    by_name = {kernel.name: box for kernel, box in zip(problem.kernels, boxes, strict=True)}
    findings: list[str] = []
    for each in problem.constraints:
        if isinstance(each, Forbid):
            areas = {name: _meets(box, _box(each.area)) for name, box in by_name.items()}
            broken = [f"{name!r} at {by_name[name]}" for name, meets in areas.items() if meets]
            wanted = f"no kernel in {_box(each.area)}"
        else:
            box = by_name[each.kernel]
            broken = [f"{each.kernel!r} at {box}"]
            if isinstance(each, Pin):
                kept, wanted = box == _box(each.rectangle), str(_box(each.rectangle))
            elif isinstance(each, Within):
                area = _box(each.area)
                kept = area[0] <= box[0] and area[1] <= box[1] and box[2] <= area[2] and box[3] <= area[3]
                wanted = f"inside {area}"
            elif isinstance(each, TouchEdge):
                grid = {
                    "left": (0, 0),
                    "top": (1, 0),
                    "right": (2, problem.width),
                    "bottom": (3, problem.height),
                }
                kept = any(box[grid[side][0]] == grid[side][1] for side in each.sides)
                wanted = f"at the {' or '.join(each.sides)}"
            else:
                other = by_name[each.other]
                kept, wanted = _neighbours(box, other), f"a border with {each.other!r} at {other}"
            broken = [] if kept else broken
        findings.extend(f"{label(each)}: expected {wanted}, found {where}" for where in broken)
    return findings


def _box(area: Rectangle) -> Box:
    return area.x, area.y, area.x + area.width, area.y + area.height


def _meets(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _neighbours(one: Box, other: Box) -> bool:
    """Whether one ends in the column, or row, where the other begins, and they have rows, or columns, in common."""
    beside = one[2] == other[0] or other[2] == one[0]
    above = one[3] == other[1] or other[3] == one[1]
    rows, columns = (
        range(max(one[1], other[1]), min(one[3], other[3])),
        range(max(one[0], other[0]), min(one[2], other[2])),
    )
    return (beside and len(rows) > 0) or (above and len(columns) > 0)


def _measures(problem: PlacementProblem, placement: Placement, boxes: list[Box]) -> list[str]:
    findings: list[str] = []
    interval = max(
        int(kernel.shapes.cycles[option])
        for kernel, option in zip(problem.kernels, placement.option, strict=True)
    )
    if interval != placement.interval:
        findings.append(f"interval: expected {interval} cycles, found {placement.interval}")
    if placement.interval < placement.interval_bound:
        findings.append(
            f"interval bound: expected at most the interval {placement.interval}, found {placement.interval_bound}"
        )
    word_hops = math.fsum(
        net.weight
        * (
            abs(sum(boxes[net.source][0::2]) - sum(boxes[net.target][0::2]))
            + abs(sum(boxes[net.source][1::2]) - sum(boxes[net.target][1::2]))
        )
        / 2
        for net in problem.nets
    )
    if not math.isclose(word_hops, placement.wirelength, rel_tol=_ROUNDING, abs_tol=_ROUNDING):
        findings.append(f"wirelength: expected {word_hops} word-hops, found {placement.wirelength}")
    if placement.cost_bound > placement.cost * (1 + _ROUNDING):
        findings.append(
            f"cost bound: expected at most the cost {placement.cost}, found {placement.cost_bound}"
        )
    if problem.hop_cycles is not None:
        cost = interval + problem.hop_cycles * word_hops
        if not math.isclose(cost, placement.cost, rel_tol=_ROUNDING, abs_tol=_ROUNDING):
            findings.append(f"cost: expected {cost} cycles, found {placement.cost}")
    return findings


def _front(placement: Placement) -> list[str]:
    """The front falls: slower pairs have shorter wires; the placement is one of it."""
    front, own = placement.front, (placement.interval, placement.wirelength)
    findings = [
        f"front: expected shorter wires at a longer interval, found {fast} before {slow}"
        for fast, slow in itertools.pairwise(front)
        if slow[0] <= fast[0] or slow[1] >= fast[1]
    ]
    if front and own not in front:
        findings.append(f"front: expected {own} in it, found {', '.join(map(str, front))}")
    return findings
