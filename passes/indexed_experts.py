"""Mixtures of experts whose weights are picked by the indices that TopK gives: Gather, product, activation, product, weighted sum.

For every row copies of the chosen experts' weights would travel; as one MoE they stay where they lie.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from wsec.compiler.importer.shapes import static_shape
from wsec.passes.expert_bodies import Body, Product, read_body
from wsec.passes.formulas import producer_of, without_ones
from wsec.passes.rewriting import constant_of, integers_of

if TYPE_CHECKING:
    import onnx_ir as ir

_KEEPS_ORDER = ("Reshape", "Squeeze", "Unsqueeze")


@dataclass(frozen=True, slots=True)
class IndexedExperts:
    """What the weighted sum `root` adds: the experts' body, whose weights and biases are those of all experts."""

    root: ir.Node
    body: Body


def read_indexed(which: ir.Value, shares: ir.Value) -> IndexedExperts | None:
    """The mixture of experts with these indices and shares, both [rows, chosen]; None where there is none."""
    shape = static_shape(shares)
    if shape is None or len(shape) != 2:
        return None
    for value in _shaped_alike(shares):
        for use in value.uses():
            found = _weighted_sum(use.node, value, shape)
            if found is None:
                continue
            root, results = found
            body = read_body(results, lambda item: _read_product(item, which))
            if body is not None and len(static_shape(body.x) or ()) == 2:
                return IndexedExperts(root, body)
    return None


def _shaped_alike(value: ir.Value) -> list[ir.Value]:
    """The value, and what is it with dimensions of one element more or fewer."""
    around = (use.node for use in value.uses())
    return [
        value,
        *(n.outputs[0] for n in around if producer_of(n.outputs[0], *_KEEPS_ORDER) and _keeps_extents(n)),
    ]


def _keeps_extents(node: ir.Node) -> bool:
    before, after = (
        None if value is None else static_shape(value) for value in (node.inputs[0], node.outputs[0])
    )
    return before is not None and after is not None and without_ones(before) == without_ones(after)


def _weighted_sum(node: ir.Node, shares: ir.Value, shape: tuple[int, ...]) -> tuple[ir.Node, ir.Value] | None:
    """The node that adds what the shares were multiplied with, and that."""
    rows, chosen = shape
    if (
        node.domain
        or node.op_type not in {"Mul", "MatMul"}
        or node.inputs[0] is None
        or node.inputs[1] is None
    ):
        return None
    if node.op_type == "MatMul":
        fits = node.inputs[0] is shares and static_shape(shares) == (rows, 1, chosen)
        return (node, node.inputs[1]) if fits else None
    results = node.inputs[1] if node.inputs[0] is shares else node.inputs[0]
    extents = static_shape(results)
    if extents is None or extents[:-1] != shape or static_shape(shares) != (rows, chosen, 1):
        return None
    users = [use.node for use in node.outputs[0].uses()]
    if len(users) != 1 or users[0].domain or users[0].op_type != "ReduceSum" or len(users[0].inputs) < 2:
        return None
    return (users[0], results) if integers_of(users[0].inputs[1]) in {(1,), (-2,)} else None


def _read_product(value: ir.Value | None, which: ir.Value) -> Product | None:
    """Rows times the matrices that the indices pick, plus the biases that they pick."""
    value, bias = _unwrapped(value), None
    add = producer_of(value, "Add")
    for index in (0, 1) if add is not None else ():
        picked = None if add is None else _picked(_unwrapped(add.inputs[index]), which, 2)
        if add is not None and picked is not None and _alike(*add.inputs):
            bias, value = picked, _unwrapped(add.inputs[1 - index])
            break
    node = producer_of(value, "MatMul")
    if node is None:
        return None
    for index in (0, 1):
        weights = _picked(node.inputs[index], which, 3)
        x = None if weights is None else _rows(node.inputs[1 - index], which, column=index == 0)
        if weights is not None:
            return None if x is None else Product(x, weights, turned=index == 0, bias=bias)
    return None


def _alike(*values: ir.Value | None) -> bool:
    shapes = {None if value is None else static_shape(value) for value in values}
    return len(shapes) == 1 and None not in shapes


def _picked(value: ir.Value | None, which: ir.Value, rank: int) -> ir.Value | None:
    """The constant of this rank of which a Gather takes the chosen experts' parts."""
    node = producer_of(value, "Gather")
    if node is None or node.inputs[0] is None or node.inputs[1] is not which:
        return None
    axis = node.attributes["axis"].as_int() if "axis" in node.attributes else 0
    fits = axis == 0 and len(static_shape(node.inputs[0]) or ()) == rank
    return node.inputs[0] if fits and constant_of(node.inputs[0]) is not None else None


def _rows(value: ir.Value | None, which: ir.Value, *, column: bool) -> ir.Value | None:
    """The rows [rows, features] that every choice reads, or what was computed for each choice, as a MatMul reads them.

    That is [rows, 1 or chosen, 1, features], or with the last two exchanged for a `column`.
    """
    shape, choices = None if value is None else static_shape(value), static_shape(which)
    if shape is None or choices is None or len(shape) != 4 or shape[3 if column else 2] != 1:
        return None
    features = shape[2 if column else 3]
    if shape[:2] == choices and choices[1] > 1:
        return _unwrapped(value)
    if shape[:2] != (choices[0], 1):
        return None
    while value is not None and static_shape(value) != (choices[0], features):
        node = producer_of(value, *_KEEPS_ORDER)
        if node is None or not _keeps_extents(node):
            break
        value = node.inputs[0]
    return value


def _unwrapped(value: ir.Value | None) -> ir.Value | None:
    """The value without the operators that only add or drop dimensions of one element."""
    while (node := producer_of(value, *_KEEPS_ORDER)) is not None and _keeps_extents(node):
        value = node.inputs[0]
    return value
