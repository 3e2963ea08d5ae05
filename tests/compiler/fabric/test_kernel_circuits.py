"""Circuits inside kernels: what routers hold carries every word of exchanges, reductions and broadcasts, in order."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from line_traffic import Message, collective, deliver, kernel_of, settings

from wsec.compiler.errors import WsecError
from wsec.compiler.fabric.kernel_circuits import kernel_circuits
from wsec.compiler.plan import Exchange
from wsec.compiler.sharding import MeshAxis
from wsec.compiler.target import load_target

if TYPE_CHECKING:
    from line_traffic import Core

    from wsec.compiler.plan import Circuit, Collective, CollectiveAlgorithm, Kernel
    from wsec.compiler.sharding import Side

FABRIC = load_target("wse2").fabric
HIGHEST = 20  # 24 colours, of which the host has 21, 22 and 23
ALGORITHMS: tuple[CollectiveAlgorithm, ...] = ("star", "chain", "tree", "two_phase", "two_level")
GROWING: tuple[CollectiveAlgorithm, ...] = ("chain", "two_phase", "two_level")
SIDES: tuple[Side, ...] = ("rows", "columns")


def parent(item: Collective, core: int) -> int:
    """By the table of docs/fabric.md."""
    if item.algorithm == "star":
        return 0
    if item.algorithm == "chain" or (item.algorithm != "tree" and core % item.group):
        return core - 1
    return core - (core & -core if item.algorithm == "tree" else item.group)


def cores_at(kernel: Kernel, axis: str, index: int, done: list[str]) -> list[Core]:
    """Cores with this index along the axis, at index 0 of the axes that are done."""
    mesh, place = kernel.mesh, kernel.rectangle
    found = []
    for row in range(mesh.height):
        for column in range(mesh.width):
            at = {}
            for each in mesh.axes:
                along = mesh.coordinate(each.name)
                at[each.name] = int(along[row, 0] if each.side == "rows" else along[0, column])
            if at[axis] == index and not any(at[name] for name in done):
                found.append((place.x + column, place.y + row))
    return found


def send_colour(core: Core, along: str, circuits: tuple[Circuit, ...]) -> int:
    """The colour on which a core sends in the reduce circuits of a side; it has one at most."""
    reduces = [item for item in circuits if item.purpose == "reduce" and item.axis == along]
    found = [
        colour
        for (at, colour), held in settings(reduces).items()
        if at == core and any(p[0] == "R" for p in held)
    ]
    assert len(found) == 1
    return found[0]


def draw_collective(data: st.DataObject, axis: MeshAxis, *, shared: bool) -> Collective:
    """Any tree over the axis."""
    algorithm = data.draw(st.sampled_from(ALGORITHMS))
    group = {"two_phase": math.isqrt(axis.size - 1) + 1, "two_level": data.draw(st.integers(1, axis.size))}
    return collective(axis.name, algorithm, group.get(algorithm, 0), shared=shared)


@given(st.data())
def test_reductions_reach_their_roots_in_order(data: st.DataObject) -> None:
    """On any mesh, by any algorithms: along each axis every core's word comes to its parent, children by rising index."""
    axes = [
        MeshAxis(f"a{number}", data.draw(st.integers(2, 7)), data.draw(st.sampled_from(SIDES)))
        for number in range(data.draw(st.integers(1, 3)))
    ]
    combined = [axis for axis in axes if data.draw(st.booleans())] or axes[-1:]
    records = [draw_collective(data, axis, shared=False) for axis in reversed(combined)]
    kernel = kernel_of(axes, records, x=data.draw(st.integers(0, 3)), y=data.draw(st.integers(0, 3)))
    circuits = kernel_circuits(kernel, (), FABRIC)
    settings(circuits)
    inside = [axis.name for axis in axes[axes.index(combined[0]) :]]
    done: list[str] = [name for name in inside if name not in {item.axis for item in records}]
    for item in records:
        axis = next(each for each in axes if each.name == item.axis)
        along = "rows" if axis.side == "columns" else "columns"
        step = kernel.mesh.spacing(axis.name)
        messages, expected = [], []
        for core in range(1, axis.size):
            for x, y in cores_at(kernel, axis.name, core, done):
                back = (core - parent(item, core)) * step
                target = (x - back, y) if along == "rows" else (x, y - back)
                messages.append(Message((x, y), (target,), send_colour((x, y), along, circuits)))
                expected.append((target, (x, y)))
        used = [each for each in circuits if each.axis == along]
        arrived = deliver(messages, used)
        assert sorted(arrived) == sorted(expected)
        for target in {receiver for receiver, _ in expected}:
            senders = [sender for receiver, sender in arrived if receiver == target]
            assert senders == sorted(senders), "children come by rising index"
        done.append(item.axis)


