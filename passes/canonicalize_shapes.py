"""One way to write each movement of data, with everything about it constant.

Flatten, Squeeze, Unsqueeze and transpositions of axes of size one are Reshapes with a constant, full shape; a Reshape
of a Reshape is one; a Split is Slices; global pooling is a reduction over the spatial axes; reductions name their axes.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from wsec.compiler.importer.shapes import static_shape
from wsec.compiler.operators import REDUCTIONS
from wsec.passes.base import Pass, PassResult
from wsec.passes.rewriting import Rewriter, constant_of, integers_of

if TYPE_CHECKING:
    from collections.abc import Callable

    import onnx_ir as ir


@dataclass(frozen=True)
class CanonicalizeShapes(Pass):
    """Writes flattening, squeezing, splitting and global pooling as Reshape, Slice and reductions."""

    name: ClassVar[str] = "canonicalize-shapes"
    rewrites: ClassVar[tuple[str, ...]] = (
        "Flatten",
        "GlobalAveragePool",
        "GlobalMaxPool",
        "Split",
        "Squeeze",
        "Unsqueeze",
    )

    def run(self, model: ir.Model) -> PassResult:
        """Each such node of the main graph whose shapes are known."""
        rewriter = Rewriter(model)
        for node in rewriter.nodes(*_REWRITES):
            source = node.inputs[0] if node.inputs else None
            if source is not None and static_shape(source) is not None:
                _REWRITES[node.op_type](rewriter, node, source)
        return PassResult(modified=rewriter.modified)


def _to_reshape(rewriter: Rewriter, node: ir.Node, source: ir.Value) -> None:
    shape = static_shape(node.outputs[0])
    if shape is None or 0 in shape:
        return  # a zero in the shape of a Reshape would copy a dimension
    inner = source.producer()
    origin = inner.inputs[0] if inner is not None and _is_reshape(inner) else None
    if node.op_type == "Reshape" and origin is None and integers_of(node.inputs[1]) == shape:
        if "allowzero" in node.attributes:
            del node.attributes["allowzero"]
            rewriter.modified = True
        return
    target = rewriter.constant(f"{node.outputs[0].name}_shape", np.array(shape, np.int64))
    rewriter.become(node, "Reshape", [source if origin is None else origin, target])


def _is_reshape(node: ir.Node) -> bool:
    return node.domain == "" and node.op_type == "Reshape" and constant_of(node.inputs[1]) is not None


def _transpose(rewriter: Rewriter, node: ir.Node, source: ir.Value) -> None:
    """Moving axes of size one moves nothing."""
    shape = static_shape(source) or ()
    axes = range(len(shape))
    order = list(node.attributes["perm"].as_ints()) if "perm" in node.attributes else list(axes)[::-1]
    moved = [axis for axis in order if shape[axis] != 1]
    if moved == sorted(moved):
        _to_reshape(rewriter, node, source)


def _split(rewriter: Rewriter, node: ir.Node, source: ir.Value) -> None:
    shape = static_shape(source) or ()
    axis = node.attributes["axis"].as_int() % len(shape) if "axis" in node.attributes else 0
    outputs = list(node.outputs)
    parts = [static_shape(output) for output in outputs]
    ends = list(accumulate(0 if part is None else part[axis] for part in parts))
    if any(part is None for part in parts) or ends[-1] != shape[axis]:
        return
    axes = rewriter.constant(f"{node.name}_axis", np.array([axis], np.int64))
    bound = {
        edge: rewriter.constant(f"{node.name}_bound", np.array([edge], np.int64))
        for edge in dict.fromkeys([0, *ends])
    }
    pieces: list[tuple[ir.Value, str | None]] = []
    for number, (output, start, end) in enumerate(zip(outputs, [0, *ends], ends, strict=False)):
        operands = [source, bound[start], bound[end], axes]
        role, part = f"part_{number}", parts[number]
        piece = rewriter.insert_before(node, "Slice", operands, shape=part, role=role, dtype=source.dtype)
        renamed = output.name if output.is_graph_output() else piece.name
        output.replace_all_uses_with(piece, replace_graph_outputs=True)
        pieces.append((piece, renamed))
    rewriter.graph.remove(node, safe=True)
    for piece, name in pieces:
        piece.name = name  # an output of the model keeps its name


def _global_pool(operator: str) -> Callable[[Rewriter, ir.Node, ir.Value], None]:
    def rewrite(rewriter: Rewriter, node: ir.Node, source: ir.Value) -> None:
        spatial = np.arange(2, len(static_shape(source) or ()), dtype=np.int64)
        if spatial.size:
            axes = rewriter.constant(f"{node.name}_axes", spatial)
            rewriter.become(node, operator, [source, axes], {"keepdims": 1})

    return rewrite


def _reduction(rewriter: Rewriter, node: ir.Node, source: ir.Value) -> None:
    """Explicit, non-negative, sorted axes."""
    rank = len(static_shape(source) or ())
    given = node.inputs[1] if len(node.inputs) > 1 else None
    axes = () if given is None else integers_of(given)
    keeps_all = (
        "noop_with_empty_axes" in node.attributes and node.attributes["noop_with_empty_axes"].as_int() != 0
    )
    if axes is None or not rank or (not axes and keeps_all):
        return
    full = tuple(sorted(axis % rank for axis in axes)) if axes else tuple(range(rank))
    if full == axes and "noop_with_empty_axes" not in node.attributes:
        return
    keepdims = node.attributes["keepdims"].as_int() if "keepdims" in node.attributes else 1
    value = rewriter.constant(f"{node.name}_axes", np.array(full, np.int64))
    rewriter.become(node, node.op_type, [source, value], {"keepdims": keepdims})


_REWRITES: dict[str, Callable[[Rewriter, ir.Node, ir.Value], None]] = {
    "Flatten": _to_reshape,
    "GlobalAveragePool": _global_pool("ReduceMean"),
    "GlobalMaxPool": _global_pool("ReduceMax"),
    "Reshape": _to_reshape,
    "Split": _split,
    "Squeeze": _to_reshape,
    "Transpose": _transpose,
    "Unsqueeze": _to_reshape,
} | dict.fromkeys(sorted(REDUCTIONS), _reduction)
