"""Where passes of the user's stand in the pipeline."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsec.compiler.errors import ExitStatus, WsecError
from wsec.passes import Pass, PlacedPass, default_pipeline, function_pass, insert_passes

if TYPE_CHECKING:
    from collections.abc import Sequence

    import onnx_ir as ir


@function_pass("mine")
def mine(model: ir.Model, number: int = 0) -> bool:
    """Changes nothing."""
    del model, number
    return False


def _names(added: Sequence[Pass | PlacedPass]) -> list[str]:
    return [str(current) for current in insert_passes(default_pipeline(), added)]


def _refusal(added: Sequence[Pass | PlacedPass]) -> str:
    with pytest.raises(WsecError) as caught:
        _names(added)
    assert caught.value.exit_status is ExitStatus.PASS
    return str(caught.value)


def test_without_a_place_it_runs_before_the_last_cleaning() -> None:
    """Its models are canonical, and what it leaves unused is removed behind it."""
    names = _names([mine(1), mine(2)])
    position = names.index("mine{number=1}")
    assert names[position : position + 3] == ["mine{number=1}", "mine{number=2}", "eliminate-dead-code"]
    assert "eliminate-dead-code" not in names[position + 3 :]


def test_after_a_pass_means_after_its_last_run_and_before_means_before_its_first() -> None:
    """What the user names has done all of its work, or none of it; a number chooses a run."""
    plain = _names([])
    runs = [index for index, name in enumerate(plain) if name == "fold-constants"]
    assert len(runs) >= 2
    assert _names([PlacedPass(mine(), after="fold-constants")]).index("mine") == runs[-1] + 1
    assert _names([PlacedPass(mine(), before="fold-constants")]).index("mine") == runs[0]
    assert _names([PlacedPass(mine(), after="fold-constants#1")]).index("mine") == runs[0] + 1
    assert _names([PlacedPass(mine(), before="fold-constants#2")]).index("mine") == runs[1]


@given(
    places=st.lists(
        st.tuples(st.sampled_from(["after", "before"]), st.sampled_from(["fold-constants", "name-nodes"])),
        max_size=6,
    )
)
def test_passes_of_one_place_keep_their_order(places: list[tuple[str, str]]) -> None:
    """Whatever else is inserted between them on the command line; and the pipeline's own passes keep theirs."""
    added = [PlacedPass(mine(number + 1), **{side: name}) for number, (side, name) in enumerate(places)]
    names = _names(added)
    assert [name for name in names if not name.startswith("mine")] == _names([])
    for place in set(places):
        mentioned = [f"mine{{number={number + 1}}}" for number, other in enumerate(places) if other == place]
        assert [name for name in names if name in mentioned] == mentioned


def test_a_pass_of_the_users_can_be_a_place() -> None:
    """The second of two that belong together runs behind the first, wherever that stands."""
    other = PlacedPass(mine(7), after="mine")
    names = _names([PlacedPass(mine(), before="name-nodes"), other])
    assert names[names.index("mine") + 1] == "mine{number=7}"


def test_an_unknown_place() -> None:
    """The passes that are there are listed."""
    known = ", ".join(dict.fromkeys(_names([])))
    assert _refusal([PlacedPass(mine(), after="fold-constant")]) == (
        "error[WSEC410]: there is no such place for the pass mine\n"
        f"  where:    mine, in a pipeline of {len(default_pipeline())} passes\n"
        f"  expected: one of {known}\n"
        "  found:    fold-constant\n"
        "  try:      `wsec passes` lists the pipeline; NAME#2 is the second run of a pass"
    )
    assert "expected: name-nodes#1 to name-nodes#1\n" in _refusal([PlacedPass(mine(), after="name-nodes#2")])
    both = PlacedPass(mine(), after="name-nodes", before="name-nodes")
    assert "expected: one of `after` and `before`\n" in _refusal([both])


def test_nothing_runs_behind_the_fusion() -> None:
    """A changed graph would no longer be made of the groups that kernels are made from."""
    assert _refusal([PlacedPass(mine(), after="fuse-elementwise")]) == (
        "error[WSEC405]: the pass mine must run before fuse-elementwise\n"
        "  where:    mine after fuse-elementwise\n"
        "  expected: mine before fuse-elementwise, because changes behind it tear fused groups apart\n"
        "  found:    it would run after fuse-elementwise\n"
        "  try:      leave the place away, or give it as before fuse-elementwise"
    )


def test_what_is_no_pass_is_refused() -> None:
    """A class in place of an object is the most frequent slip."""
    assert _refusal([mine]) == (  # type: ignore[list-item] # the slip
        "error[WSEC403]: 'mine' is not a pass\n"
        "  where:    passes\n"
        "  expected: a subclass of wsec.passes.Pass\n"
        f"  found:    {mine!r}\n"
        "  try:      call the class: passes=[MyPass()]"
    )
