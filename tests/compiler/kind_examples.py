"""One legal kernel by hand for each kind of kernel and variant of operator, after docs/kernels.md."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import onnx_ir
from legal_plans import activation, model_proto, result, single_kernel, weight
from onnx import helper

from wsec.compiler.sharding import DimensionSharding, cut, whole

if TYPE_CHECKING:
    from wsec.compiler.plan import Kernel, KernelInput, KernelOutput


class Example(NamedTuple):
    """A legal kernel of one node, and the model of that node."""

    name: str
    kernel: Kernel
    model: onnx_ir.Model


def halo(extent: int, block: int, step: int, offset: int, *axes: str, divisor: int = 1) -> DimensionSharding:
    """A dimension whose blocks overlap, or lie elsewhere than the output's."""
    return DimensionSharding(extent, block, step, axes, offset, divisor)


def node(operator: str, inputs: str, /, **attributes: Any) -> Any:
    """A node named `node` with output `y`; inputs are separated by commas."""
    return helper.make_node(operator, inputs.split(","), ["y"], "node", **attributes)


def example(  # noqa: PLR0917 - the examples read as a table, in the order of the record
    name: str,
    made: Any,
    kind: str,
    axes: dict[str, int],
    operands: list[KernelInput],
    output: KernelOutput,
    arguments: dict[str, Any] | None = None,
    *,
    weights: dict[str, Any] | None = None,
    shapes: dict[str, tuple[int, ...]] | None = None,
) -> Example:
    """The kernel and its model; tensors have the shapes of the views where `shapes` does not say otherwise."""
    given, said = weights or {}, shapes or {}
    inputs = {
        item.tensor: said.get(item.tensor, item.sharding.shape)
        for item in operands
        if item.tensor not in given
    }
    entries: list[KernelInput | KernelOutput] = [*operands, output]
    model = model_proto(
        [made],
        inputs,
        given,
        {output.tensor: said.get(output.tensor, output.sharding.shape)},
        dtypes={item.tensor: item.dtype for item in entries},
    )
    kernel = single_kernel(made, kind, list(axes.items()), tuple(operands), output, arguments=arguments)
    return Example(name, kernel, onnx_ir.from_proto(model))


def integers(*values: int) -> Any:
    """A constant of integers."""
    return np.array(values, dtype=np.int64)


def numbers(*values: float) -> Any:
    """A constant of single precision."""
    return np.array(values, dtype=np.float32)


ONE = whole(1)
D0, D1 = cut(6, 3, ("d0",)), cut(8, 2, ("d1",))  # the two dimensions of most examples: 3 blocks of 2, 2 of 4
XY = {"d0": 3, "d1": 2}
X, Y = activation("x", "x", D0, D1), result("y", D0, D1)

