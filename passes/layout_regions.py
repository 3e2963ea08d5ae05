"""Regions of operators to relay, and what that saves in elements that transpositions move.

Relaying a region removes the transpositions at its borders that become nothing, lets others merge with the change of
order, and puts new ones where it meets the rest of the graph. A region grows from one operator by the neighbour that
saves most (or costs least), up to a limit; the best of its stages counts. Greedy: where a transposition only pays
beyond the limit it stays.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from wsec.compiler.importer.shapes import static_shape
from wsec.passes.layout_operators import (
    Order,
    compose,
    inverse_of,
    keeps_output,
    relaid_operands,
    transpose_order,
)
from wsec.passes.rewriting import constant_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    import onnx_ir as ir

_READER_LIMIT = 32


def moved_elements(shape: tuple[int, ...], order: Order) -> int:
    """Elements that Transpose moves out of a value of this shape; none where only axes of extent one change place."""
    moved = [axis for axis in order if shape[axis] != 1]
    return 0 if moved == sorted(moved) else math.prod(shape)


class Region:
    """A growing set of operators that would compute in another order of axes.

    Attributes:
        order: value = Transpose(relaid value, order).
        members: The operators, with the inputs that are relaid.
        cost: Elements moved by transpositions with the region relaid, less those moved now.
    """

    def __init__(self, order: Order, graph: ir.Graph) -> None:
        self.order = order
        self.members: dict[ir.Node, tuple[int, ...]] = {}
        self.cost = 0
        self._graph = graph
        self._back = inverse_of(order)

    def operands(self, node: ir.Node) -> tuple[int, ...] | None:
        """The inputs of a node that would have to be relaid; None where it cannot be a member."""
        if node.graph is not self._graph:
            return None
        found = relaid_operands(node, self.order)
        if not found:
            return None
        values = [*(node.inputs[index] for index in found), node.outputs[0]]
        crowded = any(
            value is None or len(value.uses()) > _READER_LIMIT for value in values if not _is_constant(value)
        )
        return None if crowded else found

    def is_relaid(self, value: ir.Value) -> bool:
        """Whether a member computes the value in the new order."""
        producer = value.producer()
        return producer is not None and producer in self.members and not keeps_output(producer)

    def price(self, node: ir.Node, operands: tuple[int, ...]) -> int:
        """How the cost would change with one more member."""
        touched = list(_touched(node, operands))
        before = sum(self._border(value) for value in touched)
        self.members[node] = operands
        after = sum(self._border(value) for value in touched)
        del self.members[node]
        return after - before

    def neighbours(self, node: ir.Node) -> Iterator[ir.Node]:
        """The nodes that share a relaid value with a member."""
        for value in _touched(node, self.members[node]):
            producer = value.producer()
            if producer is not None and producer is not node:
                yield producer
            if value is not node.outputs[0] or not keeps_output(node):
                yield from (use.node for use in value.uses() if use.node is not node)

    def inner_readers(self, value: ir.Value) -> int:
        """How many inputs of members read the value in the new order."""
        return sum(1 for use in value.uses() if use.idx in self.members.get(use.node, ()))

    def _border(self, value: ir.Value) -> int:
        """What transposing one value, or no longer doing so, adds to the cost."""
        shape = static_shape(value)
        if shape is None or len(shape) != len(self.order):
            return 0
        if self.is_relaid(value):
            return self._leaving(value, shape)
        inside = self.inner_readers(value)
        if not inside or _is_constant(value):
            return 0
        given = transpose_order(value.producer())
        source = None if given is None else _source_shape(shape, given)
        if given is None or source is None:
            return moved_elements(shape, self._back)
        is_needed = value.is_graph_output() or inside < len(value.uses())
        saved = 0 if is_needed else moved_elements(source, given)
        return moved_elements(source, compose(given, self._back)) - saved

    def _leaving(self, value: ir.Value, shape: tuple[int, ...]) -> int:
        relaid = tuple(shape[axis] for axis in self._back)
        cost, is_needed = 0, value.is_graph_output()
        for use in value.uses():
            if use.idx in self.members.get(use.node, ()):
                continue
            given = transpose_order(use.node) if use.node.graph is self._graph else None
            if given is None:
                is_needed = True
            else:
                cost += moved_elements(relaid, compose(self.order, given)) - moved_elements(shape, given)
        return cost + (moved_elements(relaid, self.order) if is_needed else 0)


def grow(order: Order, start: ir.Node, graph: ir.Graph, limit: int) -> Region | None:
    """The best stage of a region that grows from one operator; None where no stage saves anything."""
    region = Region(order, graph)
    frontier: dict[ir.Node, tuple[int, tuple[int, ...]]] = {}
    rejected: set[ir.Node] = set()
    best, best_count = 0, 0

    def offer(node: ir.Node) -> None:
        if node in region.members or node in rejected:
            return
        operands = frontier[node][1] if node in frontier else region.operands(node)
        if operands is None:
            rejected.add(node)
        else:
            frontier[node] = region.price(node, operands), operands

    offer(start)
    while frontier and len(region.members) < limit:
        node = min(frontier, key=lambda candidate: frontier[candidate][0])
        price, operands = frontier.pop(node)
        region.members[node] = operands
        region.cost += price
        if region.cost < best:
            best, best_count = region.cost, len(region.members)
        for neighbour in dict.fromkeys(region.neighbours(node)):
            offer(neighbour)
    if not best_count:
        return None
    region.members = dict(list(region.members.items())[:best_count])
    region.cost = best
    return region


def _touched(node: ir.Node, operands: tuple[int, ...]) -> Iterator[ir.Value]:
    values = [node.inputs[index] for index in operands] + [node.outputs[0]]
    yield from (value for value in dict.fromkeys(values) if value is not None and not _is_constant(value))


def _is_constant(value: ir.Value | None) -> bool:
    return constant_of(value) is not None


def _source_shape(shape: tuple[int, ...], order: Order) -> tuple[int, ...]:
    return tuple(shape[axis] for axis in inverse_of(order))
