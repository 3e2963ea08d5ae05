"""The memory ledger: what is counted of a model, and what follows for wafers, context and batch."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

import gpt_oss
import llama
import wsec
from decoder_parts import Export
from gpt_oss import make_gpt_oss
from llama import make_llama
from model_writer import write_model
from wsec.compiler.errors import ExitStatus, WsecError
from wsec.compiler.ledger import Fit, FitRequest, Structure, fit, read_structure
from wsec.compiler.target import load_target

if TYPE_CHECKING:
    from model_writer import GraphMaker

WSE3 = load_target("wse3")
MESH = load_target("mesh16")
CONTEXT, LAYERS = 64, 2


@cache
def _maker(kind: str, form: str, precision: str) -> GraphMaker:
    """Two layers of a full-size decoder."""
    export = Export(form=form, entry="decode", context=CONTEXT, precision="fp16", activations="fp16")
    if kind == "llama":
        return make_llama(replace(llama.CONFIGS["8b"], layers=LAYERS), replace(export, precision=precision))
    return make_gpt_oss(replace(gpt_oss.CONFIGS["20b"], layers=LAYERS), export, precision)


@cache
def _structure(kind: str = "llama", form: str = "contrib", precision: str = "fp16") -> Structure:
    """Of a model without its weights."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        opset = 24 if precision == "mxfp4" else 23
        write_model(_maker(kind, form, precision), path, weights="none", opset=opset)
        return read_structure(path, {})


def _save(
    folder: Path, nodes: list[onnx.NodeProto], weights: dict[str, np.ndarray], shape: list[int | str]
) -> Path:
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    path = folder / "model.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)]), path)
    return path


@pytest.mark.parametrize("form", ["contrib", "standard"])
@pytest.mark.parametrize(
    ("kind", "precision", "name", "bits"),
    [
        ("llama", "fp16", "fp16", 16),
        ("llama", "int4", "int4 blocks", 4.5),
        ("gpt_oss", "mxfp4", "MXFP4 blocks", 4.25),
        ("gpt_oss", "int8", "int8 blocks", 8.5),
    ],
)
def test_weights_are_counted_in_their_precision(
    kind: str, precision: str, name: str, bits: float, form: str
) -> None:
    """Every declared byte is counted once, and a weight in blocks bears its share of the scales, in both forms."""
    structure = _structure(kind, form, precision)
    found = fit(structure, WSE3, FitRequest())
    declared = sum(weight.size_bytes for weight in _maker(kind, form, precision).weights)
    assert 0 <= found.weight_bytes - declared < 1e-4 * declared  # and constants of shapes
    precisions = {each.name: each for each in found.weights}
    assert precisions[name].bits == pytest.approx(bits)
    assert precisions[name].bytes > 1e8
    assert found.absent == ("model.onnx.data",)
    assert found.unknown_shapes == 0


@pytest.mark.parametrize("form", ["contrib", "standard"])
def test_the_cache_is_found_in_both_forms(form: str) -> None:
    """Keys and values of each layer, in bytes of a position as the configuration says."""
    found = fit(_structure("llama", form), WSE3, FitRequest(batch=3, context=1000)).cache
    assert found is not None
    config = llama.CONFIGS["8b"]
    assert found.tensors == 2 * LAYERS
    assert (found.model_batch, found.model_context) == (1, CONTEXT)
    assert found.bytes_per_position == 2 * LAYERS * config.kv_heads * config.head_size * 2
    assert found.bytes == 3 * 1000 * found.bytes_per_position


