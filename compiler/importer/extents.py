"""Refuses tensors that no machine holds, before any stage computes with their sizes or makes room for them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import onnx_ir as ir

from wsec.compiler.errors import WsecError

if TYPE_CHECKING:
    from collections.abc import Iterator


LARGEST_BYTES = 1 << 40  # 25 wafers of 40 GB


def check_extents(graph: ir.Graph) -> None:
    """Check the inputs of a graph and all that its nodes compute, as far as shapes are known.

    Raises:
        WsecError: WSEC120 lists every tensor that is too large or has a negative extent.
    """
    findings = [
        (f"{where}: {list(extents)}", size)
        for where, extents, size in _sizes(graph)
        if not 0 <= size <= LARGEST_BYTES
    ]
    if not findings:
        return
    shown = findings[:20]
    rest = [f"and {len(findings) - 20} more"] if len(findings) > 20 else []
    raise WsecError(
        "WSEC120",
        f"{len(findings)} tensor{'s have' if len(findings) != 1 else ' has'} an impossible size",
        where="\n".join([*(where for where, _ in shown), *rest]),
        expected=f"extents of 0 or more, and at most {LARGEST_BYTES:,} bytes",
        found="\n".join(
            [*("a negative extent" if size < 0 else f"{size:,} bytes" for _, size in shown), *rest]
        ),
        hint="check the sizes that the model is given and computes; --dim may have set one of them",
    )


def _sizes(graph: ir.Graph) -> Iterator[tuple[str, tuple[int, ...], int]]:
    """Of each tensor of known shape its place, its extents and its bytes, -1 where an extent is negative."""
    values = [(f"input {value.name}", value) for value in graph.inputs]
    values += [
        (f"{node.name or node.op_type} ({node.op_type}), output {value.name}", value)
        for node in graph
        for value in node.outputs
    ]
    for where, value in values:
        if value.shape is None:
            continue
        extents = tuple(extent for extent in value.shape if isinstance(extent, int))
        if any(extent < 0 for extent in extents):
            yield where, extents, -1
        elif len(extents) == len(value.shape):
            yield where, extents, math.ceil(math.prod(extents) * _item_bytes(value))


def _item_bytes(value: ir.Value) -> float:
    if value.dtype is None or value.dtype in {ir.DataType.STRING, ir.DataType.UNDEFINED}:
        return 1
    return value.dtype.itemsize
