"""A thin slice of benchmarks/language_matrix.py: every mode on one wafer and on three, every model once, against onnxruntime."""

from __future__ import annotations

from dataclasses import replace

import pytest

from language_matrix import (
    MODELS,
    MODES,
    PLACES,
    WAFERS,
    Combination,
    Models,
    Row,
    combinations,
    covering,
    disagreements,
    run,
)

SLICE = covering(list(combinations()), ("mode", "wafers", "place"))


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    """One layer of llama; two of gpt-oss, of which one has a window."""
    return Models(tmp_path_factory.mktemp("models"), layers={"tiny": 1})


@pytest.mark.parametrize(
    "combination", SLICE, ids=lambda each: each.name.replace(", ", "-").replace(" ", "_")
)
def test_a_prefill_and_eight_steps_equal_onnxruntime(combination: Combination, models: Models) -> None:
    """Logits and caches of every run; plans that are not legal are not made."""
    row = run(combination, models)
    assert row.outcome == "equal", row.error or row.differences
    assert len(row.differences) == 9
    assert row.samples == 1  # a step waits for the one before
    assert max(row.differences) <= 1


def test_the_slice_has_every_value_and_every_pair_of_places() -> None:
    """Six are enough for all models, and for all pairs of mode, number of wafers and place."""
    assert len(SLICE) == len(MODELS) == len(MODES) * len(WAFERS)
    assert {each.model for each in SLICE} == {*MODELS}
    for first, second in (("mode", "wafers"), ("mode", "place"), ("wafers", "place")):
        pairs = {(getattr(each, first), getattr(each, second)) for each in SLICE}
        every = {(getattr(each, first), getattr(each, second)) for each in combinations()}
        assert pairs == every
    assert len(list(combinations())) == len(MODELS) * len(MODES) * len(WAFERS) * len(PLACES)


def test_what_differs_is_said(models: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    """The benchmark can fail: an error has its code, other numbers are not equal, other tokens are named."""
    cramped = Combination("llama contrib", "sequential", 1, "cramped")
    monkeypatch.setitem(PLACES, "cramped", (1, 1))
    row = run(cramped, models)
    assert row.outcome.startswith("WSEC3")
    assert row.error.startswith(f"error[{row.outcome}]")
    one = Row(SLICE[0], "equal", tokens=(1, 2))
    assert disagreements([one, replace(one, outcome="differs")]) == []
    assert disagreements([one, replace(one, tokens=(1, 3))]) == [SLICE[0].model]
