"""What notebooks show of plans and estimates, their tables, and their pictures."""

from __future__ import annotations

import sys
from dataclasses import replace
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import pytest
from small_plans import two_products

from wsec.compiler.errors import WsecError
from wsec.compiler.plan import Phase, Wafer
from wsec.loaded_plan import Plan
from wsec.runtime.estimate import estimate
from wsec.runtime.report.picture import floorplan_picture

if TYPE_CHECKING:
    from pathlib import Path


class Tags(HTMLParser):
    """The tags of a fragment, which have to be closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.names: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Remember it."""
        self.seen.append(tag)
        self.names |= {name for name, _ in attrs}
        if tag != "img":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """It closes the last one."""
        assert self.open.pop() == tag


def test_notebooks_show_figures_and_floorplan(tmp_path: Path) -> None:
    """A plan and its estimate look alike; no script, and names cannot become markup."""
    loaded = two_products(tmp_path)
    loaded = replace(loaded, plan=replace(loaded.plan, model="<b>odd</b>.onnx"))
    shown = Plan(loaded)._repr_html_()
    assert shown == estimate(loaded.plan)._repr_html_()
    tags = Tags(shown)
    assert tags.open == []
    assert tags.seen.count("img") == 1
    assert tags.names <= {"style", "alt", "src"}
    assert not {"script", "b"} & set(tags.seen)
    assert "&lt;b&gt;odd&lt;/b&gt;.onnx on" in shown
    assert "data:image/svg+xml;base64," in shown


def test_tables_have_a_row_for_each_kernel(tmp_path: Path) -> None:
    """With the numbers of the records."""
    loaded = two_products(tmp_path)
    plan, result = Plan(loaded), estimate(loaded.plan)
    table = plan.to_dataframe()
    assert list(table["name"]) == ["first", "second"]
    assert list(table["total_cycles"]) == [kernel.cycles.total for kernel in loaded.plan.kernels()]
    assert list(table["total_bytes"]) == [kernel.memory.total for kernel in loaded.plan.kernels()]
    assert (table["width"] * table["height"]).tolist() == [kernel.cores for kernel in result.kernels]
    estimated = result.to_dataframe()
    assert list(estimated["bound_by"]) == [kernel.bound_by for kernel in result.kernels]
    assert list(estimated["x"]) == list(table["x"])


def test_a_table_without_pandas_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is an extra: nothing else needs it."""
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(WsecError) as caught:
        estimate(two_products(tmp_path).plan).to_dataframe()
    assert str(caught.value) == (
        "error[WSEC586]: tables need pandas\n  where:    to_dataframe\n  expected: the package pandas\n"
        "  found:    import of pandas halted; None in sys.modules\n"
        '  try:      install it: pip install "wsec[dataframe]"'
    )


def test_pictures_of_many_phases_and_of_none(tmp_path: Path) -> None:
    """Twelve are drawn and the rest is counted; a plan without kernels is an empty region."""
    plan = two_products(tmp_path).plan
    result = estimate(plan)
    many = replace(
        result,
        kernels=tuple(replace(result.kernels[0], name=f"k{number}", phase=number) for number in range(15)),
    )
    drawn = floorplan_picture(many, "svg").decode()
    assert "wafer 0, phase 11" in drawn
    assert "wafer 0, phase 12" not in drawn
    assert "; 3 more phases" in drawn
    empty = estimate(replace(plan, wafers=(Wafer((Phase((), ()),)),)))
    assert floorplan_picture(empty, "png").startswith(b"\x89PNG")
    assert "no core holds any" in empty._repr_html_()