@given(st.integers(2, 40), st.data())
def test_a_core_receives_on_one_colour_and_sends_on_the_other(cores: int, data: st.DataObject) -> None:
    """Chains and groups pass words on as they come: no core waits for the end of a stream before it sends."""
    algorithm = data.draw(st.sampled_from(GROWING))
    group = math.isqrt(cores - 1) + 1 if algorithm == "two_phase" else data.draw(st.integers(1, cores))
    kernel = kernel_of([MeshAxis("a", cores, "columns")], [collective("a", algorithm, group)])
    for (core, colour), held in settings(kernel_circuits(kernel, (), FABRIC)).items():
        ramps = {position for position in held if "R" in position}
        assert len(ramps) <= 1 or algorithm != "chain", (core, colour)
        children = [each for each in range(1, cores) if parent(kernel.collectives[0], each) == core[0]]
        own = send_colour(core, "rows", kernel_circuits(kernel, (), FABRIC)) if core[0] else -1
        assert all(
            send_colour((child, 0), "rows", kernel_circuits(kernel, (), FABRIC)) != own for child in children
        )


@given(st.data())
def test_broadcasts_reach_every_core(data: st.DataObject) -> None:
    """One side after the other, that of the last axis at the end: the first cores' word comes to all."""
    parallel = MeshAxis("p", data.draw(st.integers(2, 3)), data.draw(st.sampled_from(SIDES)))
    shared = [
        MeshAxis(f"a{number}", data.draw(st.integers(2, 5)), data.draw(st.sampled_from(SIDES)))
        for number in range(data.draw(st.integers(1, 3)))
    ]
    records = [draw_collective(data, axis, shared=True) for axis in reversed(shared)]
    kernel = kernel_of([parallel, *shared], records)
    circuits = [item for item in kernel_circuits(kernel, (), FABRIC) if item.purpose == "broadcast"]
    last = "rows" if shared[-1].side == "columns" else "columns"
    names = [axis.name for axis in shared]
    reached = set(cores_at(kernel, names[0], 0, names))
    for circuit in sorted(circuits, key=lambda item: item.axis == last):
        held = settings([circuit])
        size = math.prod(axis.size for axis in shared if (axis.side == "columns") == (circuit.axis == "rows"))
        messages = []
        for x, y in sorted(reached):
            others = [(x + i, y) if circuit.axis == "rows" else (x, y + i) for i in range(1, size)]
            messages.append(Message((x, y), tuple(others), circuit.colour))
        arrived = [receiver for receiver, _ in deliver(messages, [circuit])]
        assert len(arrived) == len(set(arrived)) == len(reached) * (size - 1)
        assert all(len(positions) == 1 for positions in held.values())
        reached |= set(arrived)
    assert len(reached) == kernel.mesh.width * kernel.mesh.height


