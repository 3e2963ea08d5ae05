"""All-reduces along lines of a turn, in the simulator: the numbers of the executor on every core, for any mesh and algorithm."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsec.compiler.errors import WsecError
from wsec.compiler.plan import Collective
from wsec.compiler.sharding import Mesh, MeshAxis
from wsec.runtime.collectives import combine
from wsec.runtime.programs.events import Transfers
from wsec.runtime.programs.settings import routes
from wsec.runtime.programs.turns.lines import Lines
from wsec.runtime.simulator.instructions import CoreProgram, Operation, ProgramArea
from wsec.runtime.simulator.simulation import Simulation

ALGORITHMS = [
    ("star", 0, "middle"),
    ("chain", 0, "middle"),
    ("two_level", 2, "middle"),
    ("two_level", 3, "middle"),
    ("two_phase", 2, "middle"),
    ("tree", 0, "first"),
    ("chain", 0, "first"),
    ("star", 0, "first"),
]


def _all_reduced(mesh: Mesh, records: list[Collective], words: int) -> tuple[np.ndarray, np.ndarray]:
    """What every core holds at the end, [height, width, words], and what it should."""
    region = mesh.width, mesh.height
    names = [item.axis for item in records]
    lines = Lines("test", mesh, {item.axis: item for item in records}, region, colours=64)
    steps = [*lines.reduce(names), *lines.broadcast(names)]
    transfers = Transfers()
    for step in steps:
        step.transfer(np.full(mesh.width * mesh.height, words), transfers)
    circuits = [circuit for step in steps for circuit in step.circuits]
    areas = []
    for core in range(mesh.width * mesh.height):
        text = [
            each
            for step in steps
            for each in step.instructions(int(step.part[core]), Operation.ADD, [(0, words)])
        ]
        y, x = divmod(core, mesh.width)
        areas.append(ProgramArea(1 + x, y, 1, 1, CoreProgram(tuple(text)), words))
    simulation = Simulation(
        [route for each in circuits for route in routes(each)],
        areas,
        width=mesh.width + 2,
        height=mesh.height,
        turns=transfers.switch_turns(circuits),
    )
    values = np.random.default_rng(0).standard_normal((mesh.height, mesh.width, words)).astype(np.float32)
    for y in range(mesh.height):
        for x in range(mesh.width):
            simulation.memory(1 + x, y)[:] = values[y, x]
    simulation.run_to_end(100_000)
    found = np.array(
        [[simulation.memory(1 + x, y).copy() for x in range(mesh.width)] for y in range(mesh.height)]
    )
    sides = [[axis for axis in mesh.axes if axis.side == side] for side in ("rows", "columns")]
    shape = [axis.size for side in sides for axis in side]
    order = [[axis.name for side in sides for axis in side].index(axis.name) for axis in mesh.axes]
    blocks = values.reshape(*shape, words).transpose(*order, len(order))
    total = np.broadcast_to(combine(blocks, mesh, names, np.add, records), blocks.shape)
    back = np.argsort(order)
    return found, total.transpose(*back, len(order)).reshape(values.shape)


@given(
    st.integers(1, 7),
    st.integers(1, 7),
    st.sampled_from(ALGORITHMS),
    st.sampled_from(ALGORITHMS),
    st.integers(1, 9),
)
@settings(max_examples=40, deadline=None)
def test_every_core_has_the_sum(
    rows: int, columns: int, first: tuple[str, int, str], second: tuple[str, int, str], words: int
) -> None:
    """Along columns, then along rows, each by its own algorithm: the bits of the executor, on all cores."""
    mesh = Mesh((MeshAxis("a", rows, "rows"), MeshAxis("b", columns, "columns")))
    records = [
        Collective("all_reduce", axis, name, group, words, 1, root)  # type: ignore[arg-type]
        for axis, (name, group, root) in (("a", first), ("b", second))
        if mesh.size(axis) > 1
    ]
    found, expected = _all_reduced(mesh, records, words)
    np.testing.assert_array_equal(found.view(np.uint32), expected.copy().view(np.uint32))


@given(st.integers(2, 4), st.integers(2, 4), st.sampled_from(ALGORITHMS[1:]), st.booleans())
@settings(max_examples=20, deadline=None)
def test_axes_on_the_same_side(
    outer: int,
    inner: int,
    algorithm: tuple[str, int, str],
    both: bool,  # noqa: FBT001 - drawn by hypothesis
) -> None:
    """The roots of the inner axis go on along the outer one; without a sum along the inner axis all lines share their routers."""
    mesh = Mesh((MeshAxis("a", outer, "columns"), MeshAxis("b", inner, "columns"), MeshAxis("c", 2, "rows")))
    name, group, root = algorithm
    records = [
        Collective("all_reduce", axis, name, group, 3, 1, root)  # type: ignore[arg-type]
        for axis in ("ab" if both else "a")
    ]
    found, expected = _all_reduced(mesh, records, 3)
    np.testing.assert_array_equal(found.view(np.uint32), expected.copy().view(np.uint32))


def test_a_ring_is_refused_by_name() -> None:
    """What has no program is not simulated as something else."""
    mesh = Mesh((MeshAxis("a", 4, "rows"),))
    lines = Lines("kernel k", mesh, {"a": Collective("all_reduce", "a", "ring", 0, 4)}, (1, 4), 24)
    with pytest.raises(WsecError, match="the algorithm ring along axis a"):
        lines.reduce(["a"])
