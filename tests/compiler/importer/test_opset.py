"""Each adapter keeps the numbers: onnxruntime runs the old model and the normalised one on the same input."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from wsec.compiler.errors import WsecError
from wsec.compiler.importer import import_model, infer_shapes
from wsec.compiler.importer.opset import (
    HELD_BACK_OPSET,
    TARGET_OPSET,
    adaptation_reads_shapes,
    normalise_opset,
)
from wsec.compiler.importer.opset_adapters import ADAPTERS, COMPATIBLE
from wsec.compiler.onnxruntime_session import make_session, run_session

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Refusal = Callable[[Callable[[], object]], str]

IMAGE = "float[2, 4, 6, 6] x"


def _body(inputs: str, body: str, outputs: str = "y") -> str:
    return f"g ({inputs}) => ({', '.join('float[] ' + name for name in outputs.split())}) {{ {body} }}"


CASES = {
    "clip": (10, _body(IMAGE, "y = Clip<min=-0.5, max=0.25>(x)")),
    "clip_half_open": (7, _body(IMAGE, "y = Clip<max=0.25>(x)")),
    "dropout": (10, _body(IMAGE, "y = Dropout<ratio=0.3>(x)")),
    "pad": (10, _body(IMAGE, "y = Pad<pads=[0, 0, 1, 2, 0, 0, 3, 0], value=1.5>(x)")),
    "pad_reflect": (7, _body(IMAGE, 'y = Pad<mode="reflect", pads=[0, 0, 1, 1, 0, 0, 1, 1]>(x)')),
    "reduce_sum": (12, _body(IMAGE, "y = ReduceSum<axes=[1, -1], keepdims=0>(x)")),
    "reduce_sum_all": (11, _body(IMAGE, "y = ReduceSum(x)")),
    "reduce_mean": (17, _body(IMAGE, "y = ReduceMean<axes=[2, 3]>(x)")),
    "reduce_max": (12, _body(IMAGE, "y = ReduceMax<axes=[2]>(x)")),
    "slice": (9, _body(IMAGE, "y = Slice<axes=[2, 3], starts=[1, 0], ends=[-1, 4]>(x)")),
    "softmax_over_several_axes": (11, _body(IMAGE, "y = Softmax<axis=2>(x)")),
    "softmax_default": (7, _body(IMAGE, "y = Softmax(x)")),
    "softmax_last": (11, _body("float[3, 5] x", "y = Softmax(x)")),
    "log_softmax": (11, _body(IMAGE, "y = LogSoftmax<axis=1>(x)")),
    "hardmax": (11, _body(IMAGE, "y = Hardmax<axis=2>(x)")),
    "split": (11, _body(IMAGE, "y, z = Split<axis=1, split=[1, 3]>(x)", "y z")),
    "split_equal": (17, _body(IMAGE, "y, z = Split<axis=2>(x)", "y z")),
    "squeeze_unsqueeze": (
        12,
        _body("float[2, 1, 3] x", "a = Squeeze<axes=[1]>(x) y = Unsqueeze<axes=[0, 3]>(a)"),
    ),
    "squeeze_all": (11, _body("float[2, 1, 3] x", "y = Squeeze(x)")),
    "top_k": (9, _body(IMAGE, "y, z = TopK<k=2, axis=1>(x) w = Cast<to=1>(z)", "y w")),
    "upsample_nearest": (7, _body(IMAGE, 'y = Upsample<mode="nearest", scales=[1.0, 1.0, 2.0, 3.0]>(x)')),
    "upsample_linear": (7, _body(IMAGE, 'y = Upsample<mode="linear", scales=[1.0, 1.0, 2.0, 2.0]>(x)')),
    "resize_up": (
        10,
        _body(
            IMAGE, 's = Constant<value = float[4] {1.0, 1.0, 2.0, 2.5}>() y = Resize<mode="nearest">(x, s)'
        ),
    ),
    "resize_down": (
        10,
        _body(
            IMAGE, 's = Constant<value = float[4] {1.0, 1.0, 0.4, 0.5}>() y = Resize<mode="nearest">(x, s)'
        ),
    ),
    "resize_linear": (
        10,
        _body(IMAGE, 's = Constant<value = float[4] {1.0, 1.0, 1.7, 0.5}>() y = Resize<mode="linear">(x, s)'),
    ),
    "dft": (17, _body("float[2, 8, 1] x", "y = DFT<axis=1>(x)")),
    "dft_default": (17, _body("float[2, 8, 1] x", "y = DFT(x)")),
    "grid_sample": (
        16,
        _body(f"{IMAGE}, float[2, 3, 3, 2] grid", 'y = GridSample<mode="bicubic", align_corners=1>(x, grid)'),
    ),
    "scatter": (
        10,
        _body(
            "float[4, 4] x, float[1, 4] u",
            "i = Constant<value = int64[1, 4] {3, 1, 0, 2}>() y = Scatter(x, i, u)",
        ),
    ),
    "roi_align": (
        10,
        _body(
            IMAGE,
            "r = Constant<value = float[1, 4] {0.0, 0.0, 5.0, 5.0}>() b = Constant<value = int64[1] {0}>() "
            "y = RoiAlign<output_height=2, output_width=2>(x, r, b)",
        ),
    ),
    "batch_normalization": (
        7,
        _body(
            IMAGE,
            "s = Constant<value = float[4] {1.0, 2.0, 3.0, 4.0}>() v = Abs(s) y = BatchNormalization(x, s, s, s, v)",
        ),
    ),
    "global_pool_and_gemm": (
        7,
        _body(
            IMAGE,
            "w = Constant<value = float[4, 2] {1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0}>() "
            "b = Constant<value = float[2] {0.5, 0.25}>() a = GlobalAveragePool(x) f = Flatten(a) y = Gemm(f, w, b)",
        ),
    ),
}


def _run(proto: onnx.ModelProto, seed: int = 7) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    feeds = {
        value.name: rng.uniform(-1, 1, [d.dim_value for d in value.type.tensor_type.shape.dim]).astype(
            np.float32
        )
        for value in proto.graph.input
    }
    return run_session(make_session(proto.SerializeToString()), feeds)


@pytest.mark.parametrize("case", CASES)
def test_a_normalised_model_computes_the_same(case: str) -> None:
    """Changed signatures and changed meanings: the values of every output stay, bit for bit."""
    opset, text = CASES[case]
    proto = onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["" : {opset}]> {text}')
    expected = _run(proto)
    model = ir.serde.deserialize_model(proto)
    infer_shapes(model)
    normalise_opset(model)
    assert model.opset_imports[""] == (HELD_BACK_OPSET if case == "roi_align" else TARGET_OPSET)
    found = _run(ir.serde.serialize_model(model))
    assert len(found) == len(expected)
    for a, b in zip(expected, found, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("case", CASES)
def test_shapes_are_inferred_first_where_an_adapter_reads_them(case: str) -> None:
    """Of a model for which the importer skips the first inference, the adapters make the same without shapes."""
    opset, text = CASES[case]
    known, unknown = (
        ir.serde.deserialize_model(
            onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["" : {opset}]> {text}')
        )
        for _ in range(2)
    )
    for value in unknown.graph.inputs:
        value.shape = None
    if adaptation_reads_shapes(unknown):
        return
    infer_shapes(known)
    for model in (known, unknown):
        normalise_opset(model)
    assert [_said(node) for node in known.graph] == [_said(node) for node in unknown.graph]


def _said(node: ir.Node) -> tuple[object, ...]:
    names = [None if value is None else value.name for value in node.inputs]
    return node.op_type, names, [str(attribute) for attribute in node.attributes.values()]


def test_adapters_reach_bodies_and_functions(model_file: Callable[[str], Path]) -> None:
    """An old operator inside a branch or a function is brought over like any other."""
    text = """<ir_version: 8, opset_import: ["" : 10, "local" : 1]>
    g (bool c, float[2, 3] x) => (float[2, 1] y) {
        a = local.f(x)
        y = If (c) <then_branch = t () => (float[2, 1] r) { r = ReduceSum<axes=[1]>(a) },
                    else_branch = e () => (float[2, 1] r2) { r2 = ReduceMean<axes=[1]>(a) }>
    }
    <domain: "local", opset_import: ["" : 10]>
    f (a) => (b) { b = Clip<max=0.5>(a) }"""
    model = import_model(model_file(text), {}).model
    operators = {node.op_type: len(node.inputs) for node in model.graph.all_nodes()}
    assert operators["ReduceSum"] == operators["ReduceMean"] == 2
    function = next(iter(model.functions.values()))
    assert [node.op_type for node in function] == ["Constant", "Clip"]


def test_metadata_and_names_survive() -> None:
    """What other tools wrote on a node is kept, which onnx.version_converter does not do."""
    proto = onnx.parser.parse_model(
        '<ir_version: 10, opset_import: ["" : 11]> g (float[2, 1] x) => (float[2] y) { [s] y = Squeeze<axes=[1]>(x) }'
    )
    proto.graph.node[0].metadata_props.add(key="from", value="layer 3")
    model = ir.serde.deserialize_model(proto)
    normalise_opset(model)
    node = model.graph[-1]
    assert (node.name, node.op_type, node.metadata_props["from"]) == ("s", "Squeeze", "layer 3")


def test_a_newer_model_keeps_its_opset() -> None:
    """There is no way back to an older opset; onnxruntime judges the newer operators."""
    proto = onnx.parser.parse_model(
        '<ir_version: 11, opset_import: ["" : 23]> g (float[2] x) => (float[2] y) { y = Relu(x) }'
    )
    model = ir.serde.deserialize_model(proto)
    assert not normalise_opset(model)
    assert model.opset_imports[""] == 23


def test_all_operators_that_cannot_be_brought_over_are_listed(
    model_file: Callable[[str], Path], refusal: Refusal
) -> None:
    """One message names every node and why, so that one new export mends them all."""
    path = model_file(
        """<ir_version: 8, opset_import: ["" : 8]>
        g (float[1, 2, 4, 4] x, float[2] p, float[4] scales) => (float[] y, float[] m, float[] u) {
            [norm] y = BatchNormalization<spatial=0>(x, p, p, p, p)
            [drop] z, m = Dropout(x)
            u = Relu(z)
        }"""
    )
    assert refusal(lambda: import_model(path, {})) == (
        "error[WSEC114]: 2 operators cannot be brought to opset 23\n"
        "  where:    norm (BatchNormalization): normalises each element by itself (spatial=0)\n"
        "            drop (Dropout): its mask is used, which was not boolean before opset 10\n"
        "  expected: operators that mean the same in ai.onnx 23\n"
        "  found:    ai.onnx 8\n"
        "  try:      export the model again with opset 23"
    )


def test_a_mask_that_nobody_reads_is_dropped(model_file: Callable[[str], Path]) -> None:
    """Before opset 10 the mask of Dropout was of floats: its old type must not meet the new rule."""
    text = (
        '<ir_version: 8, opset_import: ["" : 9]> g (float[2, 4] x) => (float[2, 4] y) '
        "{ y, m = Dropout<ratio=0.5>(x) }"
    )
    model = import_model(model_file(text), {}).model
    assert [len(node.outputs) for node in model.graph] == [1]


def test_training_normalisation_and_unknown_scales_are_refused() -> None:
    """Further reasons, each from its adapter."""
    for opset, body, reason in (
        (9, "y, m, v, s, t = BatchNormalization(x, p, p, p, p) w = Relu(m)", "is in training mode"),
        (10, 'q = Relu(p) w = Resize<mode="nearest">(x, q)', "its scales are not constant"),
        (1, "w = Relu(x)", "changed in opset 6"),
    ):
        proto = onnx.parser.parse_model(
            f'<ir_version: 8, opset_import: ["" : {opset}]> g (float[1, 4, 2, 2] x, float[4] p) => (float[] w) {{ {body} }}'
        )
        with pytest.raises(Exception, match=reason) as caught:
            normalise_opset(ir.serde.deserialize_model(proto))
        assert caught.type.__name__ == "WsecError"


def _history() -> dict[str, list[int]]:
    versions: dict[str, set[int]] = {}
    for schema in onnx.defs.get_all_schemas_with_history():
        if schema.domain == "":
            versions.setdefault(schema.name, set()).add(schema.since_version)
    return {name: sorted(found) for name, found in versions.items()}


def test_the_tables_speak_of_changes_that_exist() -> None:
    """A row about an operator or an opset that the change log does not have would be a typing error."""
    history = _history()
    assert [(name, step) for name, step in ADAPTERS if step not in history[name]] == []
    assert set(COMPATIBLE) <= set(history)


def test_every_change_is_decided_or_knowingly_refused() -> None:
    """Of all changes from opset 7 to the target, those in no table are exactly these."""
    undecided = [
        f"{name}-{step}"
        for name, steps in sorted(_history().items())
        for step in steps[1:]
        if 6 < step <= TARGET_OPSET and (name, step) not in ADAPTERS and step not in COMPATIBLE.get(name, ())
    ]
    assert undecided == []


SCAN_8 = """<ir_version: 8, opset_import: ["" : 8]> g (LENGTHSfloat[3, 2] h, float[3, 5, 2] x, float[3, 5, 2] z) =>
    (float[3, 2] last, float[] all) { last, all = Scan<num_scan_inputs=2, directions=[1, 0],
    body = step (float[2] s, float[2] a, float[2] b) => (float[2] t, float[2] u)
    { p = Mul(s, a) t = Add(p, b) u = Neg(t) }>(FIRST, h, x, z) }"""


def test_a_scan_of_opset_8_walks_through_its_samples() -> None:
    """Its axis of samples is walked by a second Scan around it."""
    proto = onnx.parser.parse_model(SCAN_8.replace("LENGTHS", "").replace("FIRST", ""))
    rng = np.random.default_rng(3)
    feeds = {
        name: rng.standard_normal(shape).astype(np.float32)
        for name, shape in (("h", (3, 2)), ("x", (3, 5, 2)), ("z", (3, 5, 2)))
    }
    expected = run_session(make_session(proto.SerializeToString()), feeds)
    model = ir.serde.deserialize_model(proto)
    normalise_opset(model)
    infer_shapes(model)
    assert [str(value.shape) for value in model.graph.outputs] == ["[3,2]", "[3,5,2]"]
    found = run_session(make_session(ir.serde.serialize_model(model).SerializeToString()), feeds)
    for old, new in zip(expected, found, strict=True):
        np.testing.assert_array_equal(new, old)


def test_lengths_of_samples_are_refused() -> None:
    """Opset 9 has no way to say them."""
    text = SCAN_8.replace("LENGTHS", "int64[3] n, ").replace("FIRST", "n")
    with pytest.raises(WsecError, match=r"gives each sample a length of its own \(sequence_lens\)"):
        normalise_opset(ir.serde.deserialize_model(onnx.parser.parse_model(text)))


def test_group_normalization_gets_one_scale_per_channel() -> None:
    """Opset 18 had one scale and bias per group; onnxruntime has no such kernel, so numpy is the judge."""
    proto = onnx.parser.parse_model(
        """<ir_version: 8, opset_import: ["" : 18]> g (float[2, 6, 5] x) => (float[2, 6, 5] y) {
        s = Constant<value = float[3] {1.0, 2.0, 3.0}>() b = Constant<value = float[3] {0.5, -1.0, 4.0}>()
        y = GroupNormalization<num_groups=3, epsilon=0.01>(x, s, b) }"""
    )
    model = ir.serde.deserialize_model(proto)
    normalise_opset(model)
    x = np.random.default_rng(1).standard_normal((2, 6, 5)).astype(np.float32)
    session = make_session(ir.serde.serialize_model(model).SerializeToString())
    groups = x.reshape(2, 3, 10)
    mean, variance = groups.mean(-1, keepdims=True), groups.var(-1, keepdims=True)
    scale, bias = np.array([1, 2, 3]).reshape(1, 3, 1), np.array([0.5, -1, 4]).reshape(1, 3, 1)
    expected = ((groups - mean) / np.sqrt(variance + 0.01) * scale + bias).reshape(2, 6, 5)
    np.testing.assert_allclose(run_session(session, {"x": x})[0], expected, atol=1e-5)


@pytest.mark.parametrize(
    ("inputs", "body", "shape"),
    [
        ("float[2, 4, 6] x, float[4] w", "y = Add<broadcast=1, axis=1>(x, w)", (4, 1)),
        ("float[2, 4, 6] x, float[4, 6] w", "y = Add<broadcast=1>(x, w)", (4, 6)),
        ("float[2, 4, 6] x, float[2, 4] w", "y = Add<broadcast=1, axis=-3>(x, w)", (2, 4, 1)),
        ("float[2, 4, 6] x, float[1] w", "y = Add<broadcast=1, axis=0>(x, w)", (1, 1, 1)),
    ],
)
def test_operands_are_laid_as_opset_6_says(inputs: str, body: str, shape: tuple[int, ...]) -> None:
    """Onnxruntime begins at opset 7, so the standard's own words decide: dimensions of 1 behind those from `axis`."""
    model = ir.from_proto(
        onnx.parser.parse_model(f'<ir_version: 3, opset_import: ["" : 6]> {_body(inputs, body)}')
    )
    infer_shapes(model)
    assert normalise_opset(model)
    rng = np.random.default_rng(3)
    feeds = {
        str(v.name): rng.random(v.shape.numpy() if v.shape else (), np.float32) for v in model.graph.inputs
    }
    found = run_session(make_session(ir.to_proto(model).SerializeToString()), feeds)[0]
    np.testing.assert_array_equal(found, feeds["x"] + feeds["w"].reshape(shape))