@given(st.integers(1, 9), st.integers(1, 9), st.data())
def test_exchanges_show_every_word_to_the_whole_segment(
    length: int, segment: int, data: st.DataObject
) -> None:
    """Cores send by rising position, whatever the offset; segments do not hear each other."""
    offset = data.draw(st.integers(0, segment - 1))
    along = data.draw(st.sampled_from(SIDES))
    side: Side = "columns" if along == "rows" else "rows"
    kernel = kernel_of([MeshAxis("a", length, side)], (), x=2, y=1)
    circuits = kernel_circuits(
        kernel, (Exchange(along, segment, offset), Exchange(along, segment, offset)), FABRIC
    )
    ends = [*range(offset or segment, length, segment), length]
    expected: list[tuple[Core, Core]] = []
    messages: list[Message] = []
    for start, end in zip([0, *ends[:-1]], ends, strict=True):
        cores = [(2 + at, 1) if along == "rows" else (2, 1 + at) for at in range(start, end)]
        expected += [(core, other) for core in cores for other in cores if core != other]
        if len(cores) > 1:
            others = [tuple(each for each in cores if each != core) for core in cores]
            messages += [Message(core, rest, HIGHEST) for core, rest in zip(cores, others, strict=True)]
    assert len(circuits) == bool(messages)
    for circuit in circuits:
        assert (circuit.purpose, circuit.axis, circuit.segment, circuit.offset) == (
            "exchange",
            along,
            segment,
            offset,
        )
    arrived = deliver(messages, circuits)
    assert sorted(arrived) == sorted(expected)
    for core in {receiver for receiver, _ in expected}:
        senders = [sender for receiver, sender in arrived if receiver == core]
        assert senders == sorted(senders)


def test_a_ring_goes_on_and_comes_back() -> None:
    """Each core to the next on two colours in alternation, the last to the first on a third; no broadcast."""
    for cores in range(2, 8):
        kernel = kernel_of([MeshAxis("a", cores, "rows")], [collective("a", "ring", shared=True)])
        circuits = kernel_circuits(kernel, (), FABRIC)
        assert {item.purpose for item in circuits} == {"reduce"}
        assert len(circuits) == min(3, cores)
        sent = [send_colour((0, core), "columns", circuits) for core in range(cores)]
        messages = [Message((0, core), ((0, (core + 1) % cores),), sent[core]) for core in range(cores)]
        arrived = deliver(messages, circuits)
        assert sorted(arrived) == sorted(((0, (core + 1) % cores), (0, core)) for core in range(cores))
        assert all(sent[core] != sent[core - 1] for core in range(cores))


def test_all_kernels_have_the_same_colours() -> None:
    """The highest that are not the host's, downwards, a circuit each."""
    axes = [MeshAxis("n", 3, "rows"), MeshAxis("k", 4, "columns")]
    records = [collective("k", "chain", shared=True), collective("n", "tree", shared=True)]
    circuits = kernel_circuits(kernel_of(axes, records), (Exchange("rows", 4),), FABRIC)
    assert [item.colour for item in circuits] == list(range(HIGHEST, HIGHEST - len(circuits), -1))
    assert [(item.purpose, item.axis) for item in circuits] == [
        ("reduce", "rows"),
        ("reduce", "rows"),
        ("reduce", "columns"),
        ("broadcast", "rows"),
        ("broadcast", "columns"),
        ("exchange", "rows"),
    ]


def test_lines_share_their_areas() -> None:
    """Circuits stay small: as many areas as a line has different settings, not as many as there are cores."""
    axes = [MeshAxis("n", 900, "rows"), MeshAxis("k", 8, "columns")]
    circuits = kernel_circuits(
        kernel_of(axes, [collective("k", "chain", shared=True)]), (Exchange("columns", 30),), FABRIC
    )
    assert [len(item.areas) for item in circuits] == [8, 6, 3, 90]


def test_a_kernel_with_too_few_colours_is_refused() -> None:
    """The message names the circuits and the number that there is."""
    axes = [MeshAxis("n", 3, "rows"), MeshAxis("k", 4, "columns")]
    kernel = kernel_of(axes, [collective("k", "star"), collective("n", "star")])
    with pytest.raises(WsecError) as raised:
        kernel_circuits(kernel, (), dataclasses.replace(FABRIC, kernel_colours=1))
    assert raised.value.code == "WSEC342"
    assert raised.value.found == "2: reduce along rows, reduce along columns"
