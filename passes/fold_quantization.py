"""Turns exporters' pairs of QuantizeLinear and DequantizeLinear into kernels of integers.

* A dequantisation moves behind what only moves elements or takes their maximum, and meets the quantisation that undoes it.
* A convolution between dequantisations and a quantisation is a QLinearConv; its Relu or Clip becomes bounds of integers, as
  rounding keeps the order of numbers. A product of dequantised matrices is a MatMulInteger, scaled behind it.
* What is left of activations is arithmetic, which fuses with its neighbours. What is left of constants stays where a product
  reads it, for `fuse-dequantization`; elsewhere the constant is dequantised now.

Sums of integers are exact where those of floats were rounded: results differ by one quantum where rounding hangs in the
balance.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import onnx_ir as ir

from wsec.compiler.importer.shapes import static_shape
from wsec.compiler.operators import WEIGHTS_OPERANDS
from wsec.passes.base import Pass, PassResult
from wsec.passes.dead_code import EliminateDeadCode
from wsec.passes.legalization.emission import Emission
from wsec.passes.rewriting import Array, Rewriter, constant_of, is_cheap, only_user

if TYPE_CHECKING:
    from collections.abc import Callable

_BYTES = frozenset({ir.DataType.INT8, ir.DataType.UINT8})
_MOVEMENTS = frozenset(
    {"Flatten", "Gather", "MaxPool", "Reshape", "Slice", "Squeeze", "Transpose", "Unsqueeze"}
)
_PARAMETER_BYTES = 1 << 20
_SUM_LIMIT = (1 << 31) - 1  # of what an integer product accumulates


@dataclass(frozen=True)
class FoldQuantization(Pass):
    """Turns pairs of QuantizeLinear and DequantizeLinear into products of integers and arithmetic."""

    name: ClassVar[str] = "fold-quantization"

    def run(self, model: ir.Model) -> PassResult:
        """Each such pair of the main graph whose shapes are known."""
        rewriter = Rewriter(model)
        shared: dict[object, ir.Value] = {}
        for step in (_move_behind, _cancel, _to_integers, _to_arithmetic):
            changed = False
            for node in list(model.graph):
                if node.domain == "" and node.graph is not None and _is_shaped(node):
                    changed |= step(rewriter, node, shared)
            if changed:
                EliminateDeadCode().run(model)
        return PassResult(modified=rewriter.modified)


@dataclass(frozen=True, slots=True)
class _Codes:
    """A value that a DequantizeLinear gives: its codes, constant scale and zero point, and the axis of a vector of them."""

    node: ir.Node
    codes: ir.Value
    scale: Array
    zero: Array
    axis: int

    @property
    def per_tensor(self) -> bool:
        return self.scale.size == 1 and self.zero.size == 1


def _is_shaped(node: ir.Node) -> bool:
    return all(value is None or static_shape(value) is not None for value in (*node.inputs, *node.outputs))


def _parameters(node: ir.Node) -> tuple[Array, Array, int] | None:
    """Scale, zero point and axis of a quantisation, where they are constants and not of blocks."""
    scale = constant_of(node.inputs[1])
    given = node.inputs[2] if len(node.inputs) > 2 else None
    zero = constant_of(given)
    if scale is None or (given is not None and zero is None) or "block_size" in node.attributes:
        return None
    if not is_cheap(scale, _PARAMETER_BYTES, _PARAMETER_BYTES) or scale.dtype != ir.DataType.FLOAT:
        return None
    codes = node.inputs[0] if node.op_type == "DequantizeLinear" else node.outputs[0]
    if codes is None or codes.dtype is None:
        return None
    if node.op_type == "DequantizeLinear" and node.outputs[0].dtype not in {None, ir.DataType.FLOAT}:
        return None  # the attribute `output_dtype` asks for another type than the scale's
    points = np.zeros((), codes.dtype.numpy()) if zero is None else zero.numpy()
    rank = max(1, len(static_shape(codes) or ()))
    axis = node.attributes["axis"].as_int() if "axis" in node.attributes else 1
    return scale.numpy(), points, axis % rank


def _dequantized(value: ir.Value | None) -> _Codes | None:
    node = None if value is None else value.producer()
    if node is None or node.domain != "" or node.op_type != "DequantizeLinear":
        return None
    found = _parameters(node)
    codes = node.inputs[0]
    return None if found is None or codes is None else _Codes(node, codes, *found)


def _move_behind(rewriter: Rewriter, node: ir.Node, shared: dict[object, ir.Value]) -> bool:
    """DequantizeLinear, then a movement: the movement of the codes, then DequantizeLinear."""
    if node.op_type not in _MOVEMENTS:
        return False
    if any(value.uses() or value.is_graph_output() for value in node.outputs[1:]):
        return False  # the indices of MaxPool
    held = _dequantized(node.inputs[0])
    if held is None or not (held.per_tensor or (node.op_type == "Transpose" and "perm" in node.attributes)):
        return False
    if node.op_type == "MaxPool" and (
        held.codes.dtype not in _BYTES or float(held.scale.reshape(-1)[0]) <= 0
    ):
        return False
    emit = Emission(rewriter, node, shared)
    attributes = {name: attribute.value for name, attribute in node.attributes.items()}
    moved = _moved_constant(emit, node, held.codes)
    if moved is None:
        moved = emit(node.op_type, held.codes, *node.inputs[1:], dtype=held.codes.dtype, **attributes)
        moved.shape = node.outputs[0].shape
    axis = held.axis if held.per_tensor else list(attributes["perm"]).index(held.axis)
    result = emit("DequantizeLinear", moved, *held.node.inputs[1:], dtype=node.outputs[0].dtype, axis=axis)
    result.shape = node.outputs[0].shape
    rewriter.replace(node, [result])
    return True


def _moved_constant(emit: Emission, node: ir.Node, codes: ir.Value) -> ir.Value | None:
    """The codes of weights in another order or shape, as a constant."""
    shape, kind = static_shape(node.outputs[0]), codes.dtype
    if (
        constant_of(codes) is None
        or shape is None
        or kind is None
        or node.op_type in {"Gather", "MaxPool", "Slice"}
    ):
        return None
    if node.op_type != "Transpose":
        return emit.derive("codes", kind, [codes], shape, lambda array: array.reshape(shape))
    order = tuple(node.attributes["perm"].as_ints()) if "perm" in node.attributes else None
    return emit.derive("codes", kind, [codes], shape, lambda array: np.transpose(array, order))


def _cancel(rewriter: Rewriter, node: ir.Node, _: dict[object, ir.Value]) -> bool:
    """QuantizeLinear of what the same scale and zero point have dequantised: the codes."""
    held = _dequantized(node.inputs[0]) if node.op_type == "QuantizeLinear" else None
    found = _parameters(node) if held is not None else None
    if held is None or found is None or held.codes.dtype != node.outputs[0].dtype or not held.per_tensor:
        return False
    same = found[0].size == found[1].size == 1
    same = same and float(found[0].reshape(-1)[0]) == float(held.scale.reshape(-1)[0])
    if not same or int(found[1].reshape(-1)[0]) != int(held.zero.reshape(-1)[0]):
        return False
    return rewriter.bypass(node, held.codes)


def _to_integers(rewriter: Rewriter, node: ir.Node, shared: dict[object, ir.Value]) -> bool:
    if node.op_type == "MatMul":
        return _to_integer_product(rewriter, node, shared)
    if node.op_type == "QuantizeLinear":
        return _to_integer_convolution(rewriter, node, shared)
    return False


def _to_integer_product(rewriter: Rewriter, node: ir.Node, shared: dict[object, ir.Value]) -> bool:
    """MatMul of dequantised matrices, with a scale for each column at most: MatMulInteger, Cast, Mul."""
    left, right = _dequantized(node.inputs[0]), _dequantized(node.inputs[1])
    if left is None or right is None or not left.per_tensor or not _is_integer_product(left, right):
        return False
    rank = len(static_shape(right.codes) or ())
    emit = Emission(rewriter, node, shared)
    zeros = [
        emit.constant(held.zero.reshape(-1)[0] if rank > 2 else _flattened(held.zero))
        for held in (left, right)
    ]
    product = emit("MatMulInteger", left.codes, right.codes, *zeros, dtype=ir.DataType.INT32)
    scale = left.scale.reshape(()) * (right.scale.reshape(()) if right.per_tensor else right.scale)
    result = emit("Mul", emit.cast(product, ir.DataType.FLOAT), emit.constant(np.asarray(scale, np.float32)))
    rewriter.replace(node, [result])
    return True


def _is_integer_product(left: _Codes, right: _Codes) -> bool:
    """Whether one MatMulInteger, and a scale behind it, gives the product and no sum leaves 32 bits."""
    if left.codes.dtype not in _BYTES or right.codes.dtype not in _BYTES:
        return False
    shape = static_shape(right.codes) or ()
    rank = len(shape)
    if min(rank, len(static_shape(left.codes) or ())) < 2 or not (right.per_tensor or right.axis == rank - 1):
        return False
    if rank > 2 and np.any(right.zero != right.zero.reshape(-1)[0]):
        return False  # onnxruntime takes a zero point for each column of one matrix only
    return shape[-2] * _reach(left) * _reach(right) <= _SUM_LIMIT


def _flattened(zero: Array) -> Array:
    return zero.reshape(()) if zero.size == 1 else zero.reshape(-1)


def _reach(held: _Codes) -> int:
    """How far a code may be from its zero point."""
    span, zero = np.iinfo(held.zero.dtype), held.zero.astype(np.int64)
    return int(max(span.max - zero.min(), zero.max() - span.min))


def _to_integer_convolution(rewriter: Rewriter, node: ir.Node, shared: dict[object, ir.Value]) -> bool:
    """Conv of dequantised operands, an activation, QuantizeLinear: QLinearConv and bounds of integers."""
    result = _parameters(node)
    activation, conv = _convolution_before(node)
    if result is None or conv is None or result[0].size != 1 or result[1].size != 1:
        return False
    x, weights = _dequantized(conv.inputs[0]), _dequantized(conv.inputs[1])
    kind = node.outputs[0].dtype
    if x is None or weights is None or not x.per_tensor or x.codes.dtype != kind or kind not in _BYTES:
        return False
    signed = {ir.DataType.INT8} if kind == ir.DataType.INT8 else _BYTES
    if weights.codes.dtype not in signed or not (weights.per_tensor or weights.axis == 0):
        return False
    terms = math.prod((static_shape(weights.codes) or ())[1:])
    if terms * _reach(x) * _reach(weights) > _SUM_LIMIT:
        return False
    emit = Emission(rewriter, node, shared)
    bias, possible = _integer_bias(conv, x, weights)
    bounds = _bounds(activation, float(result[0].reshape(())), int(result[1].reshape(())), kind)
    if not possible or bounds is None:
        return False
    attributes = {name: attribute.value for name, attribute in conv.attributes.items()}
    scales = [emit.constant(np.asarray(v.scale, np.float32).reshape(_flat(v))) for v in (x, weights)]
    zeros = [emit.constant(np.asarray(v.zero).reshape(_flat(v))) for v in (x, weights)]
    operands = [
        *(x.codes, scales[0], zeros[0], weights.codes, scales[1], zeros[1]),
        emit.constant(np.asarray(result[0], np.float32).reshape(())),
        emit.constant(result[1].reshape(())),
        bias,
    ]
    codes = emit("QLinearConv", *operands, dtype=kind, **attributes)
    codes.shape = node.outputs[0].shape
    if bounds != (None, None):
        low, high = (None if b is None else emit.constant(np.asarray(b, kind.numpy())) for b in bounds)
        codes = emit("Clip", codes, low, high, dtype=kind)
    rewriter.replace(node, [codes])
    return True


def _flat(held: _Codes) -> tuple[int, ...]:
    return () if held.per_tensor else (max(held.scale.size, held.zero.size),)


def _convolution_before(node: ir.Node) -> tuple[ir.Node | None, ir.Node | None]:
    """The activation and the convolution whose only reader is this quantisation."""
    activation = None
    value = node.inputs[0]
    while value is not None and (producer := value.producer()) is not None and only_user(value) is not None:
        if producer.domain == "" and producer.op_type == "Conv":
            return activation, producer
        if producer.op_type not in {"Clip", "Relu"} or producer.domain != "" or activation is not None:
            break
        activation, value = producer, producer.inputs[0]
    return None, None


def _integer_bias(conv: ir.Node, x: _Codes, weights: _Codes) -> tuple[ir.Value | None, bool]:
    """The bias in the scale of the products, and whether that is possible."""
    if len(conv.inputs) < 3 or conv.inputs[2] is None:
        return None, True
    held = _dequantized(conv.inputs[2])
    if held is None or held.codes.dtype != ir.DataType.INT32 or np.any(held.zero):
        return None, False
    wanted = x.scale.reshape(()) * weights.scale.reshape(-1)
    return held.codes, bool(np.allclose(held.scale.reshape(-1), wanted, rtol=1e-5, atol=0))


def _bounds(
    activation: ir.Node | None, scale: float, zero: int, kind: ir.DataType
) -> tuple[int | None, int | None] | None:
    """Codes to which an activation bounds a result, None where the type does; no answer for bounds at run time."""
    if activation is None:
        return None, None
    limits: list[float | None] = [0.0, None]
    if activation.op_type == "Clip":
        limits = []
        for index in (1, 2):
            value = activation.inputs[index] if index < len(activation.inputs) else None
            tensor = constant_of(value)
            if value is not None and tensor is None:
                return None
            limits.append(None if tensor is None else float(tensor.numpy().reshape(())))
    span = np.iinfo(kind.numpy())
    low, high = (
        None
        if limit is None
        else int(np.clip(np.rint(np.float32(limit) / np.float32(scale)) + zero, span.min, span.max))
        for limit in limits
    )
    return (None if low == span.min else low), (None if high == span.max else high)


def _to_arithmetic(rewriter: Rewriter, node: ir.Node, shared: dict[object, ir.Value]) -> bool:
    """What is left: arithmetic on activations; constants that no product reads are dequantised."""
    if node.op_type == "QuantizeLinear":
        return _quantize_by_arithmetic(rewriter, node, shared)
    held = _dequantized(node.outputs[0]) if node.op_type == "DequantizeLinear" else None
    if held is None:
        return False
    if constant_of(held.codes) is None:
        return _dequantize_by_arithmetic(rewriter, node, held, shared)
    readers = [use.node for use in node.outputs[0].uses()]
    if (
        all(_reads_weights(reader, node.outputs[0]) for reader in readers)
        or node.outputs[0].is_graph_output()
    ):
        return False
    return _dequantize_now(rewriter, node, held)


def _reads_weights(reader: ir.Node, value: ir.Value) -> bool:
    if (reader.domain, reader.op_type) == ("", "Gemm"):
        return reader.inputs[1] is value
    places = WEIGHTS_OPERANDS.get((reader.domain, reader.op_type), ())
    return any(reader.inputs[index] is value for index in places if index < len(reader.inputs))


def _along(values: Array, axis: int, rank: int) -> Array:
    """A parameter in a shape that broadcasts along one axis."""
    if values.size == 1:
        return values.reshape(())
    return values.reshape([-1 if i == axis else 1 for i in range(rank)])


def _dequantize_by_arithmetic(
    rewriter: Rewriter, node: ir.Node, held: _Codes, shared: dict[object, ir.Value]
) -> bool:
    """(code - zero) scale, in single precision: the differences are exact but for codes of more than 24 bits."""
    if held.codes.dtype is None or held.codes.dtype.itemsize > 2 or held.codes.dtype.itemsize < 1:
        return False
    emit = Emission(rewriter, node, shared)
    rank = len(static_shape(held.codes) or ())
    value = emit.cast(held.codes, ir.DataType.FLOAT)
    if np.any(held.zero):
        value = emit("Sub", value, emit.constant(_along(held.zero.astype(np.float32), held.axis, rank)))
    rewriter.replace(node, [emit("Mul", value, emit.constant(_along(held.scale, held.axis, rank)))])
    return True


def _quantize_by_arithmetic(rewriter: Rewriter, node: ir.Node, shared: dict[object, ir.Value]) -> bool:
    """The number over its scale, rounded to even, plus the zero point, bounded by the type."""
    found, source, kind = _parameters(node), node.inputs[0], node.outputs[0].dtype
    if (
        found is None
        or source is None
        or kind is None
        or not kind.is_integer()
        or not 1 <= kind.itemsize <= 2
    ):
        return False
    if source.dtype != ir.DataType.FLOAT or not _plain_quantization(node):
        return False
    scale, zero, axis = found
    emit = Emission(rewriter, node, shared)
    rank = len(static_shape(source) or ())
    value = emit("Round", emit("Div", source, emit.constant(_along(scale, axis, rank))))
    if np.any(zero):
        value = emit("Add", value, emit.constant(_along(zero.astype(np.float32), axis, rank)))
    span = np.iinfo(kind.numpy())
    value = emit("Clip", value, emit.scalar(span.min, source), emit.scalar(span.max, source))
    rewriter.replace(node, [emit.cast(value, kind)])
    return True


def _plain_quantization(node: ir.Node) -> bool:
    """Whether no attribute asks for another precision."""
    return "precision" not in node.attributes


def _dequantize_now(rewriter: Rewriter, node: ir.Node, held: _Codes) -> bool:
    tensor = constant_of(held.codes)
    shape = static_shape(node.outputs[0])
    if tensor is None or shape is None:
        return False
    rank, kind = len(shape), ir.tensor(np.zeros((0,), np.float32))
    scale = _along(held.scale, held.axis, rank)
    zero = _along(held.zero.astype(np.float32), held.axis, rank)
    function: Callable[[Array, Array], Any] = lambda _, codes: (codes.astype(np.float32) - zero) * scale  # noqa: E731
    return rewriter.bypass(node, rewriter.derive(str(node.outputs[0].name), [kind, tensor], shape, function))
