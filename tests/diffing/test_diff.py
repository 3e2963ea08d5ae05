"""`wsec diff`: every difference is found and named, equal plans have none, and the page holds no foreign markup."""

from __future__ import annotations

import json
from dataclasses import replace
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

import wsec
from wsec.cli.application import application
from wsec.diffing.compare import diff_plans
from wsec.diffing.page import diff_page

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result

    from wsec.compiler.plan import Plan as PlanRecord
    from wsec.diffing.compare import PlanDiff
    from wsec.loaded_plan import Plan
    from wsec.runtime.estimate import Estimate, KernelEstimate


@pytest.fixture(scope="module")
def plans(tmp_path_factory: pytest.TempPathFactory) -> tuple[Plan, Plan]:
    """One model on two regions."""
    from tests.checking.conftest import write_model

    folder = tmp_path_factory.mktemp("plans")
    model = write_model(folder / "small.onnx", width=64)
    first = wsec.compile(model, target="mesh16", effort=0, output=folder / "a.plan")
    second = wsec.compile(model, target="mesh16", effort=0, region=(4, 4), output=folder / "b.plan")
    return first, second


def _wsec(*arguments: object, columns: int = 80) -> Result:
    runner = CliRunner(env={"COLUMNS": str(columns), "FORCE_COLOR": None})
    return runner.invoke(application, [str(argument) for argument in arguments], prog_name="wsec")


def _pair(plan: Plan) -> tuple[PlanRecord, Estimate]:
    return plan.record, plan.estimate()


def _with(plan: Plan, *kernels: KernelEstimate) -> PlanDiff:
    """The difference to a plan whose estimate has these kernels."""
    record, estimate = _pair(plan)
    return diff_plans((record, estimate), (record, replace(estimate, kernels=kernels)))


def test_equal_plans_have_no_difference(plans: tuple[Plan, Plan]) -> None:
    """A plan and itself, also in the terminal."""
    found = diff_plans(_pair(plans[0]), _pair(plans[0]))
    assert found.is_empty
    assert found.unchanged == len(found.before.kernels)
    result = _wsec("diff", plans[0].folder, plans[0].folder)
    assert (result.exit_code, result.output) == (0, f"no kernel differs: {found.unchanged} kernel\n")


def test_every_aspect_is_named(plans: tuple[Plan, Plan]) -> None:
    """Each field that a kernel's reader looks at is its own change, and none hides another."""
    (kernel,) = plans[0].estimate().kernels
    for name, value, said in (
        ("x", kernel.x + 1, "place"),
        ("wafer", 1, "place"),
        ("width", kernel.width + 1, "size"),
        ("split", {**kernel.split, "m": 17}, "split"),
        ("total_cycles", kernel.total_cycles + 5, "cycles"),
        ("memory_bytes", 1, "memory"),
        ("kind", "other", "kind"),
    ):
        other: dict[str, Any] = {name: value}
        (pair,) = _with(plans[0], replace(kernel, **other)).changed
        assert pair.changes == (said,)


def test_kernels_are_matched_by_operators_then_by_name(plans: tuple[Plan, Plan]) -> None:
    """A kernel that was renamed is the same; one that has another operator too is found by its name; the rest is new and gone."""
    (kernel,) = plans[0].estimate().kernels
    renamed = _with(plans[0], replace(kernel, name="renamed"))
    assert (renamed.unchanged, renamed.new, renamed.gone) == (1, (), ())
    regrouped = _with(plans[0], replace(kernel, operators=(*kernel.operators, "more")))
    assert regrouped.changed[0].changes == ("operators",)
    other = replace(kernel, name="renamed", operators=("more",))
    found = _with(plans[0], other)
    assert (found.new, found.gone, found.changed) == ((other,), (kernel,), ())
    parts = [replace(kernel, name=name) for name in ("b", "a")]
    record, estimate = _pair(plans[0])
    swapped = diff_plans(
        (record, replace(estimate, kernels=tuple(parts))),
        (record, replace(estimate, kernels=tuple(reversed(parts)))),
    )
    assert (swapped.unchanged, swapped.changed) == (2, ())


@pytest.mark.parametrize("columns", [40, 80])
def test_the_table_fits_the_terminal(plans: tuple[Plan, Plan], columns: int) -> None:
    """Figures with their change, and the kernel with what changed."""
    result = _wsec("diff", plans[0].folder, plans[1].folder, columns=columns)
    assert result.exit_code == 0
    assert max(map(len, result.output.splitlines())) <= columns
    assert "changed: 1 kernel" in result.output
    assert "the plans are for different targets" in result.output  # the region is part of the machine
    interval = [plan.estimate().interval_cycles for plan in plans]
    assert f"{interval[0]:,} -> {interval[1]:,} cycles" in " ".join(result.output.split())


def test_json_agrees_with_the_plans(plans: tuple[Plan, Plan]) -> None:
    """The figures of both, and the difference in cycles of each kernel."""
    plain = json.loads(_wsec("diff", plans[0].folder, plans[1].folder, "--json").output)
    first, second = (plan.estimate() for plan in plans)
    assert plain["figures"]["interval_cycles"] == {
        "before": first.interval_cycles,
        "after": second.interval_cycles,
    }
    (pair,) = plain["changed"]
    assert pair["more_cycles"] == second.kernels[0].total_cycles - first.kernels[0].total_cycles
    assert "size" in pair["changes"]


class _Elements(HTMLParser):
    """The elements of a page with their attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Remember one."""
        self.found.append((tag, dict(attrs)))


def test_the_page_stands_alone(plans: tuple[Plan, Plan], tmp_path: Path) -> None:
    """Two floorplans, no script, no address; what a model calls its nodes and what plans are called is no markup."""
    (kernel,) = plans[0].estimate().kernels
    nasty = "<script>alert(1)</script>"
    found = _with(plans[0], replace(kernel, name=nasty, memory_bytes=1))
    text = diff_page(found, ("a", '"><b>'))
    elements = _Elements(text).found
    assert [tag for tag, _ in elements].count("img") == 2
    assert not {"script", "b"} & {tag for tag, _ in elements}
    sources = [attributes["src"] or "" for tag, attributes in elements if tag == "img"]
    assert all(source.startswith("data:image/svg+xml;base64,") for source in sources)
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    path = tmp_path / "diff.html"
    result = _wsec("diff", plans[0].folder, plans[1].folder, "--html", path)
    assert (result.exit_code, path.read_text(encoding="utf-8").startswith("<!doctype html>")) == (0, True)


def test_what_is_no_plan_or_no_place(plans: tuple[Plan, Plan], tmp_path: Path) -> None:
    """A missing plan, one of another format, and a page that is a folder, each with its message."""
    assert "WSEC501" in _wsec("diff", plans[0].folder, tmp_path / "none").stderr
    older = tmp_path / "older.plan"
    older.mkdir()
    (older / "plan.json").write_text('{"format": 3}')
    result = _wsec("diff", plans[0].folder, older)
    assert result.exit_code == 7
    assert result.stderr.startswith(
        "error[WSEC504]: the plan has another format than this version of wsec reads"
    )
    result = _wsec("diff", plans[0].folder, plans[1].folder, "--html", tmp_path)
    assert result.exit_code == 7
    assert result.stderr == (
        "error[WSEC525]: the page cannot be written\n"
        f"  where:    {tmp_path}\n"
        "  expected: a file that can be written, in a folder that exists, on a disk with room\n"
        "  found:    a folder\n"
        "  try:      choose another place, or free some room; an older file is as it was\n"
    )
