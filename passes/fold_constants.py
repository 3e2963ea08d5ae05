"""Computes at compile time what does not depend on the input of the model.

Works in rounds of shape inference and folding until nothing changes: the shape computations of exporters need
several. Arithmetic on weights in files is not folded; a cast, transposition, reshape or fill of one is, but evaluated only when
the weight is read, so that a compilation reads no weights.
"""

from __future__ import annotations

import math
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import onnx_ir as ir
from onnxscript.optimizer import FOLDED_FROM_KEY, fold_constants_ir

from wsec.compiler.importer.constants import lift_constants
from wsec.compiler.importer.naming import name_nodes
from wsec.compiler.importer.shapes import infer_open_shapes, static_shape
from wsec.compiler.operators import NON_DETERMINISTIC
from wsec.compiler.walks import all_graphs, all_nodes
from wsec.passes.base import Pass, PassResult
from wsec.passes.inline_conditionals import inline_taken_branches
from wsec.passes.remove_identities import PASSED_ON_KEY
from wsec.passes.rewriting import Array, Rewriter, constant_of, is_cheap

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_MAX_ROUNDS = 16
_DEFERRED_BYTES = 1 << 16
_HIDDEN_DOMAIN = "wsec.hidden"
_NOT_FOLDABLE = frozenset({"SplitToSequence"})
"""The folder fails on sequences cut in ones; a model with sequences is refused later, with all of its reasons."""


@dataclass(frozen=True)
class FoldConstants(Pass):
    """Folds constant expressions, shape computations and conditionals, in rounds with shape inference.

    Attributes:
        input_bytes: Operators with a larger constant input than this are not folded.
        file_bytes: The same for constants that would have to be read from a file.
        output_bytes: Nothing larger than this is computed.
    """

    name: ClassVar[str] = "fold-constants"
    rewrites: ClassVar[tuple[str, ...]] = ("Constant", "ConstantOfShape", "Shape", "Size")
    input_bytes: int = 1 << 24
    file_bytes: int = 1 << 14
    output_bytes: int = 1 << 24

    def run(self, model: ir.Model) -> PassResult:
        """Fold until a round changes nothing."""
        modified = False
        for _ in range(_MAX_ROUNDS):
            changed = self._round(model)
            modified |= changed
            if not changed:
                break
        return PassResult(modified=modified)

    def _round(self, model: ir.Model) -> bool:
        changed = infer_open_shapes(model)
        if any(node.op_type in _NOT_FOLDABLE for node in all_nodes(model.graph)):
            return changed
        changed |= inline_taken_branches(model)
        with _conditionals_hidden(model), np.errstate(all="ignore"):
            folded = fold_constants_ir(
                model,
                onnx_shape_inference=False,
                input_size_limit=self.input_bytes,
                output_size_limit=self.output_bytes,
                should_fold=self._should_fold,
            )
        changed |= folded.modified
        changed |= lift_constants(model)
        changed |= _copy_constant_outputs(model)
        _forget_provenance(model)
        rewriter = Rewriter(model)
        for node in rewriter.nodes(*_DEFERRED):
            _defer(rewriter, node)
        if changed or rewriter.modified:
            name_nodes(model)
        return changed or rewriter.modified

    def _should_fold(self, node: ir.Node) -> bool:
        if node.op_type == "Identity" and (
            node.outputs[0].is_graph_output() or PASSED_ON_KEY in node.metadata_props
        ):
            return False
        if node.op_type in NON_DETERMINISTIC or node.op_type in {"QuantizeLinear", "DequantizeLinear"}:
            return False
        tensors = [value.const_value for value in node.inputs if value is not None]
        if not all(
            tensor is None or is_cheap(tensor, self.input_bytes, self.file_bytes) for tensor in tensors
        ):
            return False
        large = node.op_type in _DEFERRED or _gives_rotary_tables(node)
        limit = _DEFERRED_BYTES if large else self.output_bytes
        return all(_bytes_of(value) <= limit for value in node.outputs)


def _gives_rotary_tables(node: ir.Node) -> bool:
    """Whether it takes rows of a table for rotations: a tensor that all layers read is on the cores once, a constant in each of them."""
    readers = [use.node for use in node.outputs[0].uses()]
    return node.op_type == "Gather" and all(each.op_type == "RotaryEmbedding" for each in readers)


