"""Attention as exporters write it becomes one kernel, which gives onnxruntime's numbers on any region."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from attention_models import ATTENTIONS, Sizes, bert, gpt2, gpt_oss, sdpa
from hypothesis import given, settings
from hypothesis import strategies as st

import wsec
from wsec.compiler import planning

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Make = Callable[[Path, Sizes], Path]

SIZES = {
    "self": Sizes(),
    "batch of shared heads": Sizes(batch=2, heads=6, groups=3, rows=5, keys=5),
    "cross": Sizes(batch=2, heads=3, groups=3, rows=4, keys=9, size=5, width=3),
    "decode": Sizes(heads=4, groups=4, rows=1, keys=37),
}
SLOW_ATTENTIONS = planning.slow_attentions
SHARING = frozenset({"llama", "gemma"})


@pytest.fixture(scope="module", autouse=True)
def _never_apart() -> Iterator[None]:
    """A model that is nothing but an attention would be faster as its operators; here the kernel is what is tested."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(planning, "slow_attentions", lambda _tables, _interval: frozenset())
        yield


def cases() -> list[tuple[Make, Sizes]]:
    """Every exporter with every size that it can have."""
    return [
        (make, sizes)
        for make in ATTENTIONS
        for sizes in SIZES.values()
        if make.__name__ in SHARING or sizes.heads == sizes.groups
    ]


def _compiled(make: Make, sizes: Sizes, folder: Path, region: tuple[int, int]) -> wsec.Plan:
    plan = wsec.compile(make(folder / "model.onnx", sizes), target="mesh64", region=region, effort=0)
    assert [kernel.kind for kernel in plan.record.kernels()] == ["attention"]
    assert plan.check() == ()
    verification = plan.verify()
    assert verification.passed, verification
    return plan


@pytest.mark.parametrize(
    ("make", "sizes"),
    cases(),
    ids=lambda item: item.__name__ if callable(item) else f"{item.rows}x{item.keys}",
)
def test_every_exporters_attention_is_one_kernel(make: Make, sizes: Sizes, tmp_path: Path) -> None:
    """Masks, windows, sinks, soft caps, shared heads, casts and movements: nothing is left beside the kernel."""
    _compiled(make, sizes, tmp_path, (11, 9))


@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_any_shape_on_any_region(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Rows, keys and heads in blocks that come out uneven."""
    numbers = [data.draw(st.integers(1, most)) for most in (2, 3, 9, 11, 4, 3)]
    batch, heads, rows, keys, size, width = numbers
    sizes = Sizes(batch, heads, heads, rows, max(rows, keys), size, width)
    make = data.draw(st.sampled_from([bert, sdpa, gpt2, gpt_oss]))
    region = (data.draw(st.integers(1, 12)), data.draw(st.integers(1, 12)))
    _compiled(make, sizes, tmp_path_factory.mktemp("attention"), region)


def test_keys_are_cut_where_there_are_few_rows(tmp_path: Path) -> None:
    """One row that attends to many keys still uses many cores, whose maxima and sums are combined."""
    plan = _compiled(bert, Sizes(rows=1, keys=200), tmp_path, (16, 16))
    (kernel,) = plan.record.kernels()
    assert kernel.split["t"] > 4
    assert kernel.outputs[0].sharding.root == ("t",)


def test_scores_are_never_stored_whole(tmp_path: Path) -> None:
    """Scores of 600 x 600 in single precision would fill 1.4 MB; sixteen cores of 48 KB hold a turn of them."""
    plan = _compiled(gpt_oss, Sizes(heads=1, groups=1, rows=600, keys=600), tmp_path, (4, 4))
    (kernel,) = plan.record.kernels()
    assert kernel.turns["m"] > 1


def test_an_attention_that_keeps_the_interval_up_is_taken_apart(tmp_path: Path) -> None:
    """With cores to spare, the operators work on several samples at once; with few, the kernel stays."""
    sizes = Sizes(heads=2, groups=2, rows=24, keys=24, size=16, width=16)
    path = bert(tmp_path / "model.onnx", sizes)
    fused = wsec.compile(path, target="mesh64", region=(60, 60), effort=0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(planning, "slow_attentions", SLOW_ATTENTIONS)
        events: list[wsec.StageEvent] = []
        chosen = wsec.compile(path, target="mesh64", region=(60, 60), effort=0, observer=events.append)
        few = wsec.compile(path, target="mesh64", region=(2, 2), effort=0)
    assert {kernel.kind for kernel in chosen.record.kernels()} >= {"matmul", "softmax"}
    assert chosen.record.placement.interval < fused.record.placement.interval_bound
    split = [event for event in events if event.stage == "kernels" and event.seconds is not None]
    assert (
        len(split) == 3
    )  # whole, apart for its bound, apart to be placed: the kernel could not have been as fast
    assert chosen.check() == ()
    assert chosen.verify().passed
    assert [kernel.kind for kernel in few.record.kernels()] == ["attention"]
    (said,) = [note for note in chosen.record.notes if "attention" in note]
    assert said.startswith("1 attention is planned as its operators, which is faster here than one kernel")
    assert not [note for note in few.record.notes if "attention" in note]