WINDOWS = [
    example(
        "Conv, groups and auto_pad",
        node("Conv", "x,w,b", group=2, auto_pad="SAME_UPPER", strides=[2]),
        "convolution",
        {"d0": 3, "k": 2},
        [
            activation("x", "x", ONE, whole(2), whole(2), halo(10, 6, 4, -1, "d0")),
            weight("w", "w", whole(2), cut(3, 2, ("k",)), whole(2), whole(4)),
            weight("bias", "b", whole(2), cut(3, 2, ("k",))),
        ],
        result("y", ONE, whole(2), cut(3, 2, ("k",)), cut(5, 3, ("d0",))),
        {"window": (4,), "strides": (2,), "dilations": (1,), "pads": (1,)},
        weights={"w": (6, 2, 4), "b": (6,)},
        shapes={"x": (1, 4, 10), "y": (1, 6, 5)},
    ),
    example(
        "Conv, auto_pad the other way",
        node("Conv", "x,w", auto_pad="SAME_LOWER", dilations=[2]),
        "convolution",
        {"n": 2, "c": 2},
        [
            activation("x", "x", cut(2, 2, ("n",)), ONE, cut(3, 2, ("c",)), halo(5, 7, 5, -1)),
            weight("w", "w", ONE, ONE, cut(3, 2, ("c",)), whole(2)),
        ],
        result("y", cut(2, 2, ("n",)), ONE, ONE, whole(5), root=("c",)),
        {"window": (2,), "strides": (1,), "dilations": (2,), "pads": (1,)},
        weights={"w": (1, 3, 2)},
        shapes={"x": (2, 3, 5), "y": (2, 1, 5)},
    ),
    example(
        "Conv, no pads",
        node("Conv", "x,w", auto_pad="VALID"),
        "convolution",
        {"d0": 2},
        [
            activation("x", "x", ONE, ONE, whole(3), halo(5, 3, 2, 0, "d0")),
            weight("w", "w", ONE, ONE, whole(3), whole(2)),
        ],
        result("y", ONE, ONE, ONE, cut(4, 2, ("d0",))),
        {"window": (2,), "strides": (1,), "dilations": (1,), "pads": (0,)},
        weights={"w": (1, 3, 2)},
        shapes={"x": (1, 3, 5), "y": (1, 1, 4)},
    ),
    example(
        "ConvTranspose",
        node("ConvTranspose", "x,w", strides=[2], pads=[1, 1]),
        "transposed_convolution",
        {"d0": 5, "c": 2},
        [
            activation("x", "x", ONE, ONE, cut(4, 2, ("c",)), halo(5, 3, 2, -1, "d0", divisor=2)),
            weight("w", "w", ONE, cut(4, 2, ("c",)), whole(3), whole(4)),
        ],
        result("y", ONE, ONE, whole(3), cut(10, 5, ("d0",)), root=("c",)),
        {"window": (4,), "strides": (2,), "dilations": (1,), "pads": (1,)},
        weights={"w": (4, 3, 4)},
        shapes={"x": (1, 4, 5), "y": (1, 3, 10)},
    ),
    *(
        example(
            f"ConvTranspose, pads from the output, {auto_pad}",
            node("ConvTranspose", "x,w", strides=[2], output_shape=[9], auto_pad=auto_pad),
            "transposed_convolution",
            {"k": 3},
            [
                activation("x", "x", ONE, ONE, whole(4), whole(5)),
                weight("w", "w", ONE, whole(4), cut(3, 3, ("k",)), whole(4)),
            ],
            result("y", ONE, ONE, cut(3, 3, ("k",)), whole(9)),
            {"window": (4,), "strides": (2,), "dilations": (1,), "pads": (pad,)},
            weights={"w": (4, 3, 4)},
            shapes={"x": (1, 4, 5), "y": (1, 3, 9)},
        )
        for auto_pad, pad in (("SAME_UPPER", 1), ("SAME_LOWER", 2), ("NOTSET", 2))
    ),
    example(
        "MaxPool",
        node("MaxPool", "x", kernel_shape=[3, 2], strides=[2, 2], pads=[1, 0, 1, 0]),
        "pooling",
        {"d0": 2, "c": 2, "d1": 2},
        [activation("x", "x", ONE, cut(3, 2, ("c",)), halo(8, 5, 4, -1, "d0"), halo(7, 4, 4, 0, "d1"))],
        result("y", ONE, cut(3, 2, ("c",)), cut(4, 2, ("d0",)), cut(3, 2, ("d1",))),
        {
            "mode": "max",
            "window": (3, 2),
            "strides": (2, 2),
            "dilations": (1, 1),
            "pads_begin": (1, 0),
            "pads_end": (1, 0),
            "count_include_pad": False,
        },
    ),
    example(
        "AveragePool",
        node("AveragePool", "x", kernel_shape=[3], pads=[1, 1], count_include_pad=1),
        "pooling",
        {"n": 2, "d0": 2},
        [activation("x", "x", cut(2, 2, ("n",)), whole(3), halo(8, 6, 4, -1, "d0"))],
        result("y", cut(2, 2, ("n",)), whole(3), cut(8, 2, ("d0",))),
        {
            "mode": "average",
            "window": (3,),
            "strides": (1,),
            "dilations": (1,),
            "pads_begin": (1,),
            "pads_end": (1,),
            "count_include_pad": True,
        },
    ),
]

