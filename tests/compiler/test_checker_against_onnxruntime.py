"""The elements that the plan checker says an operator reads are those that onnxruntime reads.

An input element is read by an output position when changing it changes the output there. Everything is along one
dimension; onnxruntime gets a batch in which each sample has another element changed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnx_ir
import onnxruntime
from hypothesis import assume, given
from hypothesis import strategies as st
from legal_plans import model_proto
from onnx import helper

from wsec.compiler.plan_checker.kinds.registry import KINDS
from wsec.compiler.plan_checker.model_facts import read_model

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wsec.compiler.plan_checker.expectation import Read


def outputs_of_onnxruntime(proto: onnx.ModelProto, extent: int, window: int) -> NDArray[np.float32]:
    """[samples, output positions]: a sample for each changed input element, and one as it was."""
    samples = np.repeat(np.arange(1, extent + 1, dtype=np.float32)[None, None], extent + 1, axis=0)
    samples[np.arange(extent), 0, np.arange(extent)] += 1000.0
    feeds = {"x": samples}
    if window:
        feeds["w"] = np.arange(1, window + 1, dtype=np.float32)[None, None]
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    (outputs,) = session.run(None, feeds)
    return np.asarray(outputs, dtype=np.float32)[:, 0]


def reads_of_onnxruntime(
    node: Any, extent: int, *, window: int = 0, weights: dict[str, Any] | None = None
) -> tuple[onnx.ModelProto, NDArray[np.bool_]]:
    """The model of the node with the shape onnxruntime gives it, and [output positions, input elements] that depend."""
    inputs = {"x": (extent + 1, 1, extent), **({"w": (1, 1, window)} if window else {})}
    proto = model_proto([node], inputs, weights or {}, {"y": (extent + 1, 1, 1)})
    del proto.graph.output[0].type.tensor_type.shape.dim[:]
    proto.graph.output[0].type.tensor_type.ClearField("shape")
    outputs = outputs_of_onnxruntime(proto, extent, window)
    changed = outputs[:-1] != outputs[-1:]
    shaped = model_proto([node], inputs, weights or {}, {"y": (extent + 1, 1, outputs.shape[1])})
    return shaped, np.asarray(changed.T)


def read_of(kind: str, proto: onnx.ModelProto, position: int) -> Read:
    """What the checker expects of one dimension of x."""
    model = read_model(onnx_ir.from_proto(proto))
    return KINDS[kind].expect(model.operators[0], model).operands[0].reads[position]


def flags(read: Read) -> NDArray[np.bool_]:
    """The same table from the checker's ranges."""
    elements = np.arange(read.extent)
    return (elements >= read.low[:, None]) & (elements < read.high[:, None])


extents, windows = st.integers(1, 9), st.integers(1, 5)
small, pads = st.integers(1, 3), st.integers(0, 3)
paddings = st.one_of(
    st.tuples(pads, pads).map(lambda pair: {"pads": list(pair)}),
    st.sampled_from(["SAME_UPPER", "SAME_LOWER", "VALID"]).map(lambda name: {"auto_pad": name}),
)


def assert_reads(
    kind: str,
    node: Any,
    extent: int,
    *,
    window: int = 0,
    weights: dict[str, Any] | None = None,
    exact: bool = True,
) -> None:
    """The ranges hold what onnxruntime reads; where `exact`, as no window has holes, no more than that."""
    proto, expected = reads_of_onnxruntime(node, extent, window=window, weights=weights)
    said = flags(read_of(kind, proto, 3 if window else -1))
    assert expected.shape == said.shape
    assert not (expected & ~said).any()
    if exact:
        assert not (said & ~expected).any()


@given(extents, windows, small, st.integers(1, 2), paddings)
def test_convolution(extent: int, window: int, stride: int, dilation: int, padding: dict[str, Any]) -> None:
    """Strides, dilations, pads and auto_pad."""
    assume("pads" in padding or dilation == 1)
    node = helper.make_node(
        "Conv", ["x", "w"], ["y"], "node", strides=[stride], dilations=[dilation], **padding
    )
    reach = (window - 1) * dilation + 1
    assume(extent + sum(padding.get("pads", [0])) >= reach or padding.get("auto_pad", "").startswith("SAME"))
    assert_reads("convolution", node, extent, window=window, exact=dilation == 1)


