"""Where words land and who sends them on, by the examples of the contract and against its reading word by word."""

from __future__ import annotations

import numpy as np
import pytest
from delivery_examples import DELIVERY_EXAMPLES, DeliveryExample
from delivery_reference import DeliveryReference
from hypothesis import given
from hypothesis import strategies as st

from wsec.compiler.errors import WsecError
from wsec.compiler.plan import Exchange
from wsec.compiler.plan_checker.fabric.needs import needs_of
from wsec.compiler.sharding import DimensionSharding, Mesh, MeshAxis, Sharding, Side
from wsec.runtime.programs.exchanges import DealtWords, exchange_words, final_side, lines_of_cores
from wsec.runtime.programs.landing import land
from wsec.runtime.programs.ragged import Ragged, ragged
from wsec.runtime.programs.words import block_words, owners

_DEALT = [example for example in DELIVERY_EXAMPLES if not example.direct]


def _landed(
    mesh: Mesh, sharding: Sharding, groups: np.ndarray, streams: list[np.ndarray], final: str
) -> np.ndarray:
    landed = np.full(int(np.prod(sharding.shape)), -1, np.int64)
    for lane, stream in enumerate(streams):
        group = np.flatnonzero(groups.reshape(-1) == lane)
        lines = [lines_of_cores(mesh, side) for side in (final, "columns" if final == "rows" else "rows")]
        landed[stream] = land(stream, group, owners(sharding, mesh), lines[0], lines[1])
    return landed


def _by_core(words: Ragged, mesh: Mesh) -> dict[tuple[int, int], tuple[int, ...]]:
    rows = {
        divmod(core, mesh.width): tuple(words.row(core).tolist()) for core in range(words.starts.size - 1)
    }
    return {core: row for core, row in rows.items() if row}


def _dealt(example: DeliveryExample) -> tuple[np.ndarray, DealtWords]:
    groups = np.array(example.groups)
    streams = [np.array(stream) for stream in example.streams]
    if example.from_host:
        groups, streams = np.zeros_like(groups), [np.arange(int(np.prod(example.sharding.shape)))]
    landed = _landed(example.mesh, example.sharding, groups, streams, final_side(example.exchanges))
    needs = block_words(example.sharding, example.mesh)
    return landed, exchange_words(landed, needs, example.mesh, example.exchanges, "x")


@pytest.mark.parametrize("example", _DEALT, ids=lambda example: example.name)
def test_examples_of_the_contract(example: DeliveryExample) -> None:
    """Protects the reading of the contract: the same words land on, and are sent by, the same cores."""
    landed, dealt = _dealt(example)
    expected = {word: core for core, words in example.landed.items() for word in words}
    found = {word: divmod(core, example.mesh.width) for word, core in enumerate(landed.tolist()) if core >= 0}
    assert found == expected
    assert tuple(_by_core(each.sent, example.mesh) for each in dealt.exchanges) == example.sent


