"""The benchmark of language models: its cases, and what becomes of one that cannot run."""

from __future__ import annotations

import pytest

import language_cases
from language_cases import NotBuilt
from language_models import SECTIONS, cases, run_case, shown
from wsec.compiler.target import load_target


def test_every_section_has_cases_of_known_functions() -> None:
    """A section that is offered runs something, with arguments that its function takes, and no two cases have one name."""
    found = list(cases())
    assert {case.section for case in found} == set(SECTIONS)
    assert len({(case.section, case.name) for case in found}) == len(found)
    assert {case.function for case in found} == {*language_cases.CASES}
    for case in found:
        names = language_cases.CASES[case.function].__kwdefaults__ or {}
        code = language_cases.CASES[case.function].__code__
        wanted = set(code.co_varnames[: code.co_argcount + code.co_kwonlyargcount])
        assert wanted - {*names} <= {*case.arguments} <= wanted


def test_the_ledger_of_a_full_size_model_is_compared_with_what_is_published() -> None:
    """LLaMA3-8B in fp16 is 16.06 GB and fits one wafer; with another number published it would be missed."""
    arguments = {"config": "8b", "form": "contrib", "precision": "fp16", "context": 4096}
    outcome, figures = run_case("fit", {**arguments, "wafers": 1})
    assert outcome == "reached"
    assert figures["gigabytes"] == pytest.approx(16.06, abs=0.01)
    assert "gigabytes 16.1" in shown(figures)
    assert run_case("fit", {**arguments, "wafers": 4})[0] == "missed"


def test_what_is_not_there_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing feature and an error that users see are outcomes; the benchmark goes on."""

    def missing() -> language_cases.Figures:
        raise NotBuilt("mode sequential")

    monkeypatch.setitem(language_cases.CASES, "missing", missing)
    assert run_case("missing", {}) == ("not built", {"missing": "mode sequential"})
    monkeypatch.setattr(language_cases, "RESNET", language_cases.RESNET.with_name("no such model.onnx"))
    assert run_case("small_mesh", {"side": 4})[0] == "WSEC101"


def test_the_small_mesh_is_a_target() -> None:
    """1,024 multiply-adds a cycle, 1 MB and 24 bytes a cycle, as the machine that it is compared with."""
    target = load_target(str(language_cases.SMALL_MESH))
    assert target.core.lanes["float32"] == 1024
    assert target.core.sram_bytes == 1 << 20
    assert target.fabric.link_words_per_cycle * target.fabric.word_bytes == 24