def test_a_slope_of_opset_6_is_one_per_channel() -> None:
    """Later it broadcasts from the last dimension."""
    model = ir.from_proto(
        onnx.parser.parse_model(
            f'<ir_version: 3, opset_import: ["" : 6]> {_body("float[2, 3, 5] x, float[3] w", "y = PRelu(x, w)")}'
        )
    )
    infer_shapes(model)
    normalise_opset(model)
    x, w = np.full((2, 3, 5), -1, np.float32), np.array([1, 2, 3], np.float32)
    found = run_session(make_session(ir.to_proto(model).SerializeToString()), {"x": x, "w": w})[0]
    np.testing.assert_array_equal(found, np.broadcast_to(-w[:, None], (2, 3, 5)))


def test_attributes_of_opset_6_that_mean_training_are_refused() -> None:
    """BatchNormalization trained unless is_test said otherwise."""
    for attribute, trained in (("", True), ("<is_test=0>", True), ("<is_test=1>", False)):
        body = _body(
            "float[1, 4, 2] x, float[4] p",
            f"z = Dropout{attribute}(x) y = BatchNormalization{attribute}(z, p, p, p, p)",
        )
        model = ir.from_proto(onnx.parser.parse_model(f'<ir_version: 3, opset_import: ["" : 6]> {body}'))
        if trained:
            with pytest.raises(WsecError, match=r"is in training mode \(is_test=0\)"):
                normalise_opset(model)
        else:
            assert normalise_opset(model)
            assert not any("is_test" in node.attributes for node in model.graph)


