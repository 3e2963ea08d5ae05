"""Packages of kernels that somebody else wrote, with everything that can be wrong with them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import onnx
import pytest

import wsec
from wsec.compiler.errors import ExitStatus, WsecError

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import InstallPackage

ENTRY_POINTS = """\
    [wsec.kernels]
    compiler = halves:KINDS
    runtime = halves:PROGRAMS
    checker = halves:EXPECTATIONS
    """
SOURCE = """\
    from wsec.api import block_programs, expectations, loop_nests

    def make(operator):
        shape = loop_nests.shape_of(operator.input(0))
        loops = tuple(loop_nests.Loop(f"d{i}", extent) for i, extent in enumerate(shape))
        maps = tuple(map(loop_nests.follows, loops))
        return loop_nests.LoopNest(
            kind="halves.half",
            operators=(operator.name,),
            loops=loops,
            inputs=(operator.operand("x", 0, maps),),
            outputs=(loop_nests.operand("result", operator.output, maps),),
            arguments={"divisor": 2},
            work=loop_nests.Work(tuple(loop.name for loop in loops), operations=1),
        )

    def compute(kernel, blocks):
        return blocks["x"] / blocks["x"].dtype.type(block_programs.integer(kernel, "divisor"))

    def expect(node, model):
        loops = expectations.output_loops(model.shape(node.input(0)))
        reads = tuple(expectations.along(loop.name, loop.extent) for loop in loops)
        operand = expectations.Operand("x", node.input(0), reads)
        return expectations.Expectation((operand,), loops, {}, {"divisor": 2})

    KINDS = (loop_nests.KernelKind("halves.half", ("halves.Half",), make),)
    PROGRAMS = {"halves.half": block_programs.BlockProgram(compute)}
    EXPECTATIONS = {"halves.half": expectations.Kind(("halves.Half",), expect)}
    """
MODEL = """
    <ir_version: 10, opset_import: ["" : 21, "halves" : 1]>
    g (float[6, 5] x) => (float[6, 5] y) { [abs] a = Abs(x) [half] b = halves.Half(a) [neg] y = Neg(b) }
    <domain: "halves", opset_import: ["" : 21]>
    Half (x) => (y) { two = Constant <value_float = 2.0> () y = Div(x, two) }
    """


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A model that calls the function which the package has a kernel for."""
    path = tmp_path / "half.onnx"
    onnx.save(onnx.parser.parse_model(MODEL), path)
    return path


def _compile(model: Path) -> wsec.Plan:
    return wsec.compile(model, target="mesh16", effort=0)


def _refusal(model: Path) -> str:
    with pytest.raises(WsecError) as caught:
        _compile(model)
    assert caught.value.exit_status is ExitStatus.PASS
    return str(caught.value)


def test_a_whole_package_works(install_package: InstallPackage, model: Path) -> None:
    """The kernel takes the element-wise operators behind it along, as wsec's own do."""
    install_package("halves", ENTRY_POINTS, halves=SOURCE)
    plan = _compile(model)
    assert [kernel.operators for kernel in plan.record.kernels() if kernel.kind == "halves.half"] == [
        ("half", "neg")
    ]
    assert plan.check() == ()
    x = np.linspace(-3, 3, 30, dtype=np.float32).reshape(6, 5)
    np.testing.assert_array_equal(plan.run({"x": x})["y"], -np.abs(x) / 2)
    assert plan.record.versions["halves"] == "1.5"


@pytest.mark.parametrize("part", ["compiler", "runtime", "checker"])
def test_a_kernel_needs_all_three_parts(install_package: InstallPackage, model: Path, part: str) -> None:
    """Without one of them no plan is made that could not be judged or executed."""
    lines = [line for line in ENTRY_POINTS.splitlines() if not line.strip().startswith(part)]
    install_package("halves", "\n".join(lines), halves=SOURCE)
    assert _refusal(model) == (
        "error[WSEC421]: the package of kernels halves cannot be used\n"
        f"  where:    halves 1.5, entry point {part!r} of wsec.kernels: missing\n"
        "  expected: a table for each of compiler, runtime, checker\n"
        "  found:    no such entry point\n"
        f"  try:      its kernels cannot be used without {part}"
    )


class _Fault(NamedTuple):
    """A change of the package's source, and what is said of it."""

    old: str
    new: str
    part: str
    expected: str
    found: str
    hint: str


_FAULTS = (
    _Fault(
        'PROGRAMS = {"halves.half"',
        'PROGRAMS = {"halves.quarter"',
        "'runtime' of wsec.kernels: halves:PROGRAMS",
        "an entry for halves.half",
        "no such entry",
        "a kernel without its runtime part cannot be used",
    ),
    _Fault(
        'KernelKind("halves.half"',
        'KernelKind("half"',
        "'compiler' of wsec.kernels: halves:KINDS",
        "kinds whose names begin with halves.",
        "half",
        "a plan says by the name of a kind which package it needs",
    ),
    _Fault(
        '("halves.Half",), make',
        '("halves.Half", "Relu"), make',
        "'compiler' of wsec.kernels: halves:KINDS",
        "operators that are not element-wise",
        "Relu",
        "every kernel computes these in its chain",
    ),
    _Fault(
        "KINDS = (",
        "import no_such_module\n    KINDS = (",
        "'compiler' of wsec.kernels: halves:KINDS",
        "a table for each of compiler, runtime, checker",
        "No module named 'no_such_module'",
        "install what halves needs, or mend it",
    ),
)