@st.composite
def _consumers(draw: st.DrawFn) -> tuple[Mesh, Sharding]:
    """A mesh of up to three axes, and a tensor cut along some of them with gaps, halos or neither."""
    names = draw(st.permutations(["a", "b", "c"]))[: draw(st.integers(1, 3))]
    sides = [draw(st.sampled_from(["rows", "columns"])) for _ in names]
    mesh = Mesh(tuple(MeshAxis(n, draw(st.integers(1, 4)), s) for n, s in zip(names, sides, strict=True)))  # type: ignore[arg-type]
    dimensions, left = [], list(names)
    for _ in range(draw(st.integers(1, 2))):
        axes = tuple(left[: draw(st.integers(0, min(2, len(left))))])
        left = left[len(axes) :]
        parts = int(np.prod([mesh.size(name) for name in axes]))
        extent = draw(st.integers(1, 8))
        step = -(-extent // parts)
        reach = draw(st.integers(0, 2)) if axes else 0
        if axes:
            dimensions.append(DimensionSharding(extent, step + 2 * reach, step, axes, -reach))
        else:
            dimensions.append(DimensionSharding(extent, extent, extent))
    return mesh, Sharding(tuple(dimensions))


@given(_consumers(), st.data())
def test_full_exchanges_bring_everything(consumer: tuple[Mesh, Sharding], data: st.DataObject) -> None:
    """Protects landing and exchanges of any blocks: as the contract says, and every core has its block in the end."""
    mesh, sharding = consumer
    lanes = data.draw(st.integers(1, 3))
    groups = np.array(
        data.draw(
            st.lists(
                st.integers(0, lanes - 1),
                min_size=mesh.height * mesh.width,
                max_size=mesh.height * mesh.width,
            )
        )
    )
    groups[:lanes] = np.arange(lanes)[: groups.size]
    groups = np.minimum(groups, groups.size - 1).reshape(mesh.height, mesh.width)
    total = int(np.prod(sharding.shape))
    order = np.array(data.draw(st.permutations(range(total))))
    streams = np.array_split(order, int(groups.max()) + 1)
    exchanges = (Exchange("columns", mesh.height), Exchange("rows", mesh.width))
    if data.draw(st.booleans()):
        exchanges = exchanges[::-1]
    landed = _landed(mesh, sharding, groups, streams, exchanges[-1].along)
    reference = DeliveryReference(mesh, sharding)
    words = [tuple(stream.tolist()) for stream in streams]
    dealt = reference.landed(
        [tuple(row) for row in groups.tolist()], words, exchanges[-1].along, from_host=False
    )
    assert {w: divmod(c, mesh.width) for w, c in enumerate(landed.tolist()) if c >= 0} == {
        word: core for core, words in dealt.items() for word in words
    }
    found = exchange_words(landed, block_words(sharding, mesh), mesh, exchanges, "x")
    sent, waiting, _ = reference.exchanged(dealt, exchanges)
    assert [_by_core(each.sent, mesh) for each in found.exchanges] == list(sent)
    assert {c: set(w) for c, w in _by_core(found.waiting, mesh).items()} == {
        c: w for c, w in waiting.items() if w
    }


@given(_consumers())
def test_taken_words_are_where_they_pass(consumer: tuple[Mesh, Sharding]) -> None:
    """Protects the places of taken words among those that pass a core: the others' words, by turns, without its own."""
    mesh, sharding = consumer
    total = int(np.prod(sharding.shape))
    landed = np.where(owners(sharding, mesh).of_element < 0, -1, np.arange(total) % mesh.width)
    exchanges = (Exchange("columns", mesh.height), Exchange("rows", mesh.width))
    found = exchange_words(landed, block_words(sharding, mesh), mesh, exchanges, "x")
    for each in found.exchanges:
        for core in range(mesh.height * mesh.width):
            row, column = divmod(core, mesh.width)
            line = range(row * mesh.width, (row + 1) * mesh.width)
            if each.exchange.along == "columns":
                line = range(column, mesh.height * mesh.width, mesh.width)
            passing = [word for other in line if other != core for word in each.sent.row(other).tolist()]
            index = each.index.row(core)
            assert each.passing[core] == len(passing)
            assert [passing[at] for at in index.tolist()] == each.taken.row(core).tolist()


@pytest.mark.parametrize("side", ["rows", "columns"])
def test_cores_off_the_root_own_nothing(side: Side) -> None:
    """Protects inputs that are read at index 0 of an axis alone, as the checker reads them: no word lands elsewhere."""
    other: Side = "columns" if side == "rows" else "rows"
    mesh = Mesh((MeshAxis("m", 3, other), MeshAxis("k", 2, side)))
    sharding = Sharding((DimensionSharding(extent=6, block=2, step=2, axes=("m",)),), root=("k",))
    expected = needs_of(sharding, mesh).core_block.reshape(-1)
    assert owners(sharding, mesh).of_core.tolist() == expected.tolist()
    landed = _landed(mesh, sharding, np.zeros((mesh.height, mesh.width), np.int64), [np.arange(6)], "rows")
    assert {int(expected[core]) for core in landed} == {0, 1, 2}
    assert [int(expected[core]) for core in landed] == [0, 0, 1, 1, 2, 2]


def test_words_that_do_not_come_are_told() -> None:
    """Protects the message for a link whose exchanges are too short."""
    mesh = Mesh((MeshAxis("a", 3, "columns"),))
    sharding = Sharding((DimensionSharding(extent=6, block=4, step=2, axes=("a",), offset=-1),))
    landed = np.array([0, 0, 1, 1, 2, 2])
    with pytest.raises(WsecError) as caught:
        exchange_words(landed, block_words(sharding, mesh), mesh, (Exchange("rows", 2),), "conv/x")
    assert str(caught.value) == (
        "error[WSEC597]: a link does not bring what its kernel needs\n"
        "  where:    link conv/x, column 1, row 0 of the kernel\n"
        "  expected: every element of the core's block, from its stream or by an exchange\n"
        "  found:    element 4 does not come; 2 words are missing in all\n"
        "  try:      `wsec check-plan` lists what is wrong with the plan; compile the model again"
    )


def test_ragged_keeps_the_order_of_a_row() -> None:
    """Protects lists by core: the values of a core stay in the order in which they came."""
    found = ragged(np.array([2, 0, 2, 0]), np.array([5, 6, 4, 7]), 3)
    assert [found.row(index).tolist() for index in range(3)] == [[6, 7], [], [5, 4]]
