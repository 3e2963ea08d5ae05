"""Models whose weights nobody has: they compile, are checked and estimated; running them is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import onnx
import pytest
from click.testing import CliRunner
from quantized_models import few_bits
from small_models import embedding, encoder, residual_network

import wsec
from decoder_parts import Export
from llama import CONFIGS, make_llama
from model_writer import write_model
from wsec.cli.application import application
from wsec.compiler.errors import WsecError
from wsec.driver import Options, bisect_model, compile_model

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_INTEGERS = (onnx.TensorProto.INT64, onnx.TensorProto.INT32)


def _without_weights(path: Path) -> Path:
    """The model with all that is no shape, index or axis declared in a file that does not exist."""
    model = onnx.load(path)
    offset = 0
    for tensor in model.graph.initializer:
        values = onnx.numpy_helper.to_array(tensor)
        if tensor.data_type in _INTEGERS:
            continue
        for field in ("raw_data", "float_data", "int32_data"):
            tensor.ClearField(field)
        tensor.data_location = onnx.TensorProto.EXTERNAL
        for key, value in (("location", "w.bin"), ("offset", str(offset)), ("length", str(values.nbytes))):
            tensor.external_data.add(key=key, value=value)
        offset += values.nbytes
    bare = path.with_name("bare.onnx")
    bare.write_bytes(model.SerializeToString())
    return bare


def _quantized(folder: Path) -> Path:
    return few_bits(folder / "bits.onnx")


@pytest.mark.parametrize(
    "make", [residual_network, encoder, embedding, _quantized], ids=lambda make: make.__name__
)
def test_a_plan_without_weights_is_that_with_weights(make: Callable[[Path], Path], tmp_path: Path) -> None:
    """Without values the model compiles as well: as many kernels at least, a legal plan with an estimate, which says so."""
    whole = make(tmp_path)
    options = Options(target="mesh64", region=(16, 16), effort=0.0)
    plan = compile_model(_without_weights(whole), options)
    assert plan.check() == ()
    assert plan.record.absent_weights == ("w.bin",)
    assert plan.record.notes[0].startswith("WEIGHTS NOT PRESENT: ")
    assert plan.estimate().interval_cycles == plan.record.placement.interval
    assert len(list(plan.record.kernels())) >= len(list(compile_model(whole, options).record.kernels()))


@pytest.mark.parametrize("form", ["contrib", "standard"])
def test_a_decoder_without_weights(form: str, tmp_path: Path) -> None:
    """What the makers of models write without weights is compiled; as equal weights fold alike, into the same kernels."""
    config, export = replace(CONFIGS["tiny"], layers=1), Export(form=form, context=8)
    kernels = []
    for weights in ("none", "seeded"):
        path = tmp_path / weights / "tiny.onnx"
        write_model(make_llama(config, export), path, weights=weights, opset=export.opset)
        plan = wsec.compile(path, target="wse3", region=(24, 24), effort=0.0)
        assert plan.check() == ()
        kernels.append([kernel.operators for kernel in plan.record.kernels()])
    assert kernels[0] == kernels[1]


def test_running_without_weights_is_refused(tmp_path: Path) -> None:
    """Executor, comparison and simulator say the same; so does the command, and it advises to estimate."""
    path, folder = _without_weights(embedding(tmp_path)), tmp_path / "bare.plan"
    runner = CliRunner()
    options = ["--target", "mesh64", "--region", "16x16", "--effort", "0"]
    done = runner.invoke(application, ["compile", str(path), "-o", str(folder), *options])
    assert done.exit_code == 0
    assert "WEIGHTS NOT PRESENT" in done.output
    assert f"wsecestimate{folder}" in "".join(done.output.split())  # wherever lines are broken
    plan = wsec.load_plan(folder)
    expected = (
        "error[WSEC571]: the plan was made without the weights of the model, and cannot be run\n"
        "  where:    w.bin\n"
        "  expected: weights beside the model when it was compiled\n"
        "  found:    no such file\n"
        "  try:      put the weights file beside the model and compile again; check-plan and estimate work without"
    )
    for call in (plan.verify, plan.simulate, lambda: plan.run({})):
        with pytest.raises(WsecError) as raised:
            call()
        assert str(raised.value) == expected
    assert sorted(file.name for file in folder.iterdir()) == [
        "files.json",
        "model.onnx",
        "original.onnx",
        "plan.json",
    ]


def test_comparing_passes_without_weights_is_refused(tmp_path: Path) -> None:
    """There are no numbers to compare, neither for --verify-passes nor for `wsec bisect`."""
    path = _without_weights(embedding(tmp_path))
    options = Options(target="mesh64", verify_passes=True)
    for call in (lambda: compile_model(path, options), lambda: bisect_model(path, options)):
        with pytest.raises(WsecError) as raised:
            call()
        assert str(raised.value) == (
            "error[WSEC131]: comparing numbers after each pass needs the weights of the model, and they are not present\n"
            "  where:    w.bin\n"
            "  expected: the weights file beside the model\n"
            "  found:    no such file\n"
            "  try:      put the weights file beside the model, or compile without comparing numbers"
        )
