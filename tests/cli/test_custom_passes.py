"""`--pass`, `--after`, `--before`, `--verify-passes`, `--pass-timeout`, and `wsec bisect`."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import pytest

from wsec.compiler.errors import ExitStatus
from wsec.passes import function_pass
from wsec.passes.pipeline import PIPELINE

if TYPE_CHECKING:
    from pathlib import Path

    import onnx_ir as ir
    from tests.cli.conftest import Wsec

_OPTIONS = ("--target", "mesh16", "--effort", "0", "-q")


@function_pass("absolute")
def absolute(model: ir.Model, operator: str = "Relu") -> bool:
    """Replaces an operator by Abs, which is wrong."""
    nodes = [node for node in model.graph if node.op_type == operator]
    for node in nodes:
        node.op_type = "Abs"
    return bool(nodes)


@function_pass("nonsense")
def nonsense(model: ir.Model) -> bool:
    """Makes a model that nobody can run."""
    model.graph[0].op_type = "Nonsense"
    return True


@function_pass("endless")
def endless(model: ir.Model) -> bool:
    """Never ends."""
    while True:
        model.graph.name = "endless"


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> str:
    """What users write for the module of these passes."""
    monkeypatch.setitem(sys.modules, "passes_of_a_test", sys.modules[__name__])
    return "passes_of_a_test"


def test_passes_run_where_they_are_asked_to(wsec: Wsec, small_model: Path, here: str) -> None:
    """A place belongs to the pass in front of it on the command line; the plan of the file is not touched."""
    result = wsec(
        "bisect", small_model, "--json", "--seed", 3,
        "--pass", f"{here}:absolute{{operator=Sin}}", "--after", "fold-constants#1",
        "--pass", f"{here}:absolute{{operator=Cos}}",
        "--pass", f"{here}:absolute{{operator=Tan}}", "--before", "inline-functions",
    )  # fmt: skip
    assert result.exit_code == ExitStatus.OK, result.output
    names = [step["name"] for step in json.loads(result.stdout)["steps"]]
    plain = ["import", *(name for name, _ in PIPELINE)]
    plain.insert(plain.index("inline-functions"), "absolute{operator=Tan}")
    plain.insert(plain.index("fold-constants") + 1, "absolute{operator=Sin}")
    plain.insert(len(plain) - plain[::-1].index("eliminate-dead-code") - 1, "absolute{operator=Cos}")
    assert names == plain


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--after", "name-nodes"], "--after belongs behind a --pass that has no place yet"),
        (
            ["--pass", "name-nodes", "--after", "name-nodes", "--before", "name-nodes"],
            "--before belongs behind a --pass that has no place yet",
        ),
    ],
)
def test_a_place_without_its_pass(wsec: Wsec, options: list[str], message: str) -> None:
    """It would be silently ignored otherwise."""
    result = wsec("compile", "m.onnx", *options)
    assert result.exit_code == ExitStatus.USAGE
    assert result.stderr.endswith(f"Error: {message}\n")


def test_a_pass_that_changes_the_numbers_is_found_while_compiling(
    wsec: Wsec, small_model: Path, tmp_path: Path, here: str
) -> None:
    """With --verify-passes the first such pass ends the compilation, with the value where it shows."""
    folder = tmp_path / "p"
    arguments = ("compile", small_model, "-o", folder, *_OPTIONS, "--pass", f"{here}:absolute")
    result = wsec(*arguments, "--verify-passes")
    assert result.exit_code == ExitStatus.PASS
    lines = result.stderr.splitlines()
    found = lines.pop(4)
    steps = len(PIPELINE) + 1
    place = 1 + max(i for i, (name, _) in enumerate(PIPELINE) if name == "eliminate-dead-code")
    assert lines == [
        "error[WSEC408]: the pass absolute changed the numbers",
        f"  where:    pass {place} of {steps}: absolute",
        "            first at 'active' of node 'relu' (Abs)",
        "  expected: scores within 1e-04 of its range",
        "  try:      leave absolute out, or mend it; `wsec bisect` shows the numbers of every pass before it",
        f"  note:     how far it came is in {folder}.failed.json; wsec report makes a page of it",
    ]
    assert found.startswith("  found:    scores differs by 0.")
    assert not folder.exists()
    assert wsec(*arguments).exit_code == ExitStatus.OK
    assert "custom pass absolute changed the model" in (folder / "plan.json").read_text()


def test_passes_of_wsec_keep_the_numbers(wsec: Wsec, small_model: Path, tmp_path: Path) -> None:
    """The default pipeline passes its own check, and the plan is what it is without it."""
    for name, options in (("checked", ["--verify-passes"]), ("plain", [])):
        result = wsec("compile", small_model, "-o", tmp_path / name, *_OPTIONS, *options)
        assert result.exit_code == ExitStatus.OK, result.output
    plans = [(tmp_path / name / "plan.json").read_bytes() for name in ("checked", "plain")]
    assert plans[0] == plans[1]


def test_a_pass_that_hangs_leaves_an_older_plan_as_it_is(
    wsec: Wsec, small_model: Path, tmp_path: Path, here: str
) -> None:
    """Nothing is lost: neither the shell, nor what was there before."""
    folder = tmp_path / "p"
    assert wsec("compile", small_model, "-o", folder, *_OPTIONS).exit_code == ExitStatus.OK
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    result = wsec(
        "compile", small_model, "-o", folder, *_OPTIONS, "--pass", f"{here}:endless", "--pass-timeout", "0.2"
    )
    assert result.exit_code == ExitStatus.PASS
    assert result.stderr.startswith("error[WSEC407]: the pass endless took too long\n")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert sorted(tmp_path.iterdir()) == [folder, tmp_path / "p.failed.json"]


def test_an_unsupported_operator_may_be_the_work_of_a_pass(
    wsec: Wsec, small_model: Path, tmp_path: Path, here: str
) -> None:
    """The model is not blamed alone for what a pass made of it."""
    result = wsec("compile", small_model, "-o", tmp_path / "p", *_OPTIONS, "--pass", f"{here}:nonsense")
    assert result.exit_code == ExitStatus.MODEL
    assert (
        "  note:     the custom pass nonsense had changed the model; `wsec bisect` says whether it broke it\n"
        in result.stderr
    )


def test_bisect_names_pass_operator_and_value(wsec: Wsec, small_model: Path, here: str) -> None:
    """People see the steps up to the first wrong one, and where the numbers part."""
    result = wsec("bisect", small_model, "--pass", f"{here}:absolute", "--after", "inline-functions")
    assert result.exit_code == ExitStatus.FAILED_CHECK
    lines = [line.split() for line in result.stdout.splitlines()]
    assert lines[0] == ["step", "pass", "changed", "of", "range", "equal"]
    assert lines[1][:3] == ["0", "import", "yes"]
    assert lines[2] == ["1", "inline-functions"]
    assert (lines[3][:3], lines[3][-1]) == (["2", "absolute", "yes"], "NO")
    assert result.stdout.splitlines()[4] == "verdict  FAILED: absolute changes the numbers"
    assert result.stdout.splitlines()[5].startswith("first at  active of node 'relu' (Abs), by 0.")


def test_bisect_as_json(wsec: Wsec, small_model: Path, here: str) -> None:
    """Scripts get every comparison; a model that does not run any more counts as other numbers."""
    result = wsec(
        "bisect", small_model, "--json", "--pass", f"{here}:nonsense", "--after", "inline-functions"
    )
    assert result.exit_code == ExitStatus.FAILED_CHECK
    report = json.loads(result.stdout)
    assert (report["passed"], len(report["steps"])) == (False, 3)
    last = report["steps"][-1]
    assert (last["index"], last["name"], last["passed"], last["outputs"]) == (2, "nonsense", False, [])
    assert "Nonsense" in last["failure"]
    assert [output["name"] for output in report["steps"][0]["outputs"]] == ["scores"]


def test_bisect_of_a_model_that_passes(wsec: Wsec, small_model: Path) -> None:
    """The answer yes has status 0."""
    result = wsec("bisect", small_model)
    assert result.exit_code == ExitStatus.OK
    assert result.stdout.splitlines()[-1] == "verdict  passed: no pass changes the numbers"
    assert len(result.stdout.splitlines()) == len(PIPELINE) + 3


def test_a_model_that_onnxruntime_cannot_run_has_no_numbers(wsec: Wsec, tmp_path: Path) -> None:
    """Without the original's numbers there is nothing to compare with."""
    import onnx

    text = """<ir_version: 10, opset_import: ["" : 21, "nobody.knows" : 1]>
        g (float[2] x) => (float[2] y) { y = nobody.knows.Thing(x) }"""
    path = tmp_path / "m.onnx"
    onnx.save(onnx.parser.parse_model(text), path)
    result = wsec("bisect", path)
    assert result.exit_code == ExitStatus.PASS
    lines = result.stderr.splitlines()
    assert lines.pop(3).startswith("  found:    ")
    assert lines == [
        "error[WSEC409]: the numbers cannot be compared: onnxruntime cannot run the original model",
        f"  where:    {path}",
        "  expected: a model that onnxruntime runs on random inputs",
        "  try:      compile without comparing the numbers between passes",
    ]