PRODUCTS = [
    example(
        "MatMul, batches broadcast",
        node("MatMul", "a,b"),
        "matmul",
        {"b0": 2, "b1": 5, "m": 3, "n": 2, "k": 2},
        [
            activation("a", "a", cut(2, 2, ("b0",)), ONE, cut(3, 3, ("m",)), cut(5, 2, ("k",))),
            activation("b", "b", ONE, cut(5, 5, ("b1",)), cut(5, 2, ("k",)), cut(6, 2, ("n",))),
        ],
        result(
            "y", cut(2, 2, ("b0",)), cut(5, 5, ("b1",)), cut(3, 3, ("m",)), cut(6, 2, ("n",)), root=("k",)
        ),
        shapes={"b": (5, 5, 6)},
    ),
    example(
        "MatMul, a vector by a matrix",
        node("MatMul", "a,b"),
        "matmul",
        {"n": 2},
        [activation("a", "a", ONE, whole(3)), activation("b", "b", whole(3), cut(4, 2, ("n",)))],
        result("y", ONE, cut(4, 2, ("n",))),
        shapes={"a": (3,), "y": (4,)},
    ),
    example(
        "MatMul, a matrix by a vector",
        node("MatMul", "a,b"),
        "matmul",
        {"m": 2},
        [activation("a", "a", cut(4, 2, ("m",)), whole(3)), activation("b", "b", whole(3), ONE)],
        result("y", cut(4, 2, ("m",)), ONE),
        shapes={"b": (3,), "y": (4,)},
    ),
]


def _normalized(name: str, made: Any, arguments: dict[str, Any], parameters: list[KernelInput]) -> Example:
    """A normalisation of [2, 6, 4] in the view of its output: x, then the parameters."""
    weights = {item.tensor: (item.sharding.block_elements,) for item in parameters}
    grouped = made.op_type == "GroupNormalization"
    view = (
        (whole(2), whole(2), whole(3), cut(4, 2, ("d3",)))
        if grouped
        else (whole(2), whole(6), cut(4, 2, ("d2",)))
    )
    axes = {"d3": 2} if grouped else {"d2": 2}
    return example(
        name,
        made,
        "normalization",
        axes,
        [activation("x", "x", *view), *parameters],
        result("y", *view),
        arguments,
        weights=weights,
        shapes={"x": (2, 6, 4), "y": (2, 6, 4)},
    )


STATISTICS = [
    example(
        "ReduceSum, axes as input",
        node("ReduceSum", "x,axes", keepdims=0),
        "reduction",
        XY,
        [X],
        result("y", D0, root=("d1",)),
        {"operation": "sum", "axes": (1,), "keepdims": False, "count": 8},
        weights={"axes": integers(-1)},
    ),
    example(
        "ReduceMax, axes as attribute",
        node("ReduceMax", "x", axes=[0]),
        "reduction",
        XY,
        [X],
        result("y", ONE, D1, root=("d0",)),
        {"operation": "max", "axes": (0,), "keepdims": True, "count": 6},
    ),
    example(
        "ReduceMean, all axes",
        node("ReduceMean", "x"),
        "reduction",
        XY,
        [X],
        result("y", ONE, ONE, root=("d0", "d1")),
        {"operation": "mean", "axes": (0, 1), "keepdims": True, "count": 48},
    ),
    example(
        "ReduceProd, no axes",
        node("ReduceProd", "x", noop_with_empty_axes=1),
        "reduction",
        XY,
        [X],
        Y,
        {"operation": "prod", "axes": (), "keepdims": True, "count": 1},
    ),
    example("Softmax", node("Softmax", "x"), "softmax", XY, [X], Y, {"axis": 1, "log": False}),
    example("LogSoftmax", node("LogSoftmax", "x", axis=0), "softmax", XY, [X], Y, {"axis": 0, "log": True}),
    _normalized(
        "LayerNormalization",
        node("LayerNormalization", "x,s,b", axis=-1, epsilon=2**-10),
        {"axes": (2,), "epsilon": 2**-10, "centred": True, "count": 4},
        [weight("scale", "s", ONE, ONE, whole(4)), weight("bias", "b", ONE, ONE, whole(4))],
    ),
    _normalized(
        "InstanceNormalization",
        node("InstanceNormalization", "x,s,b"),
        {"axes": (2,), "epsilon": 1e-5, "centred": True, "count": 4},
        [weight("scale", "s", ONE, whole(6), ONE), weight("bias", "b", ONE, whole(6), ONE)],
    ),
    _normalized(
        "GroupNormalization, a number a channel",
        node("GroupNormalization", "x,s,b", num_groups=2),
        {"axes": (2, 3), "epsilon": 1e-5, "centred": True, "count": 12},
        [
            weight("scale", "s", ONE, whole(2), whole(3), ONE),
            weight("bias", "b", ONE, whole(2), whole(3), ONE),
        ],
    ),
    _normalized(
        "GroupNormalization, a number a group",
        node("GroupNormalization", "x,s,b", num_groups=2),
        {"axes": (2, 3), "epsilon": 1e-5, "centred": True, "count": 12},
        [weight("scale", "s", ONE, whole(2), ONE, ONE), weight("bias", "b", ONE, whole(2), ONE, ONE)],
    ),
    _normalized(
        "RMSNormalization",
        node("RMSNormalization", "x,s", axis=2),
        {"axes": (2,), "epsilon": 1e-5, "centred": False, "count": 4},
        [weight("scale", "s", ONE, ONE, whole(4))],
    ),
]
# The parameters of layer and RMS normalisation follow the cut of the last dimension.
STATISTICS = [
    item._replace(
        kernel=single_kernel(
            helper.make_node("Any", [], [], "node"),
            "normalization",
            [("d2", 2)],
            tuple(
                weight(entry.role, entry.tensor, ONE, ONE, cut(4, 2, ("d2",))) if entry.constant else entry
                for entry in item.kernel.inputs
            ),
            item.kernel.outputs[0],
            arguments=item.kernel.arguments,
        )
    )
    if item.name in {"LayerNormalization", "RMSNormalization"}
    else item
    for item in STATISTICS
]

