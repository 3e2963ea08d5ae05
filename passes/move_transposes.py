"""Moves transpositions to where they cancel or merge, where that lowers the number of elements that they move.

Adjacent ones combine. Operators between transpositions that compute the same in another order of axes are relaid as a
region (`layout_regions`); each change must pay, so the total falls with every step and the pass ends.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import onnx_ir as ir

from wsec.compiler.importer.shapes import static_shape
from wsec.passes.base import Pass, PassResult
from wsec.passes.layout_operators import (
    Order,
    compose,
    inverse_of,
    keeps_output,
    relaid_constant,
    relaid_shape,
    relay,
    transpose_order,
)
from wsec.passes.layout_regions import Region, grow
from wsec.passes.rewriting import Rewriter, constant_of

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True)
class MoveTransposes(Pass):
    """Moves transpositions through other operators where they cancel, merge or move fewer elements.

    Attributes:
        region_limit: How many operators may change their order of axes together.
    """

    name: ClassVar[str] = "move-transposes"
    region_limit: int = 48

    def run(self, model: ir.Model) -> PassResult:
        """Sweeps over the transpositions of the main graph until none can be moved at a gain."""
        rewriter = Rewriter(model)
        while self._sweep(rewriter):
            rewriter.modified = True
        return PassResult(modified=rewriter.modified)

    def _sweep(self, rewriter: Rewriter) -> bool:
        changed = False
        for node in rewriter.nodes("Transpose"):
            if node.graph is not None:
                changed |= _combine(rewriter, node)
        positions = {node: index for index, node in enumerate(rewriter.graph)}
        for node in rewriter.nodes("Transpose"):
            if node.graph is None:
                continue
            region = self._region(rewriter, node)
            if region is not None:
                _relay_region(rewriter, region, positions)
                changed = True
        return changed

    def _region(self, rewriter: Rewriter, node: ir.Node) -> Region | None:
        """A region behind the transposition that takes it in, or one in front of it that makes it needless."""
        order, source = transpose_order(node), node.inputs[0]
        if order is None or source is None:
            return None
        for use in node.outputs[0].uses():
            region = grow(order, use.node, rewriter.graph, self.region_limit)
            if region is not None:
                return region
        producer = source.producer()
        if producer is None:
            return None
        return grow(inverse_of(order), producer, rewriter.graph, self.region_limit)


def _combine(rewriter: Rewriter, node: ir.Node) -> bool:
    """Transpose(Transpose(x)) is one, and none where nothing changes place."""
    order, source = transpose_order(node), node.inputs[0]
    if order is None or source is None:
        return False
    inner = source.producer()
    first = transpose_order(inner)
    if inner is not None and first is not None:
        order, source = compose(first, order), inner.inputs[0]
    if source is None or (order != tuple(range(len(order))) and first is None):
        return False
    if order == tuple(range(len(order))) and rewriter.bypass(node, source):
        _drop_unread(rewriter, [inner])
        return True
    if first is None:
        return False
    rewriter.become(node, "Transpose", [source], {"perm": list(order)})
    _drop_unread(rewriter, [inner])
    return True


def _drop_unread(rewriter: Rewriter, nodes: Iterable[ir.Node | None]) -> None:
    for node in nodes:
        if node is None or node.graph is not rewriter.graph or transpose_order(node) is None:
            continue
        if not node.outputs[0].uses() and not node.outputs[0].is_graph_output():
            rewriter.graph.remove(node, safe=True)


def _relay_region(rewriter: Rewriter, region: Region, positions: dict[ir.Node, int]) -> None:
    """Change the order of axes of every member, inside first to last, then of what leaves the region."""
    members = sorted(region.members, key=positions.__getitem__)
    relaid: dict[ir.Value, ir.Value] = {}
    replaced: dict[ir.Node, None] = {}
    outputs = [node.outputs[0] for node in members if not keeps_output(node)]
    inside = set(outputs)
    for node in members:
        for index in region.members[node]:
            value = node.inputs[index]
            if value is None or value in inside:
                continue
            if value not in relaid:
                producer = value.producer()
                if producer is not None:
                    replaced[producer] = None
                relaid[value] = _relaid(rewriter, node, value, region.order)
            node.replace_input_with(index, relaid[value])
        relay(rewriter, node, region.order)
    for value in outputs:
        _leave(rewriter, region, value)
    _drop_unread(rewriter, replaced)


def _relaid(rewriter: Rewriter, reader: ir.Node, value: ir.Value, order: Order) -> ir.Value:
    """A value from outside in the new order, computed in front of its first reader."""
    if constant_of(value) is not None:
        return relaid_constant(rewriter, value, order)
    producer, back = value.producer(), inverse_of(order)
    given = transpose_order(producer)
    source = value
    if given is not None and producer is not None and producer.inputs[0] is not None:
        source, back = producer.inputs[0], compose(given, back)
    if back == tuple(range(len(back))):
        return source
    shape = relaid_shape(static_shape(value) or (), order)
    return rewriter.insert_before(
        reader,
        "Transpose",
        [source],
        shape=shape,
        role="relaid",
        attributes={"perm": list(back)},
        dtype=value.dtype,
    )


def _leave(rewriter: Rewriter, region: Region, value: ir.Value) -> None:
    """Give a relaid value its new shape, and those outside who read it the old order."""
    order, shape = region.order, static_shape(value) or ()
    producer = value.producer()
    outside = [use for use in value.uses() if use.idx not in region.members.get(use.node, ())]
    value.shape = ir.Shape(relaid_shape(shape, order))
    direct, is_output = [], value.is_graph_output()
    for use in outside:
        given = transpose_order(use.node) if use.node.graph is rewriter.graph else None
        if given is None:
            direct.append(use)
            continue
        merged = compose(order, given)
        if merged != tuple(range(len(merged))) or not rewriter.bypass(use.node, value):
            rewriter.become(use.node, "Transpose", [value], {"perm": list(merged)})
    if producer is None or not (direct or is_output):
        return
    restored = rewriter.insert_after(
        producer, "Transpose", [value], shape=shape, role="restored", attributes={"perm": list(order)}
    )
    for use in direct:
        use.node.replace_input_with(use.idx, restored)
    if is_output:
        rewriter.take_over_output(value, restored)