@pytest.mark.parametrize("fault", _FAULTS, ids=lambda fault: fault.found)
def test_tables_that_cannot_be_used(install_package: InstallPackage, model: Path, fault: _Fault) -> None:
    """The package, the part and what is wrong with it are named before the kernel is used."""
    assert fault.old in SOURCE
    install_package("halves", ENTRY_POINTS, halves=SOURCE.replace(fault.old, fault.new))
    assert _refusal(model) == (
        "error[WSEC421]: the package of kernels halves cannot be used\n"
        f"  where:    halves 1.5, entry point {fault.part}\n"
        f"  expected: {fault.expected}\n"
        f"  found:    {fault.found}\n"
        f"  try:      {fault.hint}"
    )


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("KINDS = (", "KINDS = ('half',) or ("),
        ("BlockProgram(compute)", "BlockProgram"),
        ("expect)", "expect).operators"),
    ],
)
def test_entries_of_another_type(install_package: InstallPackage, model: Path, old: str, new: str) -> None:
    """A function in place of its record is refused where the record is read."""
    assert old in SOURCE
    install_package("halves", ENTRY_POINTS, halves=SOURCE.replace(old, new))
    with pytest.raises(WsecError) as caught:
        _compile(model).run({"x": np.zeros((6, 5), np.float32)})
    assert caught.value.code == "WSEC421"


def test_two_packages_for_one_operator(install_package: InstallPackage, model: Path) -> None:
    """Neither is taken: which one would be chance."""
    install_package("halves", ENTRY_POINTS, halves=SOURCE)
    install_package(
        "others",
        ENTRY_POINTS.replace("halves", "others"),
        others=SOURCE.replace("halves.half", "others.half"),
    )
    assert _refusal(model) == (
        "error[WSEC422]: two packages bring a kernel for halves.Half\n"
        "  where:    halves 1.5\n"
        "            others 1.5\n"
        "  expected: one package for each operator\n"
        "  found:    halves and others\n"
        "  try:      uninstall one of the two"
    )


def test_a_maker_that_raises(install_package: InstallPackage, model: Path) -> None:
    """The kernel, its part, the node and the line are named."""
    install_package("halves", ENTRY_POINTS, halves=SOURCE.replace("operator.input(0)", "operator.inputs[0]"))
    assert _refusal(model) == (
        "error[WSEC423]: the kernel halves.half failed in its compiler part\n"
        "  where:    node 'half' (halves.Half)\n"
        "            halves, line 4, in make\n"
        "  expected: what docs/writing-kernels.md asks of that part\n"
        "  found:    AttributeError: 'OperatorView' object has no attribute 'inputs'\n"
        "  try:      mend halves, or uninstall it"
    )


def test_a_maker_that_gives_something_else(install_package: InstallPackage, model: Path) -> None:
    """A kernel under the name of another kind would be executed by another program."""
    install_package("halves", ENTRY_POINTS, halves=SOURCE.replace('kind="halves.half"', 'kind="reshape"'))
    assert "of kind 'halves.half' and operators ('half',)" in _refusal(model)


def test_a_node_that_the_kernel_cannot_cut_stays_whole(install_package: InstallPackage, model: Path) -> None:
    """The function runs unsplit, with the reason that the maker gives."""
    unable = SOURCE.replace(
        "    shape =", "    raise loop_nests.Unsplittable('it is Monday')\n        shape ="
    )
    install_package("halves", ENTRY_POINTS, halves=unable)
    plan = _compile(model)
    assert "unsplit" in {kernel.kind for kernel in plan.record.kernels()}
    assert any(note.endswith("Half: it is Monday") for note in plan.record.notes)
    assert plan.verify().passed


def test_a_kernel_that_the_checker_refuses_is_no_bug_of_wsec(
    install_package: InstallPackage, model: Path
) -> None:
    """The parts of a kernel judge each other; a mistake in one is named as the package's."""
    install_package("halves", ENTRY_POINTS, halves=SOURCE.replace('{"divisor": 2},', '{"divisor": 3},'))
    assert _refusal(model) == (
        "error[WSEC423]: the kernel halves.half failed in its compiler part\n"
        "  where:    kernel half, argument divisor: arguments are those of the node\n"
        "  expected: 2\n"
        "  found:    3\n"
        "  try:      mend halves, or uninstall it"
    )


def test_an_expectation_that_raises(install_package: InstallPackage, model: Path) -> None:
    """The checker's part is blamed by its name."""
    install_package(
        "halves", ENTRY_POINTS, halves=SOURCE.replace("model.shape(node.input(0))", "model.shapes")
    )
    message = _refusal(model)
    assert message.startswith(
        "error[WSEC423]: the kernel halves.half failed in its checker part\n  where:    kernel half\n"
    )
    assert "AttributeError: 'ModelFacts' object has no attribute 'shapes'" in message


def test_a_program_that_raises(install_package: InstallPackage, model: Path) -> None:
    """So is the runtime's."""
    install_package("halves", ENTRY_POINTS, halves=SOURCE.replace('"divisor"))', '"quotient"))'))
    plan = _compile(model)
    with pytest.raises(WsecError) as caught:
        plan.run({"x": np.zeros((6, 5), np.float32)})
    assert str(caught.value).startswith(
        "error[WSEC423]: the kernel halves.half failed in its runtime part\n  where:    kernel half\n"
    )


def test_packages_that_no_model_needs_are_not_imported(
    install_package: InstallPackage, tmp_path: Path
) -> None:
    """A broken package harms nobody who does not use it."""
    install_package("halves", ENTRY_POINTS, halves="1 / 0")
    text = MODEL.partition("<domain")[0].replace("halves.Half", "Relu")
    onnx.save(onnx.parser.parse_model(text), tmp_path / "plain.onnx")
    assert _compile(tmp_path / "plain.onnx").check() == ()