MOVEMENT = [
    example(
        "Gather",
        node("Gather", "x,i", axis=-2),
        "gather",
        {"p0": 2, "v": 3, "i0": 2, "q0": 2},
        [
            activation("x", "x", cut(4, 2, ("p0",)), cut(7, 3, ("v",)), cut(5, 2, ("q0",))),
            activation("indices", "i", cut(3, 2, ("i0",)), whole(2), dtype="int64"),
        ],
        result("y", cut(4, 2, ("p0",)), cut(3, 2, ("i0",)), whole(2), cut(5, 2, ("q0",)), root=("v",)),
        {"axis": 1, "extent": 7},
    ),
    example(
        "Transpose",
        node("Transpose", "x", perm=[1, 2, 0]),
        "transpose",
        {"d0": 2, "d2": 3},
        [activation("x", "x", cut(6, 3, ("d2",)), cut(4, 2, ("d0",)), whole(5))],
        result("y", cut(4, 2, ("d0",)), whole(5), cut(6, 3, ("d2",))),
        {"perm": (1, 2, 0)},
    ),
    example(
        "Transpose, reversed",
        node("Transpose", "x"),
        "transpose",
        XY,
        [activation("x", "x", D1, D0)],
        Y,
        {"perm": (1, 0)},
    ),
    example(
        "Reshape",
        node("Reshape", "x,shape"),
        "reshape",
        XY,
        [X],
        Y,
        weights={"shape": integers(6, 8)},
        shapes={"x": (2, 3, 8)},
    ),
    example("Flatten", node("Flatten", "x"), "reshape", XY, [X], Y, shapes={"x": (6, 2, 4)}),
    example(
        "Slice, backwards",
        node("Slice", "x,starts,ends,axes,steps"),
        "slice",
        XY,
        [activation("x", "x", halo(9, 2, 2, 1, "d0"), halo(20, 7, -8, 18 - 6, "d1"))],
        Y,
        {"starts": (1, 18), "steps": (1, -2)},
        weights={
            "starts": integers(-2, -8),
            "ends": integers(-100, 7),
            "axes": integers(1, 0),
            "steps": integers(-2, 1),
        },
    ),
    example(
        "Slice, beyond the ends",
        node("Slice", "x,starts,ends"),
        "slice",
        XY,
        [activation("x", "x", D0, halo(10, 4, 4, 2, "d1"))],
        Y,
        {"starts": (0, 2), "steps": (1, 1)},
        weights={"starts": integers(-50, 2), "ends": integers(50, 10)},
    ),
    example(
        "Pad",
        node("Pad", "x,pads,value"),
        "pad",
        XY,
        [activation("x", "x", halo(3, 2, 2, -2, "d0"), halo(9, 4, 4, 1, "d1"))],
        Y,
        {"mode": "constant", "pads_begin": (2, -1), "value": -1.5},
        weights={"pads": integers(2, -1, 1, 0), "value": numbers(-1.5)},
    ),
    example(
        "Pad, one axis",
        node("Pad", "x,pads,,axes"),
        "pad",
        XY,
        [activation("x", "x", D0, halo(5, 4, 4, -3, "d1"))],
        Y,
        {"mode": "constant", "pads_begin": (0, 3), "value": 0.0},
        weights={"pads": integers(3, 0), "axes": integers(-1)},
    ),
    example(
        "Concat",
        node("Concat", "x,z", axis=-1),
        "concat",
        XY,
        [
            activation("x0", "x", D0, halo(3, 3, 4, 0, "d1")),
            activation("x1", "z", D0, halo(5, 4, 4, -3, "d1")),
        ],
        Y,
        {"axis": 1, "offsets": (0, 3)},
    ),
    example(
        "Expand",
        node("Expand", "x,shape"),
        "expand",
        XY,
        [activation("x", "x", ONE, D1)],
        Y,
        weights={"shape": integers(6, 8)},
        shapes={"x": (8,)},
    ),
]


