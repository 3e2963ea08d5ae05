"""What kernel makers ask of a node of the lowered model, typed and checked in one place."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from wsec.compiler.absent_weights import is_absent
from wsec.compiler.errors import WsecError
from wsec.compiler.kernels.loop_nest import DimensionMap, Operand

if TYPE_CHECKING:
    import numpy as np
    import onnx_ir as ir
    from numpy.typing import NDArray

    from wsec.compiler.plan import Argument


class Unsplittable(Exception):  # noqa: N818 - a reason for another kernel, not an error
    """Raised by a kernel maker: this node cannot be cut; the message is the reason a user reads."""


def shape_of(value: ir.Value) -> tuple[int, ...]:
    """Shape of a value; after the passes every shape is known.

    Raises:
        WsecError: WSEC601 where it is not.
    """
    if value.shape is None or not value.shape.is_static():
        raise WsecError(
            "WSEC601",
            "a tensor reached the kernels without a shape",
            where=f"tensor {value.name!r}",
            expected="a known extent for each dimension",
            found=str(value.shape),
            hint="please report this with the model",
        )
    return tuple(int(extent) for extent in value.shape.numpy())


def dtype_of(value: ir.Value) -> str:
    """Element type of a value in numpy's words (`float32`, `bfloat16`, `int64` ...)."""
    if value.dtype is None:
        raise WsecError(
            "WSEC601",
            "a tensor reached the kernels without an element type",
            where=f"tensor {value.name!r}",
            hint="please report this with the model",
        )
    return str(value.dtype.numpy())


def item_bytes(value: ir.Value) -> int:
    """Bytes of one element of an activation; types under a byte take one."""
    return 1 if value.dtype is None else max(1, math.ceil(value.dtype.itemsize))


def packed_bytes(value: ir.Value) -> float:
    """Bytes of one element of a weight: two of four bits share a byte."""
    return item_bytes(value) if value.dtype is None else value.dtype.itemsize


def is_constant(value: ir.Value) -> bool:
    """True for a weight: an initializer, whose data stays on the cores."""
    return value.is_initializer()


class OperatorView:
    """Read access to one node: inputs, attributes, constants."""

    def __init__(self, node: ir.Node) -> None:
        self.node = node
        self.name = node.name or ""
        self.op_type = node.op_type

    @property
    def qualified_name(self) -> str:
        """The operator with its domain, `domain.Name`; of `ai.onnx` the name alone."""
        return self.op_type if self.node.domain in {"", "ai.onnx"} else f"{self.node.domain}.{self.op_type}"

    def has_input(self, index: int) -> bool:
        """True where the optional input is given."""
        return index < len(self.node.inputs) and self.node.inputs[index] is not None

    def input(self, index: int) -> ir.Value:
        """The input value at `index`, which must be there."""
        value = self.node.inputs[index]
        if value is None:
            raise Unsplittable(f"input {index} is not given")
        return value

    @property
    def output(self) -> ir.Value:
        """The first output."""
        return self.node.outputs[0]

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

    def integers(self, name: str, default: tuple[int, ...]) -> tuple[int, ...]:
        """A list of integers."""
        attribute = self.node.attributes.get(name)
        return default if attribute is None else tuple(attribute.as_ints())

    def constant(self, index: int) -> NDArray[np.generic]:
        """The data of a constant input. Raises Unsplittable where it is computed at run time."""
        value = self.input(index)
        if value.const_value is None:
            raise Unsplittable(f"input {index} ({value.name}) is computed at run time")
        if is_absent(value.const_value):
            raise Unsplittable(f"input {index} ({value.name}) is a weight that is not present")
        return value.const_value.numpy()

    def constant_integers(self, index: int) -> tuple[int, ...]:
        """A constant input as a list of integers."""
        return tuple(int(item) for item in self.constant(index).reshape(-1))

    def attributes(self) -> dict[str, Argument]:
        """All attributes as plain values, for a chain step."""
        plain: dict[str, Argument] = {}
        for name, attribute in self.node.attributes.items():
            value = attribute.value
            plain[name] = (
                tuple(value)
                if isinstance(value, (list, tuple))
                else int(value)
                if isinstance(value, int)
                else value
            )
        return plain

    def operand(self, role: str, index: int, maps: tuple[DimensionMap, ...]) -> Operand:
        """The input at `index` as an operand with these maps."""
        return operand(role, self.input(index), maps)


def operand(role: str, value: ir.Value, maps: tuple[DimensionMap, ...]) -> Operand:
    """A value as an operand with these maps. Raises Unsplittable where their extents do not hold all elements."""
    if math.prod(m.extent for m in maps) != math.prod(shape_of(value)):
        raise Unsplittable(f"{role} has shape {list(shape_of(value))}")
    constant = is_constant(value)
    held_bytes = packed_bytes(value) if constant else item_bytes(value)
    return Operand(role, value.name or "", dtype_of(value), held_bytes, constant, maps)
