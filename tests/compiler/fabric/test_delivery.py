"""Deliveries as the compiler measures them, against the contract word by word."""

from __future__ import annotations

import numpy as np
from delivery_reference import DeliveryReference
from hypothesis import given, settings
from hypothesis import strategies as st

from wsec.compiler.fabric.delivery import Delivery, deliveries
from wsec.compiler.fabric.fans import Fan
from wsec.compiler.sharding import DimensionSharding, Mesh, MeshAxis, Sharding, cut, whole


def _fan(lane: np.ndarray, order: np.ndarray | None = None) -> Fan:
    lane = lane.astype(np.int32)
    ranks = np.arange(lane.size, dtype=np.int32).reshape(lane.shape) if order is None else order
    return Fan(lane, ranks, ranks, lane.astype(np.int8), lane.astype(np.int8), ranks)


@st.composite
def _meshes(draw: st.DrawFn, names: str) -> Mesh:
    return Mesh(
        tuple(
            MeshAxis(name, draw(st.integers(1, 4)), draw(st.sampled_from(["rows", "columns"])))
            for name in names
        )
    )


@st.composite
def _needed(draw: st.DrawFn) -> tuple[Sharding, Mesh]:
    mesh = draw(_meshes("abc"))
    dimensions = []
    for name in "ab":
        size = mesh.size(name)
        kind = draw(st.sampled_from(["plain", "halo", "gaps", "whole", "backwards"]))
        extent = draw(st.integers(1, 9))
        step = -(-extent // size)
        dimensions.append(
            {
                "plain": cut(extent, size, (name,)),
                "halo": DimensionSharding(extent, step + 2, step, (name,), offset=-1),
                "gaps": DimensionSharding(extent, max(1, step - 1), step, (name,)),
                "whole": whole(extent),
                "backwards": DimensionSharding(extent, step, -step, (name,), offset=(size - 1) * step),
            }[kind]
        )
    return Sharding(tuple(dimensions)), mesh


@st.composite
def _links(draw: st.DrawFn) -> tuple[tuple[Sharding, Mesh], Fan, tuple[Sharding, Mesh], Fan]:
    needed = draw(_needed())
    extents = needed[0].shape
    mesh = draw(_meshes("pqr"))
    produced = Sharding(
        tuple(cut(extent, mesh.size(name), (name,)) for extent, name in zip(extents, "pq", strict=True)),
        root=("r",),
    )
    lanes = draw(st.integers(1, min(4, needed[1].height * needed[1].width)))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    here = random.integers(0, lanes, (mesh.height, mesh.width))
    order = random.permutation(here.size).reshape(here.shape).astype(np.int32)
    there = random.integers(0, lanes, (needed[1].height, needed[1].width))
    there.reshape(-1)[random.permutation(there.size)[:lanes]] = np.arange(lanes)
    return (produced, mesh), _fan(here, order), needed, _fan(there)


def _streams(produced: tuple[Sharding, Mesh], gather: Fan) -> list[tuple[int, ...]]:
    """Words of each lane, core after core, each with its block in row-major order."""
    holders = DeliveryReference(produced[1], produced[0]).needs
    root = {axis.name for axis in produced[1].axes} - {
        name for dimension in produced[0].dimensions for name in dimension.axes
    }
    indices = {name: np.broadcast_to(produced[1].coordinate(name), gather.lane.shape) for name in root}
    streams = []
    for lane in range(int(gather.lane.max()) + 1):
        cores = [
            core
            for core in holders
            if gather.lane[core] == lane and all(index[core] == 0 for index in indices.values())
        ]
        cores.sort(key=lambda core: gather.order[core])
        streams.append(tuple(word for core in cores for word in sorted(holders[core])))
    return streams


def _check(
    delivery: Delivery,
    reference: DeliveryReference,
    spread: Fan,
    streams: list[tuple[int, ...]],
    *,
    host: bool,
) -> None:
    groups = [tuple(row) for row in spread.lane.tolist()]
    exchanges = delivery.exchanges
    final = exchanges[-1].along if exchanges else "rows"
    dealt = reference.landed(groups, streams, final, from_host=host)
    sent, waiting, ended = reference.exchanged(dealt, exchanges)
    assert all(reference.needs[core] <= ended[core] for core in ended)
    assert delivery.landed == max(map(len, dealt.values()), default=0)
    assert delivery.waiting == max(map(len, waiting.values()), default=0)
    loads = (*delivery.early, *delivery.late)
    assert [load.exchange.along != final for load in loads] == [True] * len(delivery.early) + [False] * len(
        delivery.late
    )
    for load, sends in zip(loads, sent, strict=True):
        segments: dict[tuple[int, int], int] = {}
        for core, words in sends.items():
            along, across = (1, 0) if load.exchange.along == "rows" else (0, 1)
            shift = (load.exchange.segment - load.exchange.offset) % load.exchange.segment
            key = core[across], (core[along] + shift) // load.exchange.segment
            segments[key] = segments.get(key, 0) + len(words)
        assert load.elements == max(segments.values(), default=0)


@settings(max_examples=300, deadline=None)
@given(_links())
def test_deliveries_between_kernels_follow_the_contract(
    link: tuple[tuple[Sharding, Mesh], Fan, tuple[Sharding, Mesh], Fan],
) -> None:
    """Protects every way home between kernels: all words arrive, and the loads are those of the contract's rules."""
    produced, gather, needed, spread = link
    reference = DeliveryReference(needed[1], needed[0])
    streams = _streams(produced, gather)
    streams += [()] * (int(spread.lane.max()) + 1 - len(streams))
    found = list(deliveries(produced, gather, needed, spread))
    direct = all(words <= set(streams[spread.lane[core]]) for core, words in reference.needs.items())
    assert [each.direct for each in found].count(True) == direct
    assert any(not each.direct for each in found)
    for each in found:
        assert each.lanes.tolist() == [len(stream) for stream in streams]
        if not each.direct:
            _check(each, reference, spread, streams, host=False)


@settings(max_examples=200, deadline=None)
@given(_links())
def test_deliveries_from_the_host_follow_the_contract(
    link: tuple[tuple[Sharding, Mesh], Fan, tuple[Sharding, Mesh], Fan],
) -> None:
    """Protects the same for what the host sends, and how many words it sends along each lane."""
    _, _, needed, spread = link
    reference = DeliveryReference(needed[1], needed[0])
    lanes = range(int(spread.lane.max()) + 1)
    for each in deliveries(None, None, needed, spread):
        reached = reference.needs
        if not each.direct:
            _check(each, reference, spread, [], host=True)
            final = each.exchanges[-1].along if each.exchanges else "rows"
            groups = [tuple(row) for row in spread.lane.tolist()]
            reached = {
                core: set(words)
                for core, words in reference.landed(groups, [], final, from_host=True).items()
            }
        words = [
            len(set().union(*(have for core, have in reached.items() if spread.lane[core] == lane)))
            for lane in lanes
        ]
        assert each.lanes.tolist() == words
