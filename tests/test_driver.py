"""The driver's own guarantees: nothing that the checker refuses is written."""

from __future__ import annotations

import dataclasses
import inspect
from typing import TYPE_CHECKING, Any

import onnx
import pytest
from onnx import TensorProto, helper

import wsec
from wsec.compiler.errors import WsecError
from wsec.compiler.plan_checker import Finding
from wsec.compiler.schedule.sequential import fitting
from wsec.driver import Options, compile_model

if TYPE_CHECKING:
    from pathlib import Path

    from wsec.driver import StageEvent


def relu(folder: Path) -> None:
    """A model of one operator."""
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [4, 4]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "relu", values[:1], values[1:])
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10),
        folder / "relu.onnx",
    )


def test_message_the_checker_refuses_the_compilers_own_plan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """WSEC602: the first finding is shown, and no plan folder is left."""
    relu(tmp_path)
    finding = Finding("WSEC542", "a rule", "kernel Relu", "this", "that")
    monkeypatch.setattr("wsec.compiler.plan_checker.check_plan", lambda *_: (finding, finding))
    with pytest.raises(WsecError) as caught:
        compile_model(tmp_path / "relu.onnx", Options(target="mesh16"), tmp_path / "relu.plan")
    assert str(caught.value) == (
        "error[WSEC602]: the compiler made a plan that its own checker refuses (2 findings)\n"
        "  where:    kernel Relu\n"
        "  expected: this\n"
        "  found:    that\n"
        "  try:      please report this with the model and the options"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["relu.onnx"]


def test_wsec_compile_takes_every_option() -> None:
    """The function has a parameter for each field of `Options`, with the same default."""
    parameters = inspect.signature(wsec.compile).parameters
    options = {field.name: field.default for field in dataclasses.fields(Options)}
    assert {name: parameters[name].default for name in options} == options
    assert set(parameters) - set(options) == {"model", "output", "observer", "prefill", "weights_of"}


def test_tries_that_fail_count_among_the_times_of_stages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Planning in turns that finds no plan along whole sides tries others: both took time."""
    relu(tmp_path)
    whole, tried = fitting.fitting, []

    def fails_once(*arguments: Any, **options: Any) -> object:
        tried.append(arguments)
        if len(tried) == 1:
            raise WsecError("WSEC366", "too large", expected="less", found="more")
        return whole(*arguments, **options)

    monkeypatch.setattr("wsec.compiler.schedule.sequential.planning.fitting", fails_once)
    events: list[StageEvent] = []
    options = Options(target="mesh16", mode="sequential")
    compile_model(tmp_path / "relu.onnx", options, tmp_path / "relu.plan", events.append)
    ended = [event.stage for event in events if event.seconds is not None]
    assert ended.count("turns") == len(tried) == 2
