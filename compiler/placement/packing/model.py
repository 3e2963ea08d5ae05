"""CP-SAT models of packing: kernels with a table of shapes each, fixed obstacles, wires to inside and outside.

Deterministic: one worker, a fixed seed, limits in deterministic time.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ortools.sat.python import cp_model

from wsec.compiler.placement.packing.demands import add_demands
from wsec.compiler.placement.problem import Rectangle
from wsec.compiler.running_solvers import running

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wsec.compiler.placement.demands import Demands

_WEIGHT_STEPS: Final = 1000


class Outcome(enum.Enum):
    """What the solver says."""

    FOUND = "found"
    IMPOSSIBLE = "impossible"  # proven
    UNKNOWN = "unknown"  # the limit was reached


@dataclass(frozen=True, slots=True)
class Wire:
    """A net with an end in the window: to another kernel of the window, or to a fixed point outside.

    `ends` are indices of window kernels; `point` is twice the fixed end's centre, where there is one.
    """

    ends: tuple[int, ...]
    point: tuple[int, int] | None
    weight: float


@dataclass(frozen=True, slots=True)
class Window:
    """A packing problem.

    Attributes:
        area: No kernel may leave it.
        shapes: For each kernel the (width, height) it may have.
        obstacles: Rectangles that no kernel may touch.
        wires: What to shorten; empty: any packing will do.
        incumbent: A packing to start from, for each kernel; empty: none is known.
        demands: What else is asked of the kernels.
        pull: Without wires, draw the kernels to the left (-1) or right (1), and to the top (-1) or bottom (1).
    """

    area: Rectangle
    shapes: tuple[tuple[tuple[int, int], ...], ...]
    obstacles: tuple[Rectangle, ...] = ()
    wires: tuple[Wire, ...] = ()
    incumbent: tuple[Rectangle, ...] = ()
    demands: Demands | None = None
    pull: tuple[int, int] = (0, 0)


@dataclass(frozen=True, slots=True)
class KernelVariables:
    """Where a kernel is and how large."""

    x: cp_model.IntVar
    y: cp_model.IntVar
    width: cp_model.IntVar
    height: cp_model.IntVar


def pack(window: Window, deterministic_time: float, seed: int) -> tuple[Outcome, list[Rectangle]]:
    """Pack the window's kernels, with wires as short as the limit allows.

    Returns:
        The outcome, and where it is `FOUND` a rectangle for each kernel.
    """
    model = cp_model.CpModel()
    kernels = [_add_kernel(model, window.area, shapes) for shapes in window.shapes]
    _keep_apart(model, window, kernels)
    if window.demands is not None:
        add_demands(model, window.demands, kernels)
    if window.wires:
        _shorten(model, window, kernels)
    elif window.pull != (0, 0):
        model.minimize(_distances(window.pull, kernels))
    for variables, box in zip(kernels, window.incumbent, strict=bool(window.incumbent)):
        model.add_hint(variables.x, box.x)
        model.add_hint(variables.y, box.y)
        model.add_hint(variables.width, box.width)
        model.add_hint(variables.height, box.height)
    solver = cp_model.CpSolver()
    solver.parameters.max_deterministic_time = deterministic_time
    solver.parameters.random_seed = seed
    solver.parameters.num_workers = 1
    solver.parameters.catch_sigint_signal = False  # Ctrl-C belongs to the caller
    # Packing gains nothing from the LP, and presolve that digs for more costs as much as the search.
    solver.parameters.linearization_level = 0
    solver.parameters.cp_model_probing_level = 0
    solver.parameters.symmetry_level = 0
    with running(solver):
        status = solver.solve(model)
    if status == cp_model.INFEASIBLE:
        return Outcome.IMPOSSIBLE, []
    if status not in (cp_model.OPTIMAL, cp_model.FEASIBLE):
        return Outcome.UNKNOWN, []
    return Outcome.FOUND, [
        Rectangle(
            solver.value(each.x), solver.value(each.y), solver.value(each.width), solver.value(each.height)
        )
        for each in kernels
    ]


def _add_kernel(
    model: cp_model.CpModel, area: Rectangle, shapes: Sequence[tuple[int, int]]
) -> KernelVariables:
    widths = sorted({width for width, _ in shapes})
    heights = sorted({height for _, height in shapes})
    variables = KernelVariables(
        model.new_int_var(area.x, area.right - widths[0], ""),
        model.new_int_var(area.y, area.bottom - heights[0], ""),
        model.new_int_var_from_domain(cp_model.Domain.from_values(widths), ""),
        model.new_int_var_from_domain(cp_model.Domain.from_values(heights), ""),
    )
    model.add_allowed_assignments([variables.width, variables.height], shapes)
    return variables


def _keep_apart(model: cp_model.CpModel, window: Window, kernels: Sequence[KernelVariables]) -> None:
    area = window.area
    across: list[cp_model.IntervalVar] = []
    down: list[cp_model.IntervalVar] = []
    for each in kernels:
        right = model.new_int_var(area.x, area.right, "")
        bottom = model.new_int_var(area.y, area.bottom, "")
        across.append(model.new_interval_var(each.x, each.width, right, ""))
        down.append(model.new_interval_var(each.y, each.height, bottom, ""))
    for block in window.obstacles:
        across.append(model.new_fixed_size_interval_var(block.x, block.width, ""))
        down.append(model.new_fixed_size_interval_var(block.y, block.height, ""))
    model.add_no_overlap_2d(across, down)


def _shorten(model: cp_model.CpModel, window: Window, kernels: Sequence[KernelVariables]) -> None:
    """Minimise weighted distances of doubled centres; weights in a thousandth of the largest."""
    heaviest = max(wire.weight for wire in window.wires)
    reach = 4 * (abs(window.area.x) + window.area.width + abs(window.area.y) + window.area.height)
    terms: list[cp_model.LinearExpr] = []
    for wire in window.wires:
        weight = round(_WEIGHT_STEPS * wire.weight / heaviest)
        if weight == 0:
            continue
        for axis in (0, 1):
            one = _centre(kernels[wire.ends[0]], axis)
            other = wire.point[axis] if wire.point is not None else _centre(kernels[wire.ends[1]], axis)
            limit = reach if wire.point is None else reach + 2 * abs(wire.point[axis])
            distance = model.new_int_var(0, limit, "")
            model.add(distance >= one - other)
            model.add(distance >= other - one)
            terms.append(weight * distance)
    model.minimize(cp_model.LinearExpr.sum(terms))


def _distances(pull: tuple[int, int], kernels: Sequence[KernelVariables]) -> cp_model.LinearExpr:
    """Sum over kernels of how far their far sides are from where they are drawn to, but for a constant."""
    across = (each.x + each.width if pull[0] < 0 else -each.x for each in kernels)
    down = (each.y + each.height if pull[1] < 0 else -each.y for each in kernels)
    return cp_model.LinearExpr.sum([*across, *down])


def _centre(variables: KernelVariables, axis: int) -> cp_model.LinearExpr:
    """Twice the centre, so that it is a whole number."""
    return 2 * variables.x + variables.width if axis == 0 else 2 * variables.y + variables.height