@given(st.integers(1, 4), st.integers(1, 40), st.integers(200, 700))
def test_limits_are_the_last_that_fit(wafers: int, batch: int, side: int) -> None:
    """The longest context, the largest batch and the smallest number of wafers fit, and one step further does not."""
    structure, target = _structure(), WSE3.with_region(side, side)

    def fits(request: FitRequest) -> bool:
        return fit(structure, target, request).fits

    found = fit(structure, target, FitRequest(wafers, batch, 4096))
    assert found.longest_context is not None
    assert found.largest_batch is not None
    if found.longest_context:
        assert fits(FitRequest(wafers, batch, found.longest_context))
    assert not fits(FitRequest(wafers, batch, found.longest_context + 1))
    if found.largest_batch:
        assert fits(FitRequest(wafers, found.largest_batch, 4096))
    assert not fits(FitRequest(wafers, found.largest_batch + 1, 4096))
    assert found.required_bytes <= found.least_wafers * (found.available_bytes // wafers)
    assert (found.least_wafers == 1) or found.required_bytes > (found.least_wafers - 1) * (
        found.available_bytes // wafers
    )
    assert found.filled_wafers is None or found.filled_wafers >= found.least_wafers


def test_no_plan_holds_less_than_the_ledger_requires(tmp_path: Path) -> None:
    """What the ledger calls necessary is: the kernels of a plan keep at least as many bytes of weights and states."""
    export = Export(form="contrib", entry="decode", context=12)
    path = tmp_path / "tiny.onnx"
    write_model(make_llama(replace(llama.CONFIGS["tiny"], layers=1), export), path, opset=export.opset)
    plan = wsec.compile(path, target="wse3", region=(48, 48), effort=0.0).record
    kept = sum(
        (kernel.memory.weights + kernel.memory.states) * kernel.rectangle.width * kernel.rectangle.height
        for kernel in plan.kernels()
    )
    found = wsec.fit(path, target="wse3", region=(48, 48))
    assert 0 < found.required_bytes <= kept
    assert found.cache is not None
    assert found.cache.bytes == sum(2 * 12 * 16 * 4 for _ in plan.states)


def test_what_no_output_needs_is_not_counted(tmp_path: Path) -> None:
    """Weights of operators that are dead, and those that nobody reads, are not on the wafer."""
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"]), helper.make_node("MatMul", ["x", "dead"], ["z"])]
    weights = {name: np.zeros((8, 8), np.float32) for name in ("w", "dead", "unread")}
    found = fit(read_structure(_save(tmp_path, nodes, weights, [1, 8]), {}), MESH, FitRequest())
    assert found.weight_bytes == 8 * 8 * 4
    assert found.activation_bytes == 2 * 8 * 4
    assert (found.cache, found.longest_context, found.largest_batch) == (None, None, None)


def test_a_weight_that_is_only_cast_counts_in_the_narrower_type(tmp_path: Path) -> None:
    """Passes may cast it ahead, and a bound must hold for them too; widening is not counted."""
    nodes = [
        helper.make_node("Cast", ["wide"], ["a"], to=TensorProto.FLOAT16),
        helper.make_node("Cast", ["narrow"], ["b"], to=TensorProto.DOUBLE),
        helper.make_node("Cast", ["a"], ["c"], to=TensorProto.FLOAT),
        helper.make_node("Cast", ["b"], ["d"], to=TensorProto.FLOAT),
        helper.make_node("MatMul", ["x", "c"], ["e"]),
        helper.make_node("MatMul", ["e", "d"], ["y"]),
    ]
    weights = {name: np.zeros((8, 8), np.float32) for name in ("wide", "narrow")}
    found = fit(read_structure(_save(tmp_path, nodes, weights, [1, 8]), {}), MESH, FitRequest())
    assert {each.name: each.bytes for each in found.weights} == {"fp32": 256, "fp16": 128}


@pytest.mark.parametrize(
    ("text", "sizes", "kept"),
    [
        ("t = Slice(a, from, to) y = MatMul(x, t)", {"a": (4000, 16), "from": 0, "to": 16}, 4 * 16 * 16),
        ("t = MatMul(a, b) y = MatMul(x, t)", {"a": (16, 4000), "b": (4000, 16)}, 4 * 16 * 16),
        ("t = Mul(a, b) y = MatMul(x, t)", {"a": (16, 16), "b": (16, 16)}, 4 * 16 * 16),
        ("t = Add(a, b) y = MatMul(x, t) z = MatMul(y, b)", {"a": (16, 16), "b": (16, 16)}, 8 * 16 * 16),
        ("s = Shape(a) y = Reshape(x, s)", {"a": (1, 16, 1)}, 24),
        (
            "n = NonZero(a) t = Concat<axis=0>(n, n) u = Mul(t, n) y = Gather(x, u)",
            {"a": (8, 16)},
            4 * 8 * 16,
        ),
    ],
)
def test_what_passes_fold_is_counted_folded(
    text: str, sizes: dict[str, int | tuple[int, ...]], kept: int, tmp_path: Path
) -> None:
    """Constants of which plans keep a smaller result count no more than that: what compiles is not said to have no plan."""
    model = onnx.parser.parse_model(
        f'<ir_version: 10, opset_import: ["": 21]> g (float[1, 16] x) => (float y) {{ {text} }}'
    )
    for name, size in sizes.items():
        values = np.ones(size, np.float32) if isinstance(size, tuple) else np.array([size])
        model.graph.initializer.append(numpy_helper.from_array(values, name))
    last = model.graph.node[-1].output[0]
    model.graph.output[0].CopyFrom(helper.make_tensor_value_info(last, TensorProto.FLOAT, None))
    path = tmp_path / "model.onnx"
    onnx.save(model, path)
    found = fit(read_structure(path, {}), MESH, FitRequest(1, None, None))
    assert kept <= found.weight_bytes <= kept + 2 * 8  # where a slice begins and ends


def test_open_dimensions_are_bound(tmp_path: Path) -> None:
    """A dimension without a size is refused as by compile; with one, activations follow from it."""
    path = _save(
        tmp_path,
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        {"w": np.zeros((8, 8), np.float32)},
        ["rows", 8],
    )
    with pytest.raises(WsecError) as caught:
        read_structure(path, {})
    assert caught.value.code == "WSEC111"
    found = fit(read_structure(path, {"rows": 5}), MESH, FitRequest())
    assert (found.activation_bytes, found.unknown_shapes) == (2 * 5 * 8 * 4, 0)


def _refused(structure: Structure, request: FitRequest, side: int = 0, name: str = "wse3") -> WsecError:
    target = load_target(name)
    target = target.with_region(side, side) if side else target
    try:
        found: Fit = fit(structure, target, request)
    except WsecError as error:
        return error
    assert not found.fits
    assert found.unmet is not None
    return found.unmet


def test_what_does_not_fit_says_the_inequality() -> None:
    """More weights than memory: both sides with their numbers, and the number of wafers that would do."""
    error = _refused(_structure(), FitRequest(), 240)
    assert str(error) == (
        "error[WSEC375]: the model does not fit 1 wafer\n"
        "  where:    target wse3, 240 x 240 cores\n"
        "  expected: weights + KV cache <= memory: 2,974,343,180 <= 2,359,065,600 bytes (1 x 57,600 cores x 40,956 bytes)\n"
        "  found:    2,974,343,180 > 2,359,065,600, 615,277,580 bytes too many\n"
        "  try:      use at least --wafers 2, or weights of fewer bits"
    )
    assert error.exit_status is ExitStatus.DOES_NOT_FIT


def test_a_context_that_is_too_long_says_the_longest() -> None:
    """Weights alone fit: the KV cache is to blame, and what is possible is named."""
    error = _refused(_structure(), FitRequest(context=100_000), 272)
    assert str(error) == (
        "error[WSEC371]: the context is longer than memory allows\n"
        "  where:    context 100,000, batch 1\n"
        "  expected: weights + KV cache <= memory: 3,793,018,892 <= 3,030,088,704 bytes (1 x 73,984 cores x 40,956 bytes)\n"
        "  found:    2,973,818,892 of weights + 819,200,000 of KV cache, 762,930,188 bytes too many\n"
        "  try:      --context 6868 or --wafers 2; the model itself must then be made for it"
    )


@pytest.mark.parametrize("wafers", [0, 2000])
def test_no_such_number_of_wafers(wafers: int) -> None:
    """None, or more than there are operators with something to keep."""
    assert str(_refused(_structure(), FitRequest(wafers))) == (
        f"error[WSEC372]: the model cannot be spread over {wafers:,} wafers\n"
        f"  where:    --wafers {wafers}\n"
        "  expected: at least 1 wafer, and no more than operators with weights or KV cache, of which there are 24\n"
        f"  found:    {wafers:,}\n"
        "  try:      ask for another number, or for the least: --wafers auto"
    )


def test_wafers_without_a_link_between_them() -> None:
    """A target that has one wafer only."""
    assert _refused(_structure(), FitRequest(2), name="mesh16").code == "WSEC363"


def test_a_context_of_a_model_without_a_cache(tmp_path: Path) -> None:
    """The question makes no sense, and no number is made up."""
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    path = _save(tmp_path, nodes, {"w": np.zeros((8, 8), np.float32)}, [1, 8])
    assert str(_refused(read_structure(path, {}), FitRequest(context=9))) == (
        "error[WSEC373]: there is no such context of a KV cache\n"
        "  where:    --context 9\n"
        "  expected: a model with a KV cache: inputs of which outputs are the updates\n"
        "  found:    no such input and output\n"
        "  try:      docs/fit.md says what counts as a KV cache"
    )


def test_a_batch_of_none() -> None:
    """There is no batch of zero sequences."""
    error = _refused(_structure(), FitRequest(batch=0))
    assert (error.code, error.where, error.expected) == ("WSEC373", "--batch 0", "at least 1")


def test_an_operator_larger_than_a_wafer() -> None:
    """Kernels are not divided over wafers, so more of them do not help."""
    assert str(_refused(_structure(), FitRequest(20), 100)) == (
        "error[WSEC374]: an operator is larger than a wafer\n"
        "  where:    Gather '/embed_tokens/Gather'\n"
        "  expected: weights + KV cache of an operator <= a wafer: at most 409,560,000 bytes\n"
        "  found:    1,050,673,152 + 0 = 1,050,673,152 > 409,560,000 bytes\n"
        "  try:      use a larger region, or split the operator into smaller ones"
    )
