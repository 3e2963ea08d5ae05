"""How each operator of ai.onnx is brought over the opsets that changed it, from 7 to 23.

`COMPATIBLE` lists the changes that leave an existing node as it is: more types, negative axes, new attributes with
the old behaviour as default. `ADAPTERS` rewrites a node in place, keeping its name, metadata and outputs. What is in
neither table cannot be brought over. Source: the change log of the operators, https://onnx.ai/onnx/operators.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from wsec.compiler.importer.scan_adapter import gives_lengths, nest_scan

if TYPE_CHECKING:
    from collections.abc import Callable

_EVERY_COMPATIBLE = range(7, 24)


class NotAdaptableError(Exception):
    """This node uses something that the newer opset cannot say."""


def _constant(node: ir.Node, array: np.ndarray[tuple[int, ...], np.dtype[np.generic]], role: str) -> ir.Value:
    """A Constant in front of `node`: unlike an initializer it may also stand in a function."""
    name = f"{node.outputs[0].name}_{role}"
    created = ir.node(
        "Constant", [], attributes={"value": ir.tensor(array, name=name)}, name=f"{name}_constant"
    )
    created.outputs[0].name = name
    created.outputs[0].dtype = ir.DataType.from_numpy(array.dtype)
    created.outputs[0].shape = ir.Shape(array.shape)
    node.prepend(created)
    return created.outputs[0]


def _insert(
    node: ir.Node, op_type: str, inputs: list[ir.Value | None], role: str, **attributes: int
) -> ir.Value:
    created = ir.node(op_type, inputs, attributes=attributes, name=f"{node.outputs[0].name}_{role}_node")
    created.outputs[0].name = f"{node.outputs[0].name}_{role}"
    node.prepend(created)
    return created.outputs[0]


def _take(node: ir.Node, name: str) -> ir.Attr | None:
    """Remove an attribute and return it."""
    attribute = node.attributes.get(name)
    if attribute is None:
        return None
    if attribute.is_ref():
        raise NotAdaptableError(f"its attribute {name} is a parameter of a function")
    del node.attributes[name]
    return attribute


def _set_input(node: ir.Node, index: int, value: ir.Value | None) -> None:
    if len(node.inputs) <= index:
        node.resize_inputs(index + 1)
    node.replace_input_with(index, value)


def _ints_to_input(name: str, index: int) -> Callable[[ir.Node], None]:
    """An integer-list attribute became an input."""

    def adapt(node: ir.Node) -> None:
        attribute = _take(node, name)
        if attribute is not None:
            _set_input(node, index, _constant(node, np.array(attribute.as_ints(), np.int64), name))

    return adapt


def _drop_outputs(first: int, why: str) -> Callable[[ir.Node], None]:
    """Further outputs that changed: a node loses those that nobody reads, and cannot say the others."""

    def adapt(node: ir.Node) -> None:
        if any(out.uses() or out.is_graph_output() for out in node.outputs[first:]):
            raise NotAdaptableError(why)
        node.resize_outputs(first)

    return adapt


def _element_type(node: ir.Node) -> np.dtype[np.generic]:
    value = node.inputs[0]
    return np.dtype(value.dtype.numpy() if value is not None and value.dtype is not None else np.float32)


def _broadcast_7(node: ir.Node) -> None:
    """Up to opset 6 the second operand broadcast only where asked, its dimensions laid from `axis` on."""
    _take(node, "broadcast")
    axis = _take(node, "axis")
    if axis is not None:
        _append_dimensions(node, 1, axis.as_int())


def _append_dimensions(node: ir.Node, index: int, axis: int) -> None:
    """Give an input as many trailing dimensions of 1 as lay its first one at `axis` of input 0."""
    ranks = [len(v.shape) if v is not None and v.shape is not None else None for v in node.inputs]
    first, own = ranks[0], ranks[index]
    if first is None or own is None:
        raise NotAdaptableError("the ranks of its operands are unknown")
    missing = first - axis % first - own
    if missing > 0 and own > 0:
        axes = _constant(node, np.arange(own, own + missing, dtype=np.int64), "axes")
        node.replace_input_with(index, _insert(node, "Unsqueeze", [node.inputs[index], axes], "aligned"))


def _batch_normalization_7(node: ir.Node) -> None:
    is_test = _take(node, "is_test")
    if is_test is None or is_test.as_int() == 0:
        raise NotAdaptableError("is in training mode (is_test=0)")


def _drop_attributes(*names: str) -> Callable[[ir.Node], None]:
    """Attributes that had no meaning for inference, or whose meaning has become the rule."""

    def adapt(node: ir.Node) -> None:
        for name in names:
            _take(node, name)

    return adapt


def _prelu_7(node: ir.Node) -> None:
    """Up to opset 6 a slope of one dimension was one per channel."""
    _append_dimensions(node, 1, 1)


def _batch_normalization_9(node: ir.Node) -> None:
    spatial = _take(node, "spatial")
    if spatial is not None and spatial.as_int() != 1:
        raise NotAdaptableError("normalises each element by itself (spatial=0)")


def _clip_11(node: ir.Node) -> None:
    for index, name in enumerate(("min", "max"), 1):
        attribute = _take(node, name)
        if attribute is not None:
            _set_input(
                node, index, _constant(node, np.array(attribute.as_float(), _element_type(node)), name)
            )


def _dft_20(node: ir.Node) -> None:
    axis = _take(node, "axis")
    _set_input(node, 2, _constant(node, np.array(1 if axis is None else axis.as_int(), np.int64), "axis"))


def _dropout_12(node: ir.Node) -> None:
    _take(node, "ratio")


def _grid_sample_20(node: ir.Node) -> None:
    mode = _take(node, "mode")
    renamed = {"bilinear": "linear", "bicubic": "cubic"}
    if mode is not None:
        node.attributes["mode"] = ir.AttrString("mode", renamed.get(mode.as_string(), mode.as_string()))


def _group_normalization_21(node: ir.Node) -> None:
    """Scale and bias became one per channel instead of one per group."""
    channels = (
        node.inputs[0].shape[1] if node.inputs[0] is not None and node.inputs[0].shape is not None else None
    )
    groups = node.attributes["num_groups"].as_int()
    if not isinstance(channels, int):
        raise NotAdaptableError("its number of channels is unknown")
    for index, role in ((1, "scale"), (2, "bias")):
        column = _insert(
            node,
            "Unsqueeze",
            [node.inputs[index], _constant(node, np.array([1], np.int64), f"{role}_axis")],
            f"{role}_column",
        )
        size = _constant(node, np.array([groups, channels // groups], np.int64), f"{role}_size")
        table = _insert(node, "Expand", [column, size], f"{role}_table")
        flat = _constant(node, np.array([channels], np.int64), f"{role}_channels")
        node.replace_input_with(index, _insert(node, "Reshape", [table, flat], role))


def _pad_11(node: ir.Node) -> None:
    pads, value = _take(node, "pads"), _take(node, "value")
    if pads is not None:
        _set_input(node, 1, _constant(node, np.array(pads.as_ints(), np.int64), "pads"))
    if value is not None and value.as_float() != 0.0:
        _set_input(node, 2, _constant(node, np.array(value.as_float(), _element_type(node)), "value"))


def _resize_11(node: ir.Node) -> None:
    """Opset 10 resized as Upsample did: asymmetric coordinates, rounded down where it enlarges."""
    scales = node.inputs[1]
    values = None if scales is None else ir.convenience.get_const_tensor(scales)
    mode = node.attributes["mode"].as_string() if "mode" in node.attributes else "nearest"
    nearest = "floor"
    if mode == "nearest" and "nearest_mode" not in node.attributes:
        if values is None:
            raise NotAdaptableError("its scales are not constant")
        nearest = "ceil" if bool((values.numpy() < 1).any()) else "floor"
    node.resize_inputs(3)
    node.replace_input_with(1, None)
    node.replace_input_with(2, scales)
    node.attributes["coordinate_transformation_mode"] = ir.AttrString(
        "coordinate_transformation_mode", "asymmetric"
    )
    node.attributes.setdefault("nearest_mode", ir.AttrString("nearest_mode", nearest))


def _roi_align_16(node: ir.Node) -> None:
    mode = "coordinate_transformation_mode"
    node.attributes.setdefault(mode, ir.AttrString(mode, "output_half_pixel"))


def _scan_9(node: ir.Node) -> None:
    if gives_lengths(node):
        raise NotAdaptableError("gives each sample a length of its own (sequence_lens)")
    if any(attribute.is_ref() for attribute in node.attributes.values()):
        raise NotAdaptableError("an attribute is a parameter of a function")
    nest_scan(node)


def _scatter_11(node: ir.Node) -> None:
    node.op_type = "ScatterElements"


def _slice_10(node: ir.Node) -> None:
    for index, name in ((1, "starts"), (2, "ends"), (3, "axes")):
        attribute = _take(node, name)
        if attribute is not None:
            _set_input(node, index, _constant(node, np.array(attribute.as_ints(), np.int64), name))


def _softmax_13(node: ir.Node) -> None:
    """Up to opset 11 the axes from `axis` on were taken together; since 13 `axis` is the only one."""
    attribute = _take(node, "axis")
    axis = 1 if attribute is None else attribute.as_int()
    source = node.inputs[0]
    rank = len(source.shape) if source is not None and source.shape is not None else None
    node.attributes["axis"] = ir.AttrInt64("axis", -1)
    if axis == -1 or (rank is not None and axis % rank == rank - 1):
        return
    flat = _insert(node, "Flatten", [source], "flat", axis=axis)
    node.replace_input_with(0, flat)
    rows = ir.node(
        node.op_type, [flat], attributes={"axis": -1}, name=f"{node.name or node.outputs[0].name}_rows"
    )
    rows.outputs[0].name = f"{node.outputs[0].name}_rows"
    node.prepend(rows)
    shape = _insert(node, "Shape", [source], "shape")
    del node.attributes["axis"]
    node.op_type = "Reshape"
    node.replace_input_with(0, rows.outputs[0])
    _set_input(node, 1, shape)


def _split_18(node: ir.Node) -> None:
    if len(node.inputs) < 2 or node.inputs[1] is None:
        node.attributes["num_outputs"] = ir.AttrInt64("num_outputs", len(node.outputs))


def _top_k_10(node: ir.Node) -> None:
    attribute = _take(node, "k")
    if attribute is not None:
        _set_input(node, 1, _constant(node, np.array([attribute.as_int()], np.int64), "k"))


def _upsample_7(node: ir.Node) -> None:
    scales = [_take(node, name) for name in ("height_scale", "width_scale")]
    factors = [1.0 if scale is None else scale.as_float() for scale in scales]
    node.attributes["scales"] = ir.AttrFloat32s("scales", [1.0, 1.0, *factors])


def _upsample_9(node: ir.Node) -> None:
    attribute = _take(node, "scales")
    if attribute is not None:
        _set_input(node, 1, _constant(node, np.array(attribute.as_floats(), np.float32), "scales"))


def _upsample_10(node: ir.Node) -> None:
    node.op_type = "Resize"
    mode = _take(node, "mode")
    node.attributes["mode"] = ir.AttrString("mode", "nearest" if mode is None else mode.as_string())
    node.attributes["nearest_mode"] = ir.AttrString(
        "nearest_mode", "floor"
    )  # an Upsample never makes smaller


_axes_to_input = _ints_to_input("axes", 1)

ADAPTERS: dict[tuple[str, int], Callable[[ir.Node], None]] = {
    ("BatchNormalization", 7): _batch_normalization_7,
    ("BatchNormalization", 9): _batch_normalization_9,
    ("BatchNormalization", 14): _drop_outputs(1, "is in training mode"),
    ("Clip", 11): _clip_11,
    ("DFT", 20): _dft_20,
    ("Dropout", 7): _drop_attributes("is_test"),
    ("Dropout", 10): _drop_outputs(1, "its mask is used, which was not boolean before opset 10"),
    ("Dropout", 12): _dropout_12,
    ("GRU", 7): _drop_attributes("output_sequence"),
    ("Gemm", 7): _drop_attributes("broadcast"),
    ("GridSample", 20): _grid_sample_20,
    ("GroupNormalization", 21): _group_normalization_21,
    ("Hardmax", 13): _softmax_13,
    ("LSTM", 7): _drop_attributes("output_sequence"),
    ("LogSoftmax", 13): _softmax_13,
    ("Pad", 11): _pad_11,
    ("PRelu", 7): _prelu_7,
    ("RNN", 7): _drop_attributes("output_sequence"),
    ("ReduceSum", 13): _axes_to_input,
    ("Resize", 11): _resize_11,
    ("RoiAlign", 16): _roi_align_16,
    ("Scan", 9): _scan_9,
    ("Scatter", 11): _scatter_11,
    ("Slice", 10): _slice_10,
    ("Softmax", 13): _softmax_13,
    ("Split", 13): _ints_to_input("split", 1),
    ("Split", 18): _split_18,
    ("Squeeze", 13): _axes_to_input,
    ("TopK", 10): _top_k_10,
    ("Unsqueeze", 13): _axes_to_input,
    ("Upsample", 7): _upsample_7,
    ("Upsample", 9): _upsample_9,
    ("Upsample", 10): _upsample_10,
} | {
    (name, 7): _broadcast_7
    for name in (
        "Add", "And", "Div", "Equal", "Greater", "Less", "Mul", "Or", "Pow", "Sub", "Xor",
    )
} | {
    (name, 18): _axes_to_input
    for name in (
        "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean", "ReduceMin",
        "ReduceProd", "ReduceSumSquare",
    )
}  # fmt: skip

_SHAPE_READERS = frozenset(
    {_broadcast_7, _clip_11, _group_normalization_21, _pad_11, _prelu_7, _softmax_13}
)  # and of element types
READS_SHAPES: frozenset[tuple[str, int]] = frozenset(
    change for change, adapter in ADAPTERS.items() if adapter in _SHAPE_READERS
)
"""The adapters that have to know the shapes or the element types of the operands."""

COMPATIBLE: dict[str, tuple[int, ...]] = {
    name: tuple(step for step in _EVERY_COMPATIBLE if (name, step) not in ADAPTERS)
    for name in (
        "Abs", "Acos", "Acosh", "Add", "And", "ArgMax", "ArgMin", "Asin", "Asinh", "Atan", "Atanh",
        "AveragePool", "BatchNormalization", "Bernoulli", "BitShift", "Cast", "CastLike", "Ceil",
        "Clip", "Compress", "Concat", "Constant", "ConstantOfShape", "Conv", "ConvTranspose", "Cos",
        "Cosh", "CumSum", "DeformConv", "DepthToSpace", "DequantizeLinear", "Det", "Div", "Dropout",
        "Elu", "Equal", "Erf", "Exp", "Expand", "EyeLike", "Flatten", "Floor", "GRU", "Gather",
        "GatherElements", "GatherND", "Gemm", "GlobalAveragePool", "GlobalLpPool", "GlobalMaxPool",
        "Greater", "GreaterOrEqual", "HardSigmoid", "HardSwish", "Hardmax", "Identity", "If",
        "InstanceNormalization", "IsInf", "IsNaN", "LRN", "LSTM", "LeakyRelu", "Less",
        "LessOrEqual", "Log", "LogSoftmax", "Loop", "LpNormalization", "LpPool", "MatMul", "Max",
        "MaxPool", "MaxRoiPool", "MaxUnpool", "Mean", "MeanVarianceNormalization", "Min", "Mish",
        "Mod", "Mul", "Multinomial", "Neg", "NegativeLogLikelihoodLoss", "NonMaxSuppression",
        "NonZero", "OneHot", "OptionalGetElement", "OptionalHasElement", "Or", "PRelu", "Pad",
        "Pow", "QLinearMatMul", "QuantizeLinear", "RNN", "RandomNormal", "RandomNormalLike",
        "RandomUniform", "RandomUniformLike", "Reciprocal", "ReduceL1", "ReduceL2", "ReduceLogSum",
        "ReduceLogSumExp", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSum",
        "ReduceSumSquare", "Relu", "Reshape", "Resize", "RoiAlign", "Round", "ScatterElements",
        "ScatterND", "Selu", "Shape", "Sigmoid", "Sign", "Sin", "Sinh", "Size", "Slice", "Softmax",
        "SoftmaxCrossEntropyLoss", "Softplus", "Softsign", "SpaceToDepth", "Split", "Sqrt",
        "Squeeze", "Sub", "Sum", "Tan", "Tanh", "ThresholdedRelu", "Tile", "TopK", "Transpose",
        "Unsqueeze", "Where", "Xor",
    )
} | {"GridSample": (22,), "Scan": (11, 16, 19, 21, 23), "Upsample": (), "DFT": ()}  # fmt: skip
"""By operator, the opsets of the change log whose change leaves a node as it is."""
