"""Circuits inside kernels: those that the compiler makes pass, and no router of one can hold anything else."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Literal, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from legal_plans import network_plan
from line_traffic import kernel_of

from wsec.compiler.fabric.kernel_circuits import kernel_circuits
from wsec.compiler.plan import (
    Circuit,
    Collective,
    CollectiveAlgorithm,
    Exchange,
    Kernel,
    Phase,
    RouterArea,
    Wafer,
)
from wsec.compiler.plan_checker.fabric.circuits import check_fabric
from wsec.compiler.sharding import MeshAxis
from wsec.compiler.target import load_target

if TYPE_CHECKING:
    from collections.abc import Iterable

    from wsec.compiler.plan_checker.findings import Finding

Kind = Literal["reduce", "all_reduce"]

FABRIC = load_target("mesh16").fabric


def findings(
    kernel: Kernel, circuits: Iterable[Circuit], exchanges: Iterable[Exchange] = ()
) -> list[Finding]:
    """What is found on the circuits of a kernel, but for exchanges that no link asks for."""
    plan = network_plan()
    wafers = (Wafer((Phase((kernel,), (), circuits=tuple(circuits)),)),)
    found = check_fabric(replace(plan, wafers=wafers))
    asked = tuple(f"by {each.segment}" for each in exchanges)
    return [
        item
        for item in found
        if not (item.found == "nothing of the kind" and asked and "exchange" in item.where)
    ]


@st.composite
def combining_kernels(draw: st.DrawFn) -> Kernel:
    """One or two axes on each side, the innermost of which are combined."""
    axes, collectives = [], []
    for side in ("rows", "columns"):
        sizes = draw(st.lists(st.integers(1, 3), max_size=2))
        own = [MeshAxis(f"{side}{number}", size, side) for number, size in enumerate(sizes)]
        axes += own
        for axis in own[len(own) - draw(st.integers(0, len(own))) :]:
            algorithm = draw(
                st.sampled_from([each for each in get_args(CollectiveAlgorithm) if each != "ring"])
            )
            group = {"two_phase": math.isqrt(axis.size - 1) + 1 if axis.size > 1 else 1}.get(algorithm, 0)
            group = draw(st.integers(1, axis.size)) if algorithm == "two_level" else group
            collectives.append(
                Collective(draw(st.sampled_from(["reduce", "all_reduce"])), axis.name, algorithm, group, 1)
            )
    return kernel_of(axes, [each for each in collectives if kernel_size(axes, each.axis) > 1], x=1, y=2)


def kernel_size(axes: list[MeshAxis], name: str) -> int:
    """Size of an axis."""
    return next(axis.size for axis in axes if axis.name == name)


@settings(max_examples=60)
@given(kernel=combining_kernels())
def test_trees_of_every_algorithm_pass(kernel: Kernel) -> None:
    """Reductions and broadcasts over any nest of axes have no findings."""
    assert [str(item) for item in findings(kernel, kernel_circuits(kernel, (), FABRIC))] == []


@pytest.mark.parametrize("size", [2, 3, 6, 7])
@pytest.mark.parametrize("side", ["rows", "columns"])
def test_rings_pass(size: int, side: str) -> None:
    """Rings of odd and even lengths."""
    axis = MeshAxis("k", size, side)  # type: ignore[arg-type] # one of the two
    kernel = kernel_of([axis], [Collective("all_reduce", "k", "ring", 0, size)])
    assert [str(item) for item in findings(kernel, kernel_circuits(kernel, (), FABRIC))] == []


@given(
    width=st.integers(1, 9),
    segment=st.integers(1, 6),
    offset=st.integers(0, 5),
    along=st.sampled_from(["rows", "columns"]),
)
def test_exchanges_pass(width: int, segment: int, offset: int, along: str) -> None:
    """Segments of any length and offset."""
    side = "columns" if along == "rows" else "rows"
    kernel = kernel_of([MeshAxis("a", width, side)], [])  # type: ignore[arg-type] # one of the two
    exchange = Exchange(along, segment, offset % segment)  # type: ignore[arg-type] # one of the two
    circuits = kernel_circuits(kernel, [exchange], FABRIC)
    assert [str(item) for item in findings(kernel, circuits, [exchange])] == []


@settings(max_examples=100)
@given(data=st.data())
def test_every_router_counts(data: st.DataObject) -> None:
    """Positions in another order, one fewer, or another tree: always a finding."""
    algorithm = data.draw(st.sampled_from(get_args(CollectiveAlgorithm)))
    size = data.draw(st.integers(3, 9))
    group = {"two_phase": math.isqrt(size - 1) + 1, "two_level": 2}.get(algorithm, 0)
    kernel = kernel_of(
        [MeshAxis("k", size, "columns")], [Collective("all_reduce", "k", algorithm, group, size)]
    )
    circuits = list(kernel_circuits(kernel, (), FABRIC))
    number = data.draw(st.integers(0, len(circuits) - 1))
    cores = [
        RouterArea(x, area.y, 1, area.height, area.positions)
        for area in circuits[number].areas
        for x in range(area.x, area.x + area.width)
    ]
    place = data.draw(st.integers(0, len(cores) - 1))
    old = cores[place].positions
    new = data.draw(st.sampled_from([old[1:], *([old[::-1]] if len(old) > 1 else [])]))
    cores[place : place + 1] = [replace(cores[place], positions=new)] if new else []
    circuits[number] = replace(circuits[number], areas=tuple(cores))
    assert findings(kernel, circuits) != []


@pytest.mark.parametrize("other", ["star", "tree", "two_level"])
def test_another_tree_than_the_record_says(other: CollectiveAlgorithm) -> None:
    """Circuits of a chain do not pass for those of another algorithm."""
    axis = MeshAxis("k", 6, "rows")
    chain = kernel_of([axis], [Collective("reduce", "k", "chain", 0, 1)])
    kernel = kernel_of([axis], [Collective("reduce", "k", other, 3 if other == "two_level" else 0, 1)])
    found = findings(kernel, kernel_circuits(chain, (), FABRIC))
    assert {item.code for item in found} == {"WSEC555"}


def test_cores_left_out_of_a_reduction() -> None:
    """Along an axis inside the one that is combined, every core has a result of its own to combine."""
    axes = [MeshAxis("k", 3, "columns"), MeshAxis("n", 2, "columns")]
    kernel = kernel_of(axes, [Collective("reduce", "k", "chain", 0, 1)])
    found = findings(kernel, kernel_circuits(kernel, (), FABRIC))
    assert [item.expected for item in found] == ["cores 2, 3, 4, 5 of a segment"]


@pytest.mark.parametrize("kinds", [("all_reduce", "reduce"), ("reduce", "all_reduce")])
def test_a_broadcast_beside_a_reduction_along_the_same_axis(kinds: tuple[Kind, Kind]) -> None:
    """An axis with collectives of both kinds, as attention has: its broadcast is followed all the same."""
    axis = MeshAxis("k", 4, "columns")
    kernel = kernel_of([axis], [Collective(kind, "k", "star", 0, 1) for kind in kinds])
    reduce, broadcast = kernel_circuits(kernel, (), FABRIC)
    assert [str(item) for item in findings(kernel, [reduce, broadcast])] == []
    passing = tuple(replace(area, positions=("W>E",)) for area in broadcast.areas[1:2])
    deaf = replace(broadcast, areas=broadcast.areas[:1] + passing + broadcast.areas[2:])
    (found,) = findings(kernel, [reduce, deaf])
    assert found.rule == "a broadcast goes from the first core of a segment to all others"


def test_a_broadcast_passes_cores_without_a_part() -> None:
    """Where an axis inside is reduced alone, the result is not for its other cores, who must not hear it."""
    axes = [MeshAxis("m", 3, "columns"), MeshAxis("k", 2, "columns")]
    kernel = kernel_of(
        axes, [Collective("all_reduce", "m", "star", 0, 1), Collective("reduce", "k", "star", 0, 1)]
    )
    reduce, broadcast = kernel_circuits(kernel, (), FABRIC)
    assert [area.positions for area in broadcast.areas] == [("R>E",), ("W>E",), ("W>ER",), ("W>E",), ("W>R",)]
    assert [str(item) for item in findings(kernel, [reduce, broadcast])] == []
    heard = tuple(replace(area, positions=("W>ER",)) for area in broadcast.areas[1:2])
    loud = replace(broadcast, areas=broadcast.areas[:1] + heard + broadcast.areas[2:])
    (found,) = findings(kernel, [reduce, loud])
    assert (found.expected, found.found) == ("A>B at place 1 of the segment", "A>BR")


def test_a_circuit_beside_its_kernel() -> None:
    """Circuits of kernels end inside their rectangles, as all kernels use the same colours."""
    kernel = kernel_of([MeshAxis("k", 3, "columns")], [Collective("reduce", "k", "star", 0, 1)])
    (circuit,) = kernel_circuits(kernel, (), FABRIC)
    moved = replace(circuit, areas=tuple(replace(area, y=area.y + 1) for area in circuit.areas))
    (found,) = findings(kernel, [moved])
    assert (found.code, found.rule) == ("WSEC555", "circuits inside a kernel stay in its rectangle")
