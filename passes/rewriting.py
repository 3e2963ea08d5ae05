"""The few ways in which the built-in passes change a graph, so that names stay unique and outputs keep theirs.

Works on the main graph. Weights are not read here: a constant derived from a large or external one is evaluated when
it is needed (`derive`).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir

from wsec.compiler.absent_weights import derived, is_absent
from wsec.compiler.importer.shapes import static_shape
from wsec.compiler.walks import all_nodes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_EAGER_BYTES = 1 << 20
_READ_BYTES = 1 << 14

Array = np.ndarray[Any, Any]


class Rewriter:
    """Changes one model; `modified` says whether it did.

    Attributes:
        graph: The main graph.
        modified: Set by every method that changes the model.
    """

    def __init__(self, model: ir.Model) -> None:
        self.graph = model.graph
        self.modified = False
        self._names: set[str] | None = None
        self._numbers: dict[str, int] = {}

    def nodes(self, *op_types: str) -> list[ir.Node]:
        """The nodes of the main graph with one of these ai.onnx operators, in order; all where none is named."""
        wanted = frozenset(op_types)
        return [n for n in self.graph if not wanted or (n.domain == "" and n.op_type in wanted)]

    def constant(self, stem: str, array: Array) -> ir.Value:
        """A new initializer."""
        name = self._unique(stem)
        return self._register(name, ir.tensor(array, name=name))

    def derive(
        self,
        stem: str,
        sources: Sequence[ir.TensorProtocol],
        shape: Sequence[int],
        function: Callable[..., Array],
    ) -> ir.Value:
        """A new initializer computed from other constants, of the element type of the first.

        Where a source or the result is large, or a source is not in memory, `function` runs each time that the value is read, not now.

        Args:
            stem: What its name begins with.
            sources: What `function` gets, as arrays.
            shape: The shape of the result.
            function: Pure; its result is cast to the element type of the first source.
        """
        name = self._unique(stem)
        dtype = sources[0].dtype

        def evaluate() -> ir.Tensor[Array]:
            result = np.ascontiguousarray(
                function(*(source.numpy() for source in sources)), dtype=dtype.numpy()
            )
            return ir.Tensor(result.reshape(tuple(shape)), dtype=dtype, name=name)

        unknown = derived(name, sources, shape, dtype)
        if unknown is not None:
            return self._register(name, unknown)
        size = math.prod(shape) * dtype.itemsize
        if size <= _EAGER_BYTES and all(is_cheap(source, _EAGER_BYTES, _READ_BYTES) for source in sources):
            return self._register(name, evaluate())
        return self._register(name, ir.LazyTensor(evaluate, dtype=dtype, shape=ir.Shape(shape), name=name))

    def retyped(
        self, stem: str, tensor: ir.ExternalTensor, dtype: ir.DataType, shape: Sequence[int]
    ) -> ir.Value:
        """A new initializer of another type and shape in the same bytes of the same file, which is not read."""
        name = self._unique(stem)
        other = type(tensor)(
            tensor.location,
            tensor.offset,
            tensor.length,
            dtype,
            shape=ir.Shape(shape),
            name=name,
            base_dir=tensor.base_dir,
        )
        return self._register(name, other)

    def insert_before(
        self,
        node: ir.Node,
        op_type: str,
        inputs: Sequence[ir.Value | None],
        *,
        shape: Sequence[int] | None,
        role: str,
        attributes: dict[str, Any] | None = None,
        dtype: ir.DataType | None = None,
    ) -> ir.Value:
        """A new node in front of `node`, named after it and `role`; returns its output.

        Without `dtype` it has the element type of `node`.
        """
        created = self._create(node, op_type, inputs, shape, role, attributes, dtype)
        node.prepend(created)
        return created.outputs[0]

    def insert_after(
        self,
        node: ir.Node,
        op_type: str,
        inputs: Sequence[ir.Value | None],
        *,
        shape: Sequence[int] | None,
        role: str,
        attributes: dict[str, Any] | None = None,
    ) -> ir.Value:
        """The same behind `node`."""
        created = self._create(node, op_type, inputs, shape, role, attributes, None)
        node.append(created)
        return created.outputs[0]

    def _create(  # noqa: PLR0917 - the arguments of the two methods above
        self,
        node: ir.Node,
        op_type: str,
        inputs: Sequence[ir.Value | None],
        shape: Sequence[int] | None,
        role: str,
        attributes: dict[str, Any] | None,
        dtype: ir.DataType | None,
    ) -> ir.Node:
        created = ir.node(op_type, inputs, attributes=attributes, name=self._unique(f"{node.name}_{role}"))
        output = created.outputs[0]
        output.name = self._unique(f"{node.outputs[0].name}_{role}")
        element_type = dtype or node.outputs[0].dtype
        if element_type is not None:
            output.dtype = element_type
        output.shape = None if shape is None else ir.Shape(shape)
        self.modified = True
        return created

    def set_attribute(self, node: ir.Node, name: str, value: Any) -> None:
        """Give a node another value of an attribute."""
        node.attributes[name] = ir.convenience.convert_attribute(name, value)
        self.modified = True

    def take_over_output(self, old: ir.Value, new: ir.Value) -> None:
        """Let `new` be the output of the model that `old` is, by its name; `old` gets another."""
        name, outputs = old.name, self.graph.outputs
        for index in [index for index, output in enumerate(outputs) if output is old]:
            outputs[index] = new
        old.name = self._unique(f"{name}_inner")
        new.name = name
        self.modified = True

    def become(
        self,
        node: ir.Node,
        op_type: str,
        inputs: Sequence[ir.Value | None],
        attributes: dict[str, Any] | None = None,
    ) -> None:
        """Turn `node` into another operator; its name, outputs and metadata stay."""
        node.op_type = op_type
        node.attributes.clear()
        for name, value in (attributes or {}).items():
            node.attributes[name] = ir.convenience.convert_attribute(name, value)
        node.resize_inputs(len(inputs))
        for index, value in enumerate(inputs):
            node.replace_input_with(index, value)
        self.modified = True

    def bypass(self, node: ir.Node, source: ir.Value) -> bool:
        """Let the users of the first output of `node` read `source`, and remove the node.

        A model output keeps its name. Not possible, and nothing changes, where `source` would have to carry two
        names of the model's signature.
        """
        output = node.outputs[0]
        if output.is_graph_output():
            producer = source.producer()
            if producer is None or producer.graph is not self.graph or source.is_graph_output():
                return False
            name = output.name
            output.replace_all_uses_with(source, replace_graph_outputs=True)
            self.graph.remove(node, safe=True)
            source.name = name
        else:
            output.replace_all_uses_with(source)
            self.graph.remove(node, safe=True)
        self.modified = True
        return True

    def replace(self, node: ir.Node, values: Sequence[ir.Value | None]) -> None:
        """Let the users of each output of `node` read the value at its place, and remove the node.

        Outputs of the model keep their names: a value that has one of its own already is copied. None stands for an
        output that nothing reads.
        """
        renamed: list[tuple[ir.Value, str | None]] = []
        for output, value in zip(node.outputs, values, strict=False):
            if value is None:
                continue
            source = value
            if source.shape is None:
                source.shape = output.shape
            if output.is_graph_output():
                taken = any(source is given for given, _ in renamed)
                if source.producer() is None or source.is_graph_output() or taken:
                    source = self.insert_before(
                        node, "Identity", [value], shape=static_shape(value), role="copy", dtype=value.dtype
                    )
                renamed.append((source, output.name))
            output.replace_all_uses_with(source, replace_graph_outputs=True)
        self.graph.remove(node, safe=True)
        for source, name in renamed:
            source.name = name
        self.modified = True

    def _register(self, name: str, tensor: ir.TensorProtocol) -> ir.Value:
        value = ir.Value(
            name=name,
            type=ir.TensorType(tensor.dtype),
            shape=ir.Shape(tensor.shape.numpy()),
            const_value=tensor,
        )
        self.graph.register_initializer(value)
        self.modified = True
        return value

    def _unique(self, stem: str) -> str:
        names = self._names
        if names is None:
            names = {value.name or "" for value in self.graph.inputs} | set(self.graph.initializers)
            for node in all_nodes(self.graph):
                names.add(node.name or "")
                names.update(value.name or "" for value in node.outputs)
                for attribute in node.attributes.values():
                    if attribute.type == ir.AttributeType.GRAPH and not attribute.is_ref():
                        names.update(value.name or "" for value in attribute.as_graph().inputs)
                        names.update(attribute.as_graph().initializers)
            self._names = names
        name, number = stem, self._numbers.get(stem, 1)
        while name in names:
            number += 1
            name = f"{stem}_{number}"
        names.add(name)
        self._numbers[stem] = number
        return name


def constant_of(value: ir.Value | None) -> ir.TensorProtocol | None:
    """The tensor of an initializer; None for everything else."""
    if value is None or not value.is_initializer() or value.is_graph_input():
        return None
    return value.const_value


def is_cheap(tensor: ir.TensorProtocol, memory_bytes: int, file_bytes: int) -> bool:
    """Whether a constant may be read now: up to one size in memory, up to another from a file or a computation.

    One whose values are absent is never.
    """
    if is_absent(tensor):
        return False
    deferred = isinstance(tensor, ir.ExternalTensor | ir.LazyTensor)
    return tensor.nbytes <= (file_bytes if deferred else memory_bytes)


def integers_of(value: ir.Value | None) -> tuple[int, ...] | None:
    """The elements of a small constant of integers, flattened; None where it is none."""
    tensor = constant_of(value)
    if tensor is None or tensor.size > 64 or not tensor.dtype.is_integer() or is_absent(tensor):
        return None
    return tuple(int(element) for element in tensor.numpy().ravel())


def only_user(value: ir.Value) -> ir.Node | None:
    """The one node that reads the value, where there is exactly one reader and the value is no model output."""
    readers = [use.node for use in value.uses()]
    return readers[0] if len(readers) == 1 and not value.is_graph_output() else None
