"""Passes of somebody else's: what is said of one that raises, hangs, lies or breaks the model."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import onnx_ir as ir
import pytest

from wsec.compiler.errors import ExitStatus, WsecError
from wsec.passes import Pass, function_pass, parse_pass, run_pipeline
from wsec.passes.time_limit import TimeLimitExceeded, can_limit, time_limit

if TYPE_CHECKING:
    from collections.abc import Callable

TEXT = "g (float[2] x) => (float[2] y) { [first] a = Neg(x) [second] y = Relu(a) }"


@function_pass("raises")
def raises(model: ir.Model, attribute: str = "alpha") -> bool:
    """Looks for what is not there."""
    return any(bool(node.attributes[attribute]) for node in model.graph)


@function_pass("leaves")
def leaves(model: ir.Model) -> bool:
    """Ends the program."""
    raise SystemExit(len(model.graph) - 2)


@function_pass("hangs")
def hangs(model: ir.Model) -> bool:
    """Never ends, and swallows what it can."""
    for node in model.graph:
        while True:
            try:
                node.version = None
            except Exception:  # noqa: BLE001, S112 - what authors write
                continue
    return False


@function_pass("forgets")
def forgets(model: ir.Model) -> bool:
    """Returns nothing."""
    del model
    return None  # type: ignore[return-value] # what authors forget


@function_pass("renames-output")
def renames_output(model: ir.Model) -> bool:
    """Changes what users of the model rely on."""
    model.graph.outputs[0].name = "result"
    return True


@function_pass("breaks-silently")
def breaks_silently(model: ir.Model) -> bool:
    """Puts the last node first and says that nothing changed."""
    last = model.graph[-1]
    model.graph.remove(last)
    model.graph.insert_before(model.graph[0], last)
    return False


@function_pass("shreds")
def shreds(model: ir.Model) -> bool:
    """Leaves something that is no graph."""
    model.graph.outputs[0] = None  # type: ignore[call-overload] # what nobody should do
    return True


@function_pass("adds-node")
def adds_node(model: ir.Model, *, twice: bool = False) -> bool:
    """Puts an Abs without a name behind the input."""
    first = model.graph[0]
    for _ in range(1 + twice):
        node = ir.node("Abs", [model.graph.inputs[0]])
        first.prepend(node)
        first.replace_input_with(0, node.outputs[0])
    return True


def _refusal(model: ir.Model, current: Pass, limit: float | None = None) -> str:
    with pytest.raises(WsecError) as caught:
        run_pipeline(model, [current], limit_seconds=limit)
    assert caught.value.exit_status is ExitStatus.PASS
    return str(caught.value)


def test_a_function_becomes_a_pass_with_its_parameters_as_options(build: Callable[[str], ir.Model]) -> None:
    """It compares, prints and documents itself like a class, and what it adds gets names and shapes."""
    assert isinstance(adds_node(), Pass)
    assert adds_node(twice=True) == adds_node(twice=True) != adds_node()
    assert str(adds_node(twice=True)) == "adds-node{twice=true}"
    assert adds_node.__doc__ == "Puts an Abs without a name behind the input."
    model = build(TEXT)
    assert run_pipeline(model, [adds_node(twice=True)])
    assert [(node.name, node.op_type) for node in model.graph][-2:] == [("first", "Neg"), ("second", "Relu")]
    assert all(node.name and node.outputs[0].shape == ir.Shape([2]) for node in model.graph)


def test_a_function_is_named_on_the_command_line_like_a_class(monkeypatch: pytest.MonkeyPatch) -> None:
    """With its options in braces, of the types that the function declares."""
    import sys

    monkeypatch.setitem(sys.modules, "passes_of_a_test", sys.modules[__name__])
    assert parse_pass("passes_of_a_test:adds_node{twice}") == adds_node(twice=True)
    assert parse_pass("passes_of_a_test:raises{attribute=beta}") == raises(attribute="beta")


def test_a_pass_that_raises_is_named_with_its_node(build: Callable[[str], ir.Model]) -> None:
    """And with the lines of its code, so that its author knows where to look."""
    lines = _refusal(build(TEXT), raises()).splitlines()
    assert lines[:3] == [
        "error[WSEC406]: the pass raises failed",
        "  where:    pass 1 of 1: raises",
        "            node 'first' (Neg)",
    ]
    assert any(line.endswith(", in raises") for line in lines[3:-3])
    assert lines[-3:] == [
        "  expected: a pass that changes the model, or leaves it alone, and returns",
        "  found:    KeyError: 'alpha'",
        "  try:      mend raises, or leave it out; --dump-passes DIR shows the model that it was given",
    ]


def test_a_pass_cannot_end_the_program(build: Callable[[str], ir.Model]) -> None:
    """Status 0 with nothing written would be taken for success."""
    assert "found:    SystemExit: 0\n" in _refusal(build(TEXT), leaves())


def test_an_error_that_a_pass_reports_itself_is_left_as_it_is(build: Callable[[str], ir.Model]) -> None:
    """A pass may speak to the user; the note says who spoke."""

    @function_pass("reports")
    def reports(model: ir.Model) -> bool:
        raise WsecError("WSEC404", f"{len(model.graph)} nodes are too many")

    with pytest.raises(WsecError) as caught:
        run_pipeline(build(TEXT), [reports()])
    assert (caught.value.what, caught.value.__notes__) == (
        "2 nodes are too many",
        ["in pass 1 of 1: reports"],
    )


def test_a_pass_that_returns_something_else(build: Callable[[str], ir.Model]) -> None:
    """A forgotten return must not mean that nothing changed."""
    assert _refusal(build(TEXT), forgets()) == (
        "error[WSEC406]: the pass forgets failed\n"
        "  where:    pass 1 of 1: forgets\n"
        "  expected: a PassResult whose `modified` is True or False\n"
        "  found:    it returned None\n"
        "  try:      return PassResult(modified=...) from forgets.run"
    )


def test_a_pass_that_hangs_is_stopped(build: Callable[[str], ir.Model]) -> None:
    """Also one that catches every ordinary exception; its node is named."""
    lines = _refusal(build(TEXT), hangs(), limit=0.05).splitlines()
    assert lines[:3] == [
        "error[WSEC407]: the pass hangs took too long",
        "  where:    pass 1 of 1: hangs",
        "            node 'first' (Neg)",
    ]
    assert lines[3].endswith(", in hangs")
    assert lines[-3:] == [
        "  expected: an end within 0.05 s",
        "  found:    it was still running, at the place above",
        "  try:      mend hangs, leave it out, or give it more time with --pass-timeout",
    ]


def test_inputs_and_outputs_of_the_model_stay(build: Callable[[str], ir.Model]) -> None:
    """Those who run the model know it by their names."""
    assert _refusal(build(TEXT), renames_output()) == (
        "error[WSEC402]: the pass renames-output broke the model\n"
        "  where:    pass 1: renames-output\n"
        "            outputs of the model: expected y (float), found result (float)\n"
        "  expected: a model in static single assignment form after each pass\n"
        "  found:    1 finding\n"
        "  try:      leave renames-output out, or mend it; --dump-passes DIR shows the model before and after it"
    )


def test_a_pass_that_says_it_changed_nothing_is_not_believed(build: Callable[[str], ir.Model]) -> None:
    """The model is checked behind every pass of somebody else's."""
    assert _refusal(build(TEXT), breaks_silently()).startswith(
        "error[WSEC402]: the pass breaks-silently broke the model\n"
    )


def test_a_model_broken_beyond_checking_is_the_fault_of_the_pass(build: Callable[[str], ir.Model]) -> None:
    """Where not even the verifier gets through, the pass is still named."""
    assert _refusal(build(TEXT), shreds()).startswith("error[WSEC406]: the pass shreds failed\n")


def test_a_time_limit_leaves_nothing_behind() -> None:
    """Neither an alarm nor a handler: what comes later is not interrupted."""
    with pytest.raises(TimeLimitExceeded), time_limit(0.01):
        time.sleep(10)
    with time_limit(0.02):
        pass
    time.sleep(0.05)


def test_no_limit_where_none_can_be_held() -> None:
    """Alarms reach the main thread only; elsewhere a pass simply runs."""
    held: list[bool] = []

    def work() -> None:
        with time_limit(0.001):
            time.sleep(0.01)
        held.append(can_limit())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert held == [False]
    assert can_limit()
