"""What leads on the rows of kernels: one loop in all options, the same dimension in neighbours where that saves cores."""

from __future__ import annotations

from wsec.compiler.kernels.graph import HOST_INDEX, GraphLink, KernelGraph
from wsec.compiler.kernels.leads import NO_LEAD, choose_leads, led_splits
from wsec.compiler.kernels.loop_nest import Loop, LoopNest, LoopRole, Operand, Work, fixed, follows
from wsec.compiler.target import load_target

TARGET = load_target("mesh64")
TOKENS, CHANNELS = 64, 96


def _operand(role: str, tensor: str, *loops: Loop, constant: bool = False) -> Operand:
    return Operand(role, tensor, "float32", 4, constant=constant, maps=tuple(map(follows, loops)))


def _product(reads: str, writes: str) -> LoopNest:
    m, n, k = Loop("m", TOKENS), Loop("n", CHANNELS), Loop("k", CHANNELS, LoopRole.REDUCTION)
    return LoopNest(
        kind="matmul",
        operators=(writes,),
        loops=(m, n, k),
        inputs=(_operand("a", reads, m, k), _operand("b", "weights", k, n, constant=True)),
        outputs=(_operand("result", writes, m, n),),
        arguments={},
        work=Work(("m", "n", "k"), operations=1, walks=(("m",), ("n",)), summed=(("k",),)),
    ).with_links({}, 2, (TOKENS * CHANNELS, TOKENS * CHANNELS))


def _graph(*nests: LoopNest) -> KernelGraph:
    producer = {nest.outputs[0].tensor: index for index, nest in enumerate(nests)}
    links = tuple(
        GraphLink(item.tensor, producer.get(item.tensor, HOST_INDEX), index, item.role, TOKENS * CHANNELS)
        for index, nest in enumerate(nests)
        for item in nest.inputs
        if not item.constant
    )
    return KernelGraph(nests, links, tuple(range(len(nests))), samples=2)


def test_products_in_a_row_follow_the_tokens() -> None:
    """Of rows, columns and the sum only the rows go through a product in order, so that they lead everywhere."""
    graph = _graph(_product("x", "a"), _product("a", "b"), _product("b", "c"))
    splits = [led_splits(nest, TARGET) for nest in graph.nests]
    tables, ordered = choose_leads(graph, splits, 4000)
    for table in tables:
        assert (table.parts[:, 0] > 1).all()
        assert table.on_rows[:, 0].all()
    assert ordered == [False, True, True]  # what the host sends comes where it is needed


def test_the_leading_loop_is_the_outermost_on_the_rows() -> None:
    """Every option is listed by the first loop of the mesh that lies on rows in more than one part."""
    nest = _product("x", "a")
    found = led_splits(nest, TARGET)
    for option in range(0, len(found.leads), 97):
        on_rows = [
            at
            for at in nest.mesh_order()
            if found.table.parts[option, at] > 1 and found.table.on_rows[option, at]
        ]
        assert found.leads[option] == (on_rows[0] if on_rows else NO_LEAD)


def test_words_in_another_order_cost_what_they_take_along_the_columns() -> None:
    """The cycles to expect rise where an input is out of order, and never fall below those of the kernel."""
    found = led_splits(_product("x", "a"), TARGET)
    apart, alike = found.priced_for(0, (False,)), found.priced_for(0, (True,))
    words = TOKENS * CHANNELS
    assert (apart.shapes.cycles >= words / apart.shapes.widths).all()
    assert (alike.shapes.cycles >= alike.costs.cycles).all()
    assert alike.shapes.cycles.sum() < apart.shapes.cycles.sum()


def test_an_input_that_every_core_needs_whole_comes_in_no_order() -> None:
    """A dimension that no loop follows cannot lead: such an input counts as out of order."""
    m = Loop("m", TOKENS)
    whole = Operand("e0", "a", "float32", 4, constant=False, maps=(fixed(CHANNELS),))
    reader = LoopNest(
        kind="elementwise",
        operators=("b",),
        loops=(m,),
        inputs=(whole,),
        outputs=(_operand("result", "b", m),),
        arguments={},
        work=Work(("m",), operations=1),
    )
    graph = _graph(_product("x", "a"), reader)
    _, ordered = choose_leads(graph, [led_splits(nest, TARGET) for nest in graph.nests], 4000)
    assert ordered == [False, False]
