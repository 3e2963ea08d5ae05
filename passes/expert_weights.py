"""Stacks the weights of all experts of a mixture: [experts, N, K], codes of few bits as codes.

Constants that are in files are not read: what is stacked is computed when a plan is written.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from wsec.compiler.importer.shapes import static_shape
from wsec.passes.expert_bodies import Product, row_of
from wsec.passes.formulas import producer_of
from wsec.passes.rewriting import constant_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import onnx_ir as ir

    from wsec.passes.legalization.emission import Emission
    from wsec.passes.rewriting import Array

    Arrange = Callable[[Array], Array]


@dataclass(frozen=True, slots=True)
class _Codes:
    """A matrix that a DequantizeLinear gives, with its operands and where its blocks lie: in [K, N], or turned."""

    node: ir.Node
    codes: ir.Value
    scale: ir.Value
    zero: ir.Value | None
    axis: int
    block: int


def stack_matrices(emit: Emission, products: Sequence[Product]) -> ir.Value | None:
    """The weights of these products, one for each expert, as [experts, N, K]; None where they are not alike or no constants."""
    turned = products[0].turned
    if any(product.turned != turned for product in products):
        return None
    codes = [_codes_of(product.weights) for product in products]
    if all(each is not None for each in codes):
        return _stack_codes(emit, [each for each in codes if each is not None], turned=turned)
    return _stack(emit, [product.weights for product in products], "weights", _turn(turned=turned))


def stacked_matrix(emit: Emission, product: Product) -> ir.Value | None:
    """The weights of a product that are those of all experts already, as [experts, N, K]."""
    shape, kind = static_shape(product.weights), product.weights.dtype
    if shape is None or kind is None or product.turned:
        return product.weights if product.turned else None
    turn = _turn(turned=False)
    return emit.derive("weights", kind, [product.weights], (shape[0], shape[2], shape[1]), turn)


def stack_biases(emit: Emission, products: Sequence[Product]) -> tuple[bool, ir.Value | None]:
    """The biases as [experts, N], and whether these are what MoE takes; none where no product has one."""
    given = [product.bias for product in products]
    if all(bias is None for bias in given):
        return True, None
    found = [bias for bias in given if bias is not None]
    if len(found) < len(given):
        return False, None
    stacked = _stack(emit, found, "biases", None, rank=1)
    return stacked is not None, stacked


def _turn(*, turned: bool) -> Arrange | None:
    return None if turned else lambda array: array.swapaxes(-1, -2)


def _stack(
    emit: Emission, values: Sequence[ir.Value], stem: str, arrange: Arrange | None, rank: int = 2
) -> ir.Value | None:
    """Rows of one constant in their order, or as many constants, each arranged."""
    shapes = {static_shape(value) for value in values}
    kinds = {value.dtype for value in values}
    shape = next(iter(shapes))
    if len(shapes) > 1 or len(kinds) > 1 or shape is None or len(shape) != rank or values[0].dtype is None:
        return None
    result = (len(values), *(shape if arrange is None else shape[::-1]))
    rows = [row_of(value) for value in values]
    if all(row is not None for row in rows):
        stacks = {row[0] for row in rows if row is not None}
        in_order = [row[1] for row in rows if row is not None] == list(range(len(values)))
        (whole, *others) = stacks
        if others or not in_order or static_shape(whole) != (len(values), *shape):
            return None
        if arrange is None:
            return whole
        return emit.derive(stem, values[0].dtype, [whole], result, arrange)
    if any(constant_of(value) is None for value in values):
        return None

    def join(*arrays: Array) -> Array:
        return np.stack([each if arrange is None else arrange(each) for each in arrays])

    return emit.derive(stem, values[0].dtype, list(values), result, join)


def _codes_of(value: ir.Value) -> _Codes | None:
    """A DequantizeLinear of constants with a scale for each block along an axis, or for each index of it."""
    node = producer_of(value, "DequantizeLinear")
    shape = static_shape(value)
    if (
        node is None
        or shape is None
        or any(each is not None and constant_of(each) is None for each in node.inputs)
    ):
        return None
    codes, scale = node.inputs[0], node.inputs[1]
    if codes is None or scale is None or len(shape) != 2 or len(static_shape(scale) or ()) != 2:
        return None
    axis = (node.attributes["axis"].as_int() if "axis" in node.attributes else 1) % 2
    block = node.attributes["block_size"].as_int() if "block_size" in node.attributes else 0
    return (
        _Codes(node, codes, scale, node.inputs[2] if len(node.inputs) > 2 else None, axis, block)
        if block
        else None
    )


def _stack_codes(emit: Emission, codes: Sequence[_Codes], *, turned: bool) -> ir.Value | None:
    """DequantizeLinear of the stacked codes, in blocks of the last dimension."""
    first = codes[0]
    along_features = 1 if turned else 0
    if any((each.axis, each.block) != (along_features, first.block) for each in codes):
        return None
    zeros = [each.zero for each in codes if each.zero is not None]
    if zeros and len(zeros) < len(codes):
        return None
    arrange = _turn(turned=turned)
    stacked = _stack(emit, [each.codes for each in codes], "weights", arrange)
    scale = _stack(emit, [each.scale for each in codes], "scales", arrange)
    zero = _stack(emit, zeros, "zeros", arrange) if zeros else None
    if stacked is None or scale is None or (zeros and zero is None):
        return None
    node = first.node
    wide = node.outputs[0].dtype
    attributes: dict[str, Any] = {"axis": 2, "block_size": first.block}
    if "output_dtype" in node.attributes:
        attributes["output_dtype"] = node.attributes["output_dtype"].as_int()
    return emit("DequantizeLinear", stacked, scale, zero, dtype=wide, **attributes)
