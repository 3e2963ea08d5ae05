"""Shortens chains of casts where the first loses nothing.

Cast(Cast(x)) is one cast of x where every value of the type of x is a value of the type between: widening and back is
nothing, and what follows a widening sees the same number. Between the two there may be movements of data, which move
any type alike. Saturating 8-bit floats are left alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import onnx_ir as ir

from wsec.compiler.importer.shapes import static_shape
from wsec.passes.base import Pass, PassResult
from wsec.passes.formulas import producer_of
from wsec.passes.rewriting import Rewriter, only_user

if TYPE_CHECKING:
    from collections.abc import Mapping

_MOVEMENTS = ("Expand", "Flatten", "Gather", "Reshape", "Slice", "Squeeze", "Tile", "Transpose", "Unsqueeze")
_SIGNIFICANT_BITS: Mapping[ir.DataType, int] = {
    ir.DataType.FLOAT16: 11,
    ir.DataType.BFLOAT16: 8,
    ir.DataType.FLOAT: 24,
    ir.DataType.DOUBLE: 53,
}
_EXPONENT_RANK: Mapping[ir.DataType, int] = {
    ir.DataType.FLOAT16: 0,
    ir.DataType.BFLOAT16: 1,
    ir.DataType.FLOAT: 1,
    ir.DataType.DOUBLE: 2,
}
"""Types of one rank have the same exponents."""

_MAGNITUDE_BITS: Mapping[ir.DataType, int] = {
    ir.DataType.BOOL: 1,
    ir.DataType.INT8: 8,
    ir.DataType.UINT8: 8,
    ir.DataType.INT16: 16,
    ir.DataType.UINT16: 16,
    ir.DataType.INT32: 32,
    ir.DataType.UINT32: 32,
    ir.DataType.INT64: 64,
    ir.DataType.UINT64: 64,
}


@dataclass(frozen=True)
class SimplifyCasts(Pass):
    """Combines casts where the first widens: back again is nothing, further on is one cast."""

    name: ClassVar[str] = "simplify-casts"

    def run(self, model: ir.Model) -> PassResult:
        """Casts of the main graph, in its order."""
        rewriter = Rewriter(model)
        for node in rewriter.nodes("Cast"):
            _combine(rewriter, node)
        return PassResult(modified=rewriter.modified)


def is_exact(narrow: ir.DataType | None, wide: ir.DataType | None) -> bool:
    """Whether every value of one type is a value of the other."""
    if narrow is None or wide is None:
        return False
    if narrow in _SIGNIFICANT_BITS:
        return (
            wide in _SIGNIFICANT_BITS
            and _SIGNIFICANT_BITS[wide] >= _SIGNIFICANT_BITS[narrow]
            and _EXPONENT_RANK[wide] >= _EXPONENT_RANK[narrow]
        )
    if narrow not in _MAGNITUDE_BITS:
        return False
    signed = narrow.is_signed() and narrow != ir.DataType.BOOL
    bits = _MAGNITUDE_BITS[narrow] - signed
    if wide in _SIGNIFICANT_BITS:
        # The largest half is 65504: it holds any integer of up to 11 bits.
        return bits <= _SIGNIFICANT_BITS[wide]
    if wide not in _MAGNITUDE_BITS or wide == ir.DataType.BOOL:
        return narrow == wide
    wide_signed = wide.is_signed()
    return bits <= _MAGNITUDE_BITS[wide] - wide_signed and (wide_signed or not signed)


def _combine(rewriter: Rewriter, node: ir.Node) -> None:
    """Let the second of two casts read what the first reads, with the movements between them in its type."""
    between: list[ir.Node] = []
    value = node.inputs[0]
    while (movement := producer_of(value, *_MOVEMENTS)) is not None and value is not None:
        if only_user(value) is not (between[-1] if between else node):
            return
        between.append(movement)
        value = movement.inputs[0]
    first = producer_of(value, "Cast")
    source = None if first is None else first.inputs[0]
    target = node.outputs[0].dtype
    if (
        first is None
        or source is None
        or target is None
        or not is_exact(source.dtype, first.outputs[0].dtype)
    ):
        return
    if between and source.dtype != target:
        return  # moving a cast past a movement pays only where it goes
    if not between:
        if source.dtype != target:
            node.replace_input_with(0, source)
            rewriter.modified = True
        elif not rewriter.bypass(node, source):
            return
    elif only_user(first.outputs[0]) is between[-1] and static_shape(source) is not None:
        _retype(rewriter, between, source, target)
        rewriter.bypass(node, between[0].outputs[0])
    if first.graph is not None and not first.outputs[0].uses() and not first.outputs[0].is_graph_output():
        rewriter.graph.remove(first, safe=True)


def _retype(rewriter: Rewriter, movements: list[ir.Node], source: ir.Value, dtype: ir.DataType) -> None:
    """Let the movements, last first, move the source itself."""
    movements[-1].replace_input_with(0, source)
    for movement in movements:
        movement.outputs[0].dtype = dtype
    rewriter.modified = True