@given(
    extent=extents,
    window=windows,
    stride=small,
    dilation=st.integers(1, 2),
    padding=paddings,
    extra=st.integers(0, 1),
)
def test_transposed_convolution(
    *, extent: int, window: int, stride: int, dilation: int, padding: dict[str, Any], extra: int
) -> None:
    """Strides, dilations, pads, auto_pad and output padding."""
    assume(extra < stride and (not extra or "pads" in padding))  # with auto_pad the definition leaves it open
    assume((extent - 1) * stride + (window - 1) * dilation + 1 + extra > sum(padding.get("pads", [0])))
    assume(padding.get("auto_pad", "NOTSET") == "NOTSET" or (window - 1) * dilation + 1 >= stride)
    node = helper.make_node(
        "ConvTranspose",
        ["x", "w"],
        ["y"],
        "node",
        strides=[stride],
        dilations=[dilation],
        output_padding=[extra],
        **padding,
    )
    assert_reads("transposed_convolution", node, extent, window=window, exact=dilation == 1)


@given(extents, windows, small, st.sampled_from(["NOTSET", "SAME_UPPER", "SAME_LOWER"]), st.integers(0, 2))
def test_transposed_convolution_to_a_shape(
    extent: int, window: int, stride: int, auto_pad: str, fewer: int
) -> None:
    """The pads that follow from a given output shape."""
    full = (extent - 1) * stride + window
    assume(full - fewer > 0)
    node = helper.make_node(
        "ConvTranspose",
        ["x", "w"],
        ["y"],
        "node",
        strides=[stride],
        auto_pad=auto_pad,
        output_shape=[full - fewer],
    )
    assert_reads("transposed_convolution", node, extent, window=window)


@given(extent=extents, window=windows, stride=small, begin=pads, end=pads, ceil=st.integers(0, 1))
def test_average_pooling(*, extent: int, window: int, stride: int, begin: int, end: int, ceil: int) -> None:
    """Pads and rounding up of the output's extent."""
    assume(extent + begin + end >= window and max(begin, end) < window)
    node = helper.make_node(
        "AveragePool",
        ["x"],
        ["y"],
        "node",
        kernel_shape=[window],
        strides=[stride],
        pads=[begin, end],
        ceil_mode=ceil,
    )
    assert_reads("pooling", node, extent)


@given(extents, st.integers(-12, 12), st.integers(-12, 12), st.sampled_from([-3, -2, -1, 1, 2, 3]))
def test_slice(extent: int, start: int, end: int, step: int) -> None:
    """Bounds from both ends and beyond them, both directions."""
    weights = {
        name: np.array([value], dtype=np.int64)
        for name, value in (("starts", start), ("ends", end), ("axes", -1), ("steps", step))
    }
    assume(len(range(extent)[start:end:step]) > 0)
    node = helper.make_node("Slice", ["x", "starts", "ends", "axes", "steps"], ["y"], "node")
    assert_reads("slice", node, extent, weights=weights)


@given(extents, st.integers(-2, 3), st.integers(-2, 3))
def test_pad(extent: int, begin: int, end: int) -> None:
    """Padding and cropping."""
    assume(extent + begin + end > 0 and extent + min(begin, 0) + min(end, 0) > 0)
    weights = {"pads": np.array([0, 0, begin, 0, 0, end], dtype=np.int64)}
    node = helper.make_node("Pad", ["x", "pads"], ["y"], "node")
    assert_reads("pad", node, extent, weights=weights)


@given(extents, pads, pads, st.sampled_from(["reflect", "edge", "wrap"]))
def test_pad_from_the_tensor(extent: int, begin: int, end: int, mode: str) -> None:
    """What stands beyond the ends is an element of the tensor, and that one is read."""
    assume(max(begin, end) < extent)
    weights = {"pads": np.array([0, 0, begin, 0, 0, end], dtype=np.int64)}
    node = helper.make_node("Pad", ["x", "pads"], ["y"], "node", mode=mode)
    assert_reads("pad", node, extent, weights=weights)


@given(
    extents,
    st.integers(1, 20),
    st.sampled_from(["nearest", "linear"]),
    st.sampled_from(["half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric"]),
    st.sampled_from(["floor", "ceil", "round_prefer_floor", "round_prefer_ceil"]),
)
def test_resize(extent: int, output: int, mode: str, coordinates: str, nearest: str) -> None:
    """What is said to be read is read; what else onnxruntime reads is a toss-up or has a weight of nothing."""
    node = helper.make_node(
        "Resize",
        ["x", "", "", "sizes"],
        ["y"],
        "node",
        mode=mode,
        coordinate_transformation_mode=coordinates,
        nearest_mode=nearest,
    )
    sizes = {"sizes": np.array([extent + 1, 1, output], dtype=np.int64)}
    proto, expected = reads_of_onnxruntime(node, extent, weights=sizes)
    said = flags(read_of("resize", proto, -1))
    assert not (said & ~expected).any()
    if mode == "nearest":
        sure = said.any(axis=1)
        assert (expected[sure] == said[sure]).all()
