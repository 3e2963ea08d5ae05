"""Removes nodes whose output is their first input."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from wsec.compiler.importer.shapes import static_shape
from wsec.passes.base import Pass, PassResult
from wsec.passes.rewriting import Rewriter, constant_of, integers_of

if TYPE_CHECKING:
    from collections.abc import Callable

    import onnx_ir as ir


@dataclass(frozen=True)
class RemoveIdentities(Pass):
    """Removes Identity, Dropout at inference, and casts, reshapes, slices, pads ... that do nothing."""

    name: ClassVar[str] = "remove-identities"
    rewrites: ClassVar[tuple[str, ...]] = ("Dropout", "Identity")

    def run(self, model: ir.Model) -> PassResult:
        """Only the main graph; an identity that gives a model output its name stays where nothing else can."""
        rewriter = Rewriter(model)
        for node in rewriter.nodes(*_IS_IDENTITY):
            source = node.inputs[0] if node.inputs else None
            if source is None or any(_is_used(value) for value in node.outputs[1:]):
                continue
            if _IS_IDENTITY[node.op_type](node):
                rewriter.bypass(node, source)
        return PassResult(modified=rewriter.modified)


def _is_used(value: ir.Value) -> bool:
    return bool(value.uses()) or value.is_graph_output()


PASSED_ON_KEY = "wsec.passed_on"
"""Metadata of an Identity that stays: it passes a value on to readers that are too many for one kernel."""


def _unless_passed_on(node: ir.Node) -> bool:
    return PASSED_ON_KEY not in node.metadata_props


def _dropout(node: ir.Node) -> bool:
    if len(node.inputs) < 3 or node.inputs[2] is None:
        return True
    training = constant_of(node.inputs[2])
    return training is not None and not training.numpy().any()


def _same_type(node: ir.Node) -> bool:
    source, output = node.inputs[0], node.outputs[0]
    return source is not None and source.dtype is not None and source.dtype == output.dtype


def _same_shape(node: ir.Node) -> bool:
    source = node.inputs[0]
    shape = None if source is None else static_shape(source)
    return shape is not None and shape == static_shape(node.outputs[0])


def _transpose(node: ir.Node) -> bool:
    source = node.inputs[0]
    if source is None or source.shape is None:
        return False
    axes = list(range(len(source.shape)))
    order = list(node.attributes["perm"].as_ints()) if "perm" in node.attributes else axes[::-1]
    return order == axes


def _slice(node: ir.Node) -> bool:
    """With positive steps a slice of the whole size is the whole."""
    if not _same_shape(node):
        return False
    if len(node.inputs) < 5 or node.inputs[4] is None:
        return True
    steps = integers_of(node.inputs[4])
    return steps is not None and all(step > 0 for step in steps)


def _pad(node: ir.Node) -> bool:
    pads = integers_of(node.inputs[1])
    return pads is not None and not any(pads)


def _single_input(node: ir.Node) -> bool:
    return len(node.inputs) == 1


def _clip(node: ir.Node) -> bool:
    return all(value is None for value in node.inputs[1:])


def _tile(node: ir.Node) -> bool:
    repeats = integers_of(node.inputs[1])
    return repeats is not None and all(repeat == 1 for repeat in repeats)


_IS_IDENTITY: dict[str, Callable[[ir.Node], bool]] = {
    "Cast": _same_type,
    "CastLike": _same_type,
    "Clip": _clip,
    "Concat": _single_input,
    "Dropout": _dropout,
    "Expand": _same_shape,
    "Flatten": _same_shape,
    "Identity": _unless_passed_on,
    "Max": _single_input,
    "Mean": _single_input,
    "Min": _single_input,
    "Pad": _pad,
    "Reshape": _same_shape,
    "Slice": _slice,
    "Squeeze": _same_shape,
    "Sum": _single_input,
    "Tile": _tile,
    "Transpose": _transpose,
    "Unsqueeze": _same_shape,
}
