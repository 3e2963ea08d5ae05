"""New rows in a cache [B, G, C, D] at positions that are known at run time, as Where writes them: what becomes a state.

GroupQueryAttention, TensorScatter and ScatterElements come to this one form (docs/states.md).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from wsec.passes.legalization.emission import CannotRewrite, Emission, shape_of

if TYPE_CHECKING:
    from collections.abc import Sequence

_RANK, _AXIS = 4, 2


def column_of_positions(emit: Emission, columns: int) -> ir.Value:
    """0, 1 ... as [1, 1, columns, 1]; a constant that all nodes share."""
    key = ("column of positions", columns)
    return emit.shared(key, lambda: np.arange(columns, dtype=np.int64).reshape(1, 1, -1, 1))


def write_rows(emit: Emission, cache: ir.Value, new: ir.Value, rows: int, marks: ir.Value) -> ir.Value:
    """The cache with new rows at their positions.

    Args:
        emit: Writes operators.
        cache: [B, G, C, D], whose shape may not have been inferred yet.
        new: [B, G, rows, D].
        rows: How many there are.
        marks: [B or 1, 1, C, rows], true where a position is that of a row.
    """
    dtype = new.dtype
    if rows == 1:
        return emit("Where", marks, new, cache, dtype=dtype)
    factor = emit.cast(marks, ir.DataType.FLOAT if dtype is None else dtype)
    placed = emit("MatMul", factor, new)
    written = emit.cast(emit("ReduceMax", factor, emit.integers(3), keepdims=1), ir.DataType.BOOL)
    return emit("Where", written, placed, cache, dtype=dtype)


def tensor_scatter(emit: Emission) -> Sequence[ir.Value | None]:
    """TensorScatter along the positions of a cache; circular ones begin anew behind the last."""
    shape, rows = _cache(emit, emit.input(1), emit.integer("axis", -2))
    start = emit.optional(2)
    steps = np.arange(rows, dtype=np.int64).reshape(1, 1, 1, -1)
    positions = emit.shared(("row of positions", rows), lambda: steps)
    if start is not None:
        positions = emit("Add", emit.reshape(start, shape[0], 1, 1, 1), positions)
    if emit.text("mode", "linear") == "circular":
        positions = emit("Mod", positions, emit.constant(np.asarray(shape[2], np.int64)))
    return (_written(emit, emit.input(1), shape, rows, positions),)


def scatter_elements(emit: Emission) -> Sequence[ir.Value | None]:
    """ScatterElements along the positions of a cache, with indices that are the same for all heads and features."""
    shape, rows = _cache(emit, emit.input(2), emit.integer("axis", 0))
    if emit.text("reduction", "none") != "none":
        raise CannotRewrite("it adds to what is there")
    expand = emit.input(1).producer()
    source = None if expand is None or expand.op_type != "Expand" else expand.inputs[0]
    extents = () if source is None else shape_of(source)
    extents = (1,) * (_RANK - len(extents)) + extents
    if (
        source is None
        or len(extents) != _RANK
        or extents[1:] != (1, rows, 1)
        or extents[0] not in {1, shape[0]}
    ):
        raise CannotRewrite("its indices differ by head or feature")
    positions = emit.reshape(source, extents[0], 1, 1, rows)
    first = emit("Less", positions, emit.scalar(0, positions), dtype=ir.DataType.BOOL)
    from_end = emit("Add", positions, emit.constant(np.asarray(shape[2], np.int64)))
    return (
        _written(
            emit, emit.input(2), shape, rows, emit("Where", first, from_end, positions, dtype=positions.dtype)
        ),
    )


def _cache(emit: Emission, new: ir.Value, axis: int) -> tuple[tuple[int, ...], int]:
    """The shape of the cache, and the new rows, where an input of the model is updated to an output that something reads."""
    past, present = emit.input(0), emit.node.outputs[0]
    shape, rows = shape_of(past), shape_of(new)
    if not past.is_graph_input() or not present.is_graph_output() or not present.uses():
        raise CannotRewrite("it updates no state of the model")
    if len(shape) != _RANK or axis % _RANK != _AXIS or (*rows[:2], rows[3]) != (*shape[:2], shape[3]):
        raise CannotRewrite("it does not write whole rows of a cache")
    return shape, rows[2]


def _written(
    emit: Emission, new: ir.Value, shape: tuple[int, ...], rows: int, positions: ir.Value
) -> ir.Value:
    marks = emit("Equal", column_of_positions(emit, shape[2]), positions, dtype=ir.DataType.BOOL)
    return write_rows(emit, emit.input(0), new, rows, marks)
