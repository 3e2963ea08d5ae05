"""`--collective`: the plan has the demanded algorithm, says where it was impossible, and computes the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx
import pytest

from wsec.cli.compile_options import COLLECTIVES
from wsec.compiler.cost.collective_uses import ALGORITHMS, AUTO
from wsec.compiler.errors import ExitStatus, WsecError
from wsec.driver import Options, compile_model

if TYPE_CHECKING:
    from pathlib import Path

SOFTMAX_OF_SUMS = """<ir_version: 10, opset_import: ["" : 21]> g (float[6, 400] x, float[400, 40] w) => (float[6, 40] y)
    { s = MatMul(x, w) y = Softmax(s) }"""


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A product and a softmax."""
    path = tmp_path / "model.onnx"
    onnx.save(onnx.parser.parse_model(SOFTMAX_OF_SUMS), path)
    return path


@pytest.mark.parametrize("name", ["chain", "two_level", "tree"])
def test_every_kernel_has_the_demanded_algorithm(model: Path, name: str) -> None:
    """The numbers stay right, as the executor adds in that order."""
    plan = compile_model(
        model, Options(target="mesh64", region=(8, 12), effort=0, fabric="full", collective=name)
    )
    found = {item.algorithm for kernel in plan.record.kernels() for item in kernel.collectives}
    assert found == {name}
    assert not [note for note in plan.record.notes if "partial results" in note]
    assert plan.verify().passed


def test_what_cannot_be_is_said(model: Path) -> None:
    """A ring leaves its result everywhere, which a product does not want: the plan notes it."""
    plan = compile_model(
        model, Options(target="mesh64", region=(8, 12), effort=0, fabric="full", collective="ring")
    )
    (note,) = (note for note in plan.record.notes if "partial results" in note)
    assert note == (
        "1 kernel combines partial results by another algorithm than ring, which is impossible there or needs too many "
        "colours: 'MatMul'"
    )
    assert plan.verify().passed


def test_an_unknown_algorithm_is_refused(model: Path) -> None:
    """Before anything is compiled; the message lists those that there are."""
    with pytest.raises(WsecError) as raised:
        compile_model(model, Options(collective="butterfly"))
    assert str(raised.value) == (
        "error[WSEC343]: there is no such algorithm for collectives\n"
        "  expected: one of auto, chain, two_phase, two_level, tree, star, ring\n"
        "  found:    butterfly\n"
        "  try:      docs/collectives.md says what each is good for; auto takes the cheapest for each use"
    )
    assert raised.value.exit_status == ExitStatus.USAGE


def test_the_command_line_knows_all_algorithms() -> None:
    """Its list, which is there without the compiler being loaded, is the compiler's."""
    assert (AUTO, *ALGORITHMS) == COLLECTIVES