def test_an_upsampling_of_opset_6_has_its_scales_in_two_attributes() -> None:
    """Nearest, by whole numbers: every element is repeated."""
    body = _body("float[1, 1, 2, 2] x", 'y = Upsample<height_scale=2.0, width_scale=3.0, mode="nearest">(x)')
    model = ir.from_proto(onnx.parser.parse_model(f'<ir_version: 3, opset_import: ["" : 6]> {body}'))
    normalise_opset(model)
    x = np.arange(4, dtype=np.float32).reshape(1, 1, 2, 2)
    found = run_session(make_session(ir.to_proto(model).SerializeToString()), {"x": x})[0]
    np.testing.assert_array_equal(found, x.repeat(2, axis=2).repeat(3, axis=3))


def test_an_upsampling_needs_no_constant_scales() -> None:
    """Rounding down is right for every factor that it may have, so the factors need not be known."""
    body = _body("float[1, 1, 2, 2] x, float[4] s", 'y = Upsample<mode="nearest">(x, s)')
    model = ir.from_proto(onnx.parser.parse_model(f'<ir_version: 3, opset_import: ["" : 9]> {body}'))
    normalise_opset(model)
    feeds = {
        "x": np.arange(4, dtype=np.float32).reshape(1, 1, 2, 2),
        "s": np.array([1, 1, 2, 3], np.float32),
    }
    found = run_session(make_session(ir.to_proto(model).SerializeToString()), feeds)[0]
    np.testing.assert_array_equal(found, feeds["x"].repeat(2, axis=2).repeat(3, axis=3))
