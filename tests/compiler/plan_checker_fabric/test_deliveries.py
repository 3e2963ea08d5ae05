"""Where words land and who sends them on: the checker's fast reading of docs/fabric.md against the contract in plain Python."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pytest
from delivery_examples import DELIVERY_EXAMPLES, DeliveryExample
from delivery_reference import DeliveryReference
from hypothesis import given, settings
from hypothesis import strategies as st

from wsec.compiler.plan import Exchange, Link
from wsec.compiler.plan_checker.fabric.delivery import Arrival, check_direct, deal, direct_words
from wsec.compiler.sharding import DimensionSharding, Mesh, MeshAxis, Sharding

if TYPE_CHECKING:
    from collections.abc import Sequence

Words = tuple[int, ...]


def arrival(groups: Sequence[Words], streams: Sequence[Words], *, from_host: bool) -> Arrival:
    """The lanes of an example as the checker has them."""
    lane = np.array(groups).reshape(-1)
    cores = [np.flatnonzero(lane == number) for number in range(len(streams))]
    flat = np.array([word for stream in streams for word in stream], np.int32)
    return Arrival(
        None if from_host else flat,
        np.cumsum([0, *map(len, streams)]),
        np.concatenate(cores),
        np.cumsum([0, *map(len, cores)]),
    )


def link_of(sharding: Sharding, exchanges: tuple[Exchange, ...]) -> Link:
    """All that a delivery asks of a link."""
    return cast("Link", SimpleNamespace(name="link", sharding=sharding, exchanges=exchanges))


@pytest.mark.parametrize("example", DELIVERY_EXAMPLES, ids=lambda example: example.name)
def test_worked_examples(example: DeliveryExample) -> None:
    """Words land where they do by hand, and the exchanges send as many."""
    link = link_of(example.sharding, example.exchanges)
    arriving = arrival(example.groups, example.streams, from_host=example.from_host)
    if example.direct:
        assert list(check_direct(link, example.mesh, arriving)) == []
        assert direct_words(link, example.mesh, arriving).tolist() == list(map(len, example.streams))
        return
    dealt = deal(link, example.mesh, arriving)
    expected = {word: core for core, words in example.landed.items() for word in words}
    assert {
        word: divmod(core, example.mesh.width) for word, core in enumerate(dealt.landed.tolist()) if core >= 0
    } == expected
    for sends, by_core in zip(dealt.sends, example.sent, strict=True):
        assert {core: len(words) for core, words in by_core.items()} == _present(sends)
    assert dealt.lane_words.tolist() == list(map(len, example.streams))
    assert dealt.lost == 0


def _present(sends: np.ndarray[Any, np.dtype[np.int64]]) -> dict[tuple[int, int], int]:
    return {(int(y), int(x)): int(sends[y, x]) for y, x in np.argwhere(sends)}


@st.composite
def consumers(draw: st.DrawFn) -> tuple[Mesh, Sharding]:
    """Up to three axes, each of which cuts a dimension or none, with halos, gaps and blocks in falling order."""
    sides = draw(st.lists(st.sampled_from(["rows", "columns"]), max_size=3))
    axes = tuple(
        MeshAxis(f"a{number}", draw(st.integers(1, 3)), side)  # type: ignore[arg-type] # one of the two
        for number, side in enumerate(sides)
    )
    free = [axis.name for axis in axes]
    dimensions = []
    for _ in range(draw(st.integers(0, 3))):
        mine = tuple(name for name in free if draw(st.booleans()))
        free = [name for name in free if name not in mine]
        extent = draw(st.integers(1, 5))
        dimensions.append(
            DimensionSharding(
                extent=extent,
                block=draw(st.integers(1, extent + 2)),
                step=draw(st.integers(-2, 3)) if mine else 0,
                axes=mine,
                offset=draw(st.integers(-3, 3)),
                divisor=draw(st.integers(1, 2)),
            )
        )
    return Mesh(axes), Sharding(tuple(dimensions))


def spans(mesh: Mesh, sharding: Sharding) -> bool:
    """Whether a dimension is cut along rows and columns."""
    sides = {axis.name: axis.side for axis in mesh.axes}
    return any(len({sides[name] for name in each.axes}) > 1 for each in sharding.dimensions)


@settings(max_examples=300)
@given(data=st.data())
def test_any_delivery_is_that_of_the_contract(data: st.DataObject) -> None:
    """Landings, whether all is delivered and, where no dimension is cut along both sides, who sends how much."""
    mesh, sharding = data.draw(consumers())
    cores = mesh.height * mesh.width
    lanes = data.draw(st.integers(1, min(3, cores)))
    owners = st.integers(0, lanes - 1)
    flat = data.draw(
        st.permutations(
            [*range(lanes), *data.draw(st.lists(owners, min_size=cores - lanes, max_size=cores - lanes))]
        )
    )
    groups = tuple(tuple(flat[row * mesh.width : (row + 1) * mesh.width]) for row in range(mesh.height))
    words = data.draw(st.permutations(range(int(np.prod(sharding.shape)))))
    of_lane = [data.draw(owners) for _ in words]
    streams = [
        tuple(word for word, own in zip(words, of_lane, strict=True) if own == lane) for lane in range(lanes)
    ]
    exchange = st.builds(
        lambda along, segment, offset: Exchange(along, segment, offset % segment),
        st.sampled_from(["rows", "columns"]),
        st.integers(1, 4),
        st.integers(0, 3),
    )
    exchanges = tuple(data.draw(st.lists(exchange, max_size=3)))
    from_host = data.draw(st.booleans())
    dealt = deal(link_of(sharding, exchanges), mesh, arrival(groups, streams, from_host=from_host))

    reference = DeliveryReference(mesh, sharding)
    final = exchanges[-1].along if exchanges else "rows"
    landed = reference.landed(groups, streams, final, from_host=from_host)
    expected = {word: core for core, own in landed.items() for word in own}
    assert {
        word: divmod(core, mesh.width) for word, core in enumerate(dealt.landed.tolist()) if core >= 0
    } == expected
    sent, _, ended = reference.exchanged(landed, exchanges)
    assert (dealt.lost == 0) == all(reference.needs[core] <= ended[core] for core in reference.needs)
    if dealt.lost == 0 and not spans(mesh, sharding):
        early = [each for each in exchanges if each.along != final]
        order = [*early, *(each for each in exchanges if each.along == final)]
        for each, by_core in zip(order, sent, strict=True):
            number = next(n for n, other in enumerate(exchanges) if other is each)
            assert {core: len(own) for core, own in by_core.items()} == _present(dealt.sends[number])


@given(data=st.data())
def test_direct_links(data: st.DataObject) -> None:
    """A direct link is refused exactly where a core needs a word that is not in the stream of its group."""
    mesh, sharding = data.draw(consumers())
    cores = mesh.height * mesh.width
    flat = [data.draw(st.integers(0, 1)) for _ in range(cores)]
    groups = tuple(tuple(flat[row * mesh.width : (row + 1) * mesh.width]) for row in range(mesh.height))
    of_lane = [data.draw(st.integers(0, 1)) for _ in range(int(np.prod(sharding.shape)))]
    streams = [tuple(word for word, own in enumerate(of_lane) if own == lane) for lane in (0, 1)]
    reference = DeliveryReference(mesh, sharding)
    fits = all(needed <= set(streams[groups[y][x]]) for (y, x), needed in reference.needs.items())
    found = list(check_direct(link_of(sharding, ()), mesh, arrival(groups, streams, from_host=False)))
    assert (not found) == fits
    arriving = arrival(groups, streams, from_host=True)
    needed = [
        set().union(*(own for (y, x), own in reference.needs.items() if groups[y][x] == lane))
        for lane in (0, 1)
    ]
    assert direct_words(link_of(sharding, ()), mesh, arriving).tolist() == list(map(len, needed))
