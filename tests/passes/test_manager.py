"""The manager: what it checks, what it tells callbacks, and what it says when a pass breaks a model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import onnx_ir as ir
import pytest

from wsec.compiler.errors import ExitStatus, WsecError
from wsec.passes import Pass, PassResult, PipelineStep, run_pipeline
from wsec.passes.dumping import dump_to

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TEXT = "g (float[2] x) => (float[2] y) { [first] a = Neg(x) [second] y = Relu(a) }"


@dataclass(frozen=True)
class Nothing(Pass):
    """Changes nothing."""

    name: ClassVar[str] = "nothing"

    def run(self, model: ir.Model) -> PassResult:
        """Leave the model alone."""
        del model
        return PassResult(modified=False)


@dataclass(frozen=True)
class Rename(Pass):
    """Sets the operator of the first node."""

    name: ClassVar[str] = "rename"
    operator: str = "Abs"

    def run(self, model: ir.Model) -> PassResult:
        """Change one operator and forget the shape behind it."""
        model.graph[0].op_type = self.operator
        model.graph[0].outputs[0].shape = None
        return PassResult(modified=True)


@dataclass(frozen=True)
class Shuffle(Pass):
    """Puts the last node first."""

    name: ClassVar[str] = "shuffle"

    def run(self, model: ir.Model) -> PassResult:
        """Break the order of the graph."""
        last = model.graph[-1]
        model.graph.remove(last)
        model.graph.insert_before(model.graph[0], last)
        return PassResult(modified=True)


@dataclass(frozen=True)
class Crash(Pass):
    """Has a bug."""

    name: ClassVar[str] = "crash"
    limit: int = 3
    deep: bool = False

    def run(self, model: ir.Model) -> PassResult:
        """Fail."""
        del model
        raise ZeroDivisionError


def test_callbacks_see_every_step(build: Callable[[str], ir.Model]) -> None:
    """Once before the first pass and once after each, with what ran and what comes."""
    steps: list[PipelineStep] = []
    modified = run_pipeline(build(TEXT), [Nothing(), Rename()], callback=steps.append)
    assert modified
    assert [
        (
            s.index,
            s.total,
            s.previous and s.previous.name,
            s.result and s.result.modified,
            s.following and s.following.name,
        )
        for s in steps
    ] == [(0, 2, None, None, "nothing"), (1, 2, "nothing", False, "rename"), (2, 2, "rename", True, None)]


def test_an_empty_pipeline_changes_nothing(build: Callable[[str], ir.Model]) -> None:
    """The model is still verified."""
    steps: list[PipelineStep] = []
    assert not run_pipeline(build(TEXT), [], callback=steps.append)
    assert [step.following for step in steps] == [None]


def test_shapes_a_pass_leaves_open_are_inferred(build: Callable[[str], ir.Model]) -> None:
    """The author of a pass need not compute shapes."""
    model = build(TEXT)
    run_pipeline(model, [Rename()])
    assert model.graph[0].outputs[0].shape == ir.Shape([2])


def test_a_pass_that_breaks_the_model_is_named(build: Callable[[str], ir.Model]) -> None:
    """With each finding and its node, before another pass stumbles over it."""
    with pytest.raises(WsecError) as caught:
        run_pipeline(build(TEXT), [Nothing(), Shuffle()])
    assert caught.value.exit_status is ExitStatus.PASS
    assert str(caught.value) == (
        "error[WSEC402]: the pass shuffle broke the model\n"
        "  where:    pass 2: shuffle\n"
        "            node 'second' (Relu), input 0: expected a value defined before, found 'a', computed later by "
        "node 'first' (Neg)\n"
        "  expected: a model in static single assignment form after each pass\n"
        "  found:    1 finding\n"
        "  try:      leave shuffle out, or mend it; --dump-passes DIR shows the model before and after it"
    )


def test_a_model_that_is_broken_from_the_start_is_no_fault_of_a_pass(
    build: Callable[[str], ir.Model],
) -> None:
    """Also where a front end built it by hand."""
    model = build(TEXT)
    model.graph[0].name = model.graph[1].name
    with pytest.raises(WsecError) as caught:
        run_pipeline(model, [Nothing()])
    assert str(caught.value) == (
        "error[WSEC401]: the model is broken before the first pass\n"
        "  where:    node 'second' (Relu): expected a name that is not taken, found a second node of this name\n"
        "  expected: a model in static single assignment form\n"
        "  found:    1 finding\n"
        "  try:      check what built or changed the model before the passes"
    )


def test_long_lists_of_findings_are_cut(build: Callable[[str], ir.Model]) -> None:
    """The first ones are the ones to mend."""
    model = build(TEXT)
    for _ in range(30):
        model.graph.append(ir.node("Neg", [model.graph.inputs[0]], name="same"))
    with pytest.raises(WsecError) as caught:
        run_pipeline(model, [])
    assert caught.value.where.count("\n") == 20
    assert caught.value.where.endswith("and 9 more")


def test_a_crash_of_a_pass_of_wsec_keeps_its_traceback(
    build: Callable[[str], ir.Model], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is a bug of wsec, and its traceback says in which pass with which options it happened."""
    monkeypatch.setattr(Crash, "__module__", "wsec.passes.crash")
    with pytest.raises(ZeroDivisionError) as caught:
        run_pipeline(build(TEXT), [Nothing(), Crash(limit=5, deep=True)])
    assert caught.value.__notes__ == ["in pass 2 of 2: crash{limit=5 deep=true}"]