@contextmanager
def _conditionals_hidden(model: ir.Model) -> Iterator[None]:
    """The folder would inline branches, and breaks the model where a branch gives one value twice."""
    hidden = [
        node
        for node in all_nodes(model.graph)
        if node.domain == "" and (node.op_type == "If" or PASSED_ON_KEY in node.metadata_props)
    ]
    for node in hidden:
        node.domain = _HIDDEN_DOMAIN
    try:
        yield
    finally:
        for node in hidden:
            node.domain = ""


def _bytes_of(value: ir.Value) -> int:
    shape = static_shape(value)
    return 0 if shape is None or value.dtype is None else math.ceil(math.prod(shape) * value.dtype.itemsize)


def _copy_constant_outputs(model: ir.Model) -> bool:
    """An output that is a constant becomes a copy of it, so that there is an operator which gives it."""
    graph = model.graph
    constants = [index for index, value in enumerate(graph.outputs) if value.is_initializer()]
    for index in constants:
        value = graph.outputs[index]
        name, shape = str(value.name), value.shape
        copy = ir.node("Identity", [value], name=f"{name}_copy")
        graph.outputs[index] = copy.outputs[0]
        del graph.initializers[name]
        taken = {item.name for item in [*graph.inputs, *graph.initializers.values()]}
        taken.update(item.name for node in all_nodes(graph) for item in node.outputs)
        value.name = next(
            n for n in (f"{name}_constant" + "_" * i for i in range(len(taken) + 1)) if n not in taken
        )
        graph.initializers.add(value)
        copy.outputs[0].name, copy.outputs[0].shape, copy.outputs[0].type = name, shape, value.type
        graph.append(copy)
    return bool(constants)


def _forget_provenance(model: ir.Model) -> None:
    """The folder writes down which names went into a constant; over long chains that list outgrows the model."""
    for graph in all_graphs(model):
        for value in graph.initializers.values():
            value.metadata_props.pop(FOLDED_FROM_KEY, None)
            value.meta.pop(FOLDED_FROM_KEY, None)
        for node in graph:
            for value in node.outputs:
                value.metadata_props.pop(FOLDED_FROM_KEY, None)
                value.meta.pop(FOLDED_FROM_KEY, None)


def _defer(rewriter: Rewriter, node: ir.Node) -> None:
    """Replace a movement of one constant by a constant that is evaluated when it is read."""
    output = node.outputs[0]
    shape, dtype = static_shape(output), output.dtype
    tensor = constant_of(node.inputs[0]) if node.inputs else None
    if shape is None or dtype is None or tensor is None or output.is_graph_output():
        return
    if any(constant_of(value) is None for value in node.inputs[1:] if value is not None):
        return
    move = _DEFERRED[node.op_type](node, shape)
    kind = ir.tensor(np.zeros((0,), dtype=dtype.numpy()), dtype=dtype)
    value = rewriter.derive(str(output.name), [kind, tensor], shape, lambda _, array: move(array))
    rewriter.bypass(node, value)


def _reshape(_: ir.Node, shape: tuple[int, ...]) -> Callable[[Array], Array]:
    return lambda array: array.reshape(shape)


def _transpose(node: ir.Node, _: tuple[int, ...]) -> Callable[[Array], Array]:
    order = tuple(node.attributes["perm"].as_ints()) if "perm" in node.attributes else None
    return lambda array: np.transpose(array, order)


def _cast(_: ir.Node, __: tuple[int, ...]) -> Callable[[Array], Array]:
    return lambda array: array


def _expand(_: ir.Node, shape: tuple[int, ...]) -> Callable[[Array], Array]:
    return lambda array: np.broadcast_to(array, shape)


def _constant_of_shape(node: ir.Node, shape: tuple[int, ...]) -> Callable[[Array], Array]:
    fill = (
        node.attributes["value"].as_tensor().numpy()
        if "value" in node.attributes
        else np.zeros(1, np.float32)
    )
    return lambda _: np.full(shape, fill.reshape(()))


_DEFERRED: dict[str, Callable[[ir.Node, tuple[int, ...]], Callable[[Array], Array]]] = {
    "Cast": _cast,
    "ConstantOfShape": _constant_of_shape,
    "Expand": _expand,
    "Flatten": _reshape,
    "Reshape": _reshape,
    "Squeeze": _reshape,
    "Transpose": _transpose,
    "Unsqueeze": _reshape,
}
