"""Writes the operators that stand for one node, in front of it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir

from wsec.compiler.importer.shapes import static_shape
from wsec.passes.rewriting import Array, Rewriter, constant_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class CannotRewrite(Exception):  # noqa: N818 - a reason to leave a node alone, not an error
    """The node has a form that no standard operators stand for; the message says which, for the user."""


class Emission:
    """New operators in front of one node, and read access to the node.

    New values have the element type of their first input where `dtype` does not say otherwise; their shapes are
    inferred after the pass.
    """

    def __init__(self, rewriter: Rewriter, node: ir.Node, shared: dict[object, ir.Value]) -> None:
        """`shared` keeps the constants that several nodes of a model use, masks for instance."""
        self.node = node
        self._rewriter = rewriter
        self._shared = shared
        self._new_nodes: list[ir.Node] = []
        self._new_constants: list[ir.Value] = []
        self._new_shared: list[object] = []
        self._was_modified = rewriter.modified

    def __call__(
        self,
        op_type: str,
        *inputs: ir.Value | None,
        dtype: ir.DataType | None = None,
        domain: str = "",
        **attributes: Any,
    ) -> ir.Value:
        """The output of a new operator, of `ai.onnx` where no other domain is given."""
        given = inputs
        while given and given[-1] is None:
            given = given[:-1]
        first = next((value for value in given if value is not None), None)
        element_type = dtype or (None if first is None else first.dtype)
        output = self._rewriter.insert_before(
            self.node,
            op_type,
            given,
            shape=None,
            role=op_type.lower(),
            attributes=attributes or None,
            dtype=element_type,
        )
        producer = output.producer()
        if producer is not None:
            producer.domain = domain
            self._new_nodes.append(producer)
        return output

    def withdraw(self) -> None:
        """Remove everything that was emitted: the graph is as it was."""
        graph = self._rewriter.graph
        for node in reversed(self._new_nodes):
            graph.remove(node, safe=True)
        shared = [self._shared.pop(key) for key in self._new_shared]
        for value in (*self._new_constants, *shared):
            graph.initializers.pop(str(value.name))
        self._rewriter.modified = self._was_modified

    def has(self, index: int) -> bool:
        """Whether the optional input is given."""
        return index < len(self.node.inputs) and self.node.inputs[index] is not None

    def optional(self, index: int) -> ir.Value | None:
        """The input, or None where it is not given."""
        return self.node.inputs[index] if index < len(self.node.inputs) else None

    def input(self, index: int) -> ir.Value:
        """The input. Raises CannotRewrite where it is not given."""
        value = self.optional(index)
        if value is None:
            raise CannotRewrite(f"its input {index} is not given")
        return value

    def wants(self, index: int) -> bool:
        """Whether anything reads the output."""
        outputs = self.node.outputs
        return index < len(outputs) and bool(outputs[index].uses() or outputs[index].is_graph_output())

    def integer(self, name: str, default: int) -> int:
        """An integer attribute."""
        attribute = self.node.attributes.get(name)
        return default if attribute is None else attribute.as_int()

    def real(self, name: str, default: float) -> float:
        """A float attribute."""
        attribute = self.node.attributes.get(name)
        return default if attribute is None else attribute.as_float()

    def text(self, name: str, default: str) -> str:
        """A string attribute."""
        attribute = self.node.attributes.get(name)
        return default if attribute is None else attribute.as_string()

    def integers(self, *values: int) -> ir.Value:
        """A constant vector of int64."""
        return self._made(self._rewriter.constant(f"{self.node.name}_integers", np.array(values, np.int64)))

    def constant(self, array: Array) -> ir.Value:
        """A constant."""
        return self._made(self._rewriter.constant(f"{self.node.name}_constant", array))

    def shared(self, key: tuple[object, ...], function: Callable[[], Array]) -> ir.Value:
        """A constant that all nodes of the model share which ask for it under the same key."""
        if key not in self._shared:
            self._shared[key] = self._rewriter.constant(f"{self.node.name}_shared", function())
            self._new_shared.append(key)
        return self._shared[key]

    def _made(self, value: ir.Value) -> ir.Value:
        self._new_constants.append(value)
        return value

    def scalar(self, value: float, like: ir.Value) -> ir.Value:
        """A constant of one element, of the element type of another value."""
        dtype = ir.DataType.FLOAT if like.dtype is None else like.dtype
        return self.constant(np.asarray(value).astype(dtype.numpy()))

    def derive(
        self, stem: str, dtype: ir.DataType, sources: Sequence[ir.Value], shape: Sequence[int], function: Any
    ) -> ir.Value:
        """A constant computed from constants, now if they are small or else when it is read."""
        tensors = [constant_of(source) for source in sources]
        known = [tensor for tensor in tensors if tensor is not None]
        kind = ir.tensor(np.zeros((0,), dtype=dtype.numpy()), dtype=dtype)
        name = f"{self.node.name}_{stem}"
        made = self._rewriter.derive(name, [kind, *known], shape, lambda _, *arrays: function(*arrays))
        return self._made(made)

    def same_bytes(
        self,
        stem: str,
        source: ir.Value,
        dtype: ir.DataType,
        shape: Sequence[int],
        function: Callable[[Array], Array],
    ) -> ir.Value:
        """A constant of other elements in the same bytes: weights in a file stay there, others are as `function` reads them."""
        tensor = constant_of(source)
        if not isinstance(tensor, ir.ExternalTensor):
            return self.derive(stem, dtype, [source], shape, function)
        return self._made(self._rewriter.retyped(f"{self.node.name}_{stem}", tensor, dtype, shape))

    def require_opset(self, version: int) -> None:
        """Let the model follow at least this opset of `ai.onnx`."""
        imports = self._rewriter.graph.opset_imports
        imports[""] = max(imports.get("", 0), version)

    def cast(self, value: ir.Value, dtype: ir.DataType) -> ir.Value:
        """The value in another element type."""
        return value if value.dtype == dtype else self("Cast", value, dtype=dtype, to=int(dtype))

    def reshape(self, value: ir.Value, *shape: int) -> ir.Value:
        """The value in another shape."""
        return self("Reshape", value, self.integers(*shape))

    def transpose(self, value: ir.Value, *perm: int) -> ir.Value:
        """The value with its dimensions in another order."""
        return self("Transpose", value, perm=list(perm))

    def slice(self, value: ir.Value, axis: int, start: int, stop: int) -> ir.Value:
        """Elements [start, stop) along one axis."""
        return self(
            "Slice", value, self.integers(start), self.integers(stop), self.integers(axis), self.integers(1)
        )


def shape_of(value: ir.Value) -> tuple[int, ...]:
    """The shape of a value. Raises CannotRewrite where it is not known."""
    shape = static_shape(value)
    if shape is None:
        raise CannotRewrite(f"the shape of {value.name} is not known")
    return shape


def is_one_element(value: ir.Value) -> bool:
    """Whether a value, a scale for instance, is a single number."""
    return math.prod(shape_of(value)) == 1
