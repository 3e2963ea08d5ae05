"""Decoders and demands that cannot be: what a user is told, with the numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx
import pytest

import llama
from decoder_parts import Export
from model_writer import write_model
from wsec.compiler.errors import ExitStatus

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Wsec

PLACE = ("--target", "wse3", "--region", "20x20", "--effort", "0")


@pytest.fixture(scope="module")
def long_decoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny decoder with a context that 20 x 20 cores have no room for; its weights alone would fit."""
    path = tmp_path_factory.mktemp("model") / "long.onnx"
    export = Export(form="contrib", entry="decode", context=50_000)
    write_model(llama.make_llama(llama.CONFIGS["tiny"], export), path, weights="none", opset=export.opset)
    return path


@pytest.mark.parametrize("mode", ["pipelined", "sequential"])
def test_a_context_that_is_too_long(wsec: Wsec, long_decoder: Path, tmp_path: Path, mode: str) -> None:
    """It is named as the reason, with the longest that would do and the wafers that would be needed; planning's own words follow."""
    result = wsec("compile", long_decoder, "-o", tmp_path / "p", *PLACE, "--mode", mode, columns=300)
    ledger = wsec("fit", long_decoder, *PLACE[:4], columns=300)
    assert result.exit_code == ledger.exit_code == ExitStatus.DOES_NOT_FIT
    lines = result.stderr.splitlines()
    assert lines[0] == "error[WSEC371]: the context is longer than memory allows"
    assert lines[1] == "  where:    context 50,000, batch 1"
    for line in lines[2:4]:  # expected and found
        assert line in (ledger.stdout + ledger.stderr)
    longest = next(line for line in ledger.stdout.splitlines() if line.startswith("longest context"))
    positions = longest.split()[2]
    assert f"  try:      make the model for a context of at most {positions} or use --wafers " in lines[4]
    assert lines[5].startswith("  note:     planning ended with WSEC3")


def test_what_does_not_fit_for_another_reason_is_left_as_it_is(
    wsec: Wsec, small_model: Path, tmp_path: Path
) -> None:
    """A model without a cache has no context to blame."""
    result = wsec("compile", small_model, "-o", tmp_path / "p", "--target", "mesh16", "--region", "1x2")
    assert "WSEC371" not in result.stderr
    assert "planning ended" not in result.stderr


@pytest.mark.parametrize("wafers", ["0", "-3"])
@pytest.mark.parametrize("mode", ["pipelined", "sequential", "streaming", "auto"])
def test_no_wafers(wsec: Wsec, small_model: Path, tmp_path: Path, wafers: str, mode: str) -> None:
    """A coded error in every mode, before anything is done."""
    result = wsec("compile", small_model, "-o", tmp_path / "p", "--wafers", wafers, "--mode", mode)
    assert result.exit_code == ExitStatus.USAGE
    assert result.stderr == (
        "error[WSEC370]: a model needs a wafer\n"
        "  expected: at least 1 wafer\n"
        f"  found:    {wafers}\n"
        "  try:      ask for another number, or `--wafers auto`\n"
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("mode", "said"),
    [
        ("pipelined", ("WSEC361", "1000000")),
        ("sequential", ("WSEC367", "1000000 wafers")),
        ("streaming", ("WSEC361", "2000000")),
    ],
)
def test_more_wafers_than_kernels(
    wsec: Wsec, small_model: Path, tmp_path: Path, mode: str, said: tuple[str, str]
) -> None:
    """How many there may be, and how many were asked for; with phases also how these add up."""
    arguments = ["--target", "wse2", "--region", "16x16", "--wafers", "1000000", "--mode", mode]
    arguments += ["--phases", "2"] if mode == "streaming" else []
    result = wsec("compile", small_model, "-o", tmp_path / "p", *arguments)
    assert result.exit_code == ExitStatus.DOES_NOT_FIT
    assert result.stderr.startswith(f"error[{said[0]}]: ")
    assert f"  found:    {said[1]}\n" in result.stderr
    assert ("1000000 wafers, of which 1000000 stream in 2 phases each" in result.stderr) == (
        mode == "streaming"
    )


def test_a_mode_without_a_name(wsec: Wsec, small_model: Path) -> None:
    """A comma too many."""
    result = wsec("compile", small_model, "--mode", "sequential,")
    assert result.exit_code == ExitStatus.USAGE
    assert result.stderr.startswith(
        "error[WSEC368]: there is no such mode\n  expected: one of pipelined, sequential, streaming\n  found:    no name\n"
    )


def test_keys_and_values_of_other_lengths(wsec: Wsec, tmp_path: Path) -> None:
    """As plain inputs too, where nobody compares caches with each other, an attention cannot read them together."""
    path = tmp_path / "m.onnx"
    export = Export(form="contrib", entry="decode", context=16)
    write_model(llama.make_llama(llama.CONFIGS["tiny"], export), path, opset=export.opset)
    model = onnx.load(path)
    for value in (*model.graph.input, *model.graph.output):
        if value.name in {"past_key_values.0.key", "present.0.key"}:
            value.type.tensor_type.shape.dim[2].dim_value = 12
    onnx.save(model, path)
    for states, code in (("none", "WSEC152"), ("auto", "WSEC151")):
        result = wsec("compile", path, "-o", tmp_path / "p", *PLACE, "--states", states)
        assert result.exit_code == ExitStatus.MODEL
        assert result.stderr.startswith(f"error[{code}]: ")
        assert "past_key_values.0.key float [1, 2, 12, 16], past_key_values.0.value float [1, 2, 16, 16]" in (
            result.stderr
        )