def test_dumps_are_numbered_and_show_what_changed(build: Callable[[str], ir.Model], tmp_path: Path) -> None:
    """The model as imported, and after each pass that changed it; nothing half-written is left."""
    folder = tmp_path / "new" / "dumps"
    run_pipeline(build(TEXT), [Nothing(), Rename(), Rename("Sign")], callback=dump_to(folder))
    assert sorted(path.name for path in folder.iterdir()) == [
        "00-imported.onnx",
        "00-imported.txt",
        "02-rename.onnx",
        "02-rename.txt",
        "03-rename.onnx",
        "03-rename.txt",
    ]
    assert (folder / "03-rename.txt").read_text() == (
        "input  %x:float[2]\n"
        "%a:float[2] = Sign(%x)  # first\n"
        "%y:float[2] = Relu(%a)  # second\n"
        "output %y:float[2]\n"
    )
    assert ir.load(folder / "03-rename.onnx").graph[0].op_type == "Sign"


def test_dumps_show_constants_attributes_and_metadata(
    build: Callable[[str], ir.Model], tmp_path: Path
) -> None:
    """Small constants by value, large ones by shape, bodies in short."""
    many = ", ".join("1" for _ in range(600))
    model = build(
        f"""g (float[600] x, bool c) => (float[600] y) <float[600] w = {{{many}}}, float s = {{2}}> {{
        [a] p = Mul(x, w)
        [b] q = Clip(p, , s)
        [d] r = LeakyRelu<alpha=0.5>(q)
        [e] y = If (c) <then_branch = t () => (float[600] u) {{ u = Relu(r) }}, else_branch = e () => (float[600] v) {{ v = Abs(r) }}>
        }}"""
    )
    model.graph[0].metadata_props["wsec.kernel"] = "a"
    run_pipeline(model, [], callback=dump_to(tmp_path))
    assert (tmp_path / "00-imported.txt").read_text() == (
        "input  %x:float[600]\n"
        "input  %c:bool[]\n"
        "%p:float[600] = Mul(%x, %w:float[600])  # a wsec.kernel=a\n"
        "%q:float[600] = Clip(%p, -, %s=2.0)  # b\n"
        "%r:float[600] = LeakyRelu(%q)  alpha=0.5  # d\n"
        "%y:float[600] = If(%c)  else_branch={...} then_branch={...}  # e\n"
        "output %y:float[600]\n"
    )
    dumped = ir.load(tmp_path / "00-imported.onnx")
    assert [value.name for value in dumped.graph.inputs] == ["x", "c", "w"]
    assert "w" in model.graph.initializers


def test_message_dumps_cannot_be_written(build: Callable[[str], ir.Model], tmp_path: Path) -> None:
    """A file where the folder should be is the user's slip, not a bug."""
    file = tmp_path / "model.onnx"
    file.touch()
    with pytest.raises(WsecError) as caught:
        run_pipeline(build(TEXT), [], callback=dump_to(file))
    assert str(caught.value) == (
        "error[WSEC583]: the dumps of the passes cannot be written\n"
        f"  where:    {file}\n"
        "  expected: a folder that can be written, on a disk with room\n"
        "  found:    File exists\n"
        "  try:      choose another place for the dumps, or free some room"
    )