def _resized(name: str, sizes: tuple[int, int], x: DimensionSharding, /, **attributes: Any) -> Example:
    """A Resize of one dimension from sizes[0] to sizes[1] elements in two blocks."""
    arguments = {
        "mode": attributes.get("mode", "nearest"),
        "coordinates": attributes.get("coordinate_transformation_mode", "half_pixel"),
        "nearest": attributes.get("nearest_mode", "round_prefer_floor"),
        "scales": (1.0, sizes[1] / sizes[0]),
        "input_shape": (2, sizes[0]),
        "output_shape": (2, sizes[1]),
    }
    by_scales = "scales" in name
    inputs = "x,,scales" if by_scales else "x,,,sizes"
    weights = {"scales": numbers(1.0, sizes[1] / sizes[0])} if by_scales else {"sizes": integers(2, sizes[1])}
    return example(
        name,
        node("Resize", inputs, **attributes),
        "resize",
        {"d1": 2},
        [activation("x", "x", whole(2), x)],
        result("y", whole(2), cut(sizes[1], 2, ("d1",))),
        arguments,
        weights=weights,
    )


RESIZE = [
    # Doubled: outputs 0..3 come from 0, 0, 1, 1.
    _resized("Resize, nearest", (4, 8), halo(4, 2, 2, 0, "d1")),
    _resized(
        "Resize, floor, by scales", (4, 8), halo(4, 2, 2, 0, "d1"), nearest_mode="floor",
        coordinate_transformation_mode="asymmetric",
    ),
    # Outputs 0..3 lie at 0, 0.5, 1, 1.5: rounded up to 0, 1, 1, 2.
    _resized(
        "Resize, ceil", (4, 8), halo(4, 3, 2, 0, "d1"), nearest_mode="ceil",
        coordinate_transformation_mode="asymmetric",
    ),
    # Outputs 0..2 lie at 0.167, 0.833, 1.5 (a toss-up), 3..5 at 2.167, 2.833, 3.5.
    _resized("Resize, to three halves", (4, 6), halo(4, 2, 2, 0, "d1"), nearest_mode="round_prefer_ceil"),
    # Outputs 0..3 lie at -0.25, 0.25, 0.75, 1.25, 4..7 at 1.75 ... 3.25.
    _resized("Resize, linear", (4, 8), halo(4, 3, 1, 0, "d1"), mode="linear"),
    # Outputs 0..3 lie at 0, 3/7, 6/7, 9/7, 4..7 at 12/7 ... 3.
    _resized(
        "Resize, corners aligned", (4, 8), halo(4, 3, 1, 0, "d1"), mode="linear",
        coordinate_transformation_mode="align_corners",
    ),
    _resized(
        "Resize, as another library", (4, 8), halo(4, 3, 1, 0, "d1"), mode="linear",
        coordinate_transformation_mode="pytorch_half_pixel",
    ),
    _resized(
        "Resize, half pixels symmetric", (4, 8), whole(4), mode="linear",
        coordinate_transformation_mode="half_pixel_symmetric",
    ),
]  # fmt: skip

FLAT = DimensionSharding(6, 2, 2, ("row", "column"))
WHOLE = [
    example(
        "unsplit",
        node("CumSum", "x,axis"),
        "unsplit",
        {"row": 2, "column": 2},
        [activation("in0", "x", FLAT), weight("in1", "axis", cut(1, 4, ("row", "column")), dtype="int64")],
        result("y", FLAT),
        weights={"axis": integers(0)},
        shapes={"x": (2, 3), "y": (2, 3)},
    ),
]

EXAMPLES = (*WINDOWS, *PRODUCTS, *STATISTICS, *MOVEMENT, *RESIZE, *WHOLE)
