"""Rotary embedding at positions that are known at run time, as GroupQueryAttention and RotaryEmbedding of com.microsoft have it.

The rows of both tables are taken first, by a Gather that all layers share: its kernel spreads the tables over cores, where a
kernel of the rotation would hold them whole on each.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import onnx_ir as ir

    from wsec.passes.legalization.emission import Emission


def rotate(
    emit: Emission, x: ir.Value, tables: tuple[ir.Value, ir.Value], positions: ir.Value, **attributes: Any
) -> ir.Value:
    """The rotation of `x`.

    Args:
        emit: Writes operators.
        x: [B, H, S, D], or [B, S, H D] with the attribute `num_heads`.
        tables: Cosines and sines [positions, D / 2].
        positions: int64 [B, S].
        attributes: Of RotaryEmbedding.
    """
    rows = [emit("Gather", table, positions, dtype=table.dtype, axis=0) for table in tables]
    return emit("RotaryEmbedding", x, *rows, **attributes)
