"""`wsec report`: the page and the pictures, and what is said where they cannot be written."""

from __future__ import annotations

import errno
import json
import os
import re
import stat
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import wsec as wsec_package
from wsec.compiler.errors import ExitStatus
from wsec.runtime.programs import simulate as simulate_module
from wsec.runtime.report.contents import contents_of
from wsec.runtime.report.fabric_maps import followed_traffic, traffic_of

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from tests.cli.conftest import Wsec


class Page(HTMLParser):
    """The elements of a page, their attributes, and the contents that its script reads."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.contents: dict[str, Any] = {}
        self._inside = False
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Remember an element."""
        self.elements.append((tag, dict(attrs)))
        self._inside = tag == "script" and dict(attrs).get("id") == "contents"

    def handle_data(self, data: str) -> None:
        """Read the contents."""
        if self._inside:
            self.contents = json.loads(data)
            self._inside = False


def test_the_page_needs_nothing_beside_it(wsec: Wsec, small_plan: Path, tmp_path: Path) -> None:
    """One file with script, style and licence; no element refers to another place. Every kernel and link is in it."""
    path = tmp_path / "small.html"
    result = wsec("report", small_plan, "-o", path)
    assert (result.exit_code, result.stdout) == (0, f"report  {path}\n")
    page = Page(path)
    places = [
        value
        for _, attributes in page.elements
        for name, value in attributes.items()
        if name in {"src", "href", "srcset", "action"}
    ]
    assert sorted({place or "" for place in places}) == ["#kernels", "data:,"]
    text = path.read_text(encoding="utf-8")
    assert "Redistribution and use in source and binary forms" in text
    assert "url(" not in re.sub(r"<script>.*?</script>", "", text, flags=re.DOTALL)
    plan = wsec_package.load_plan(small_plan).record
    kernels = list(plan.kernels())
    assert page.contents["kernels"]["name"] == [kernel.name for kernel in kernels]
    assert page.contents["kernels"]["total"] == [kernel.cycles.total for kernel in kernels]
    assert page.contents["links"]["words"] == [link.words for link in plan.links()]
    assert len(text) < 3_000_000


def test_pictures_are_what_their_options_say(wsec: Wsec, small_plan: Path, tmp_path: Path) -> None:
    """PNG and SVG, and the same bytes each time."""
    paths = [tmp_path / name for name in ("a.html", "a.png", "a.svg")]
    result = wsec("report", small_plan, "-o", paths[0], "--png", paths[1], "--svg", paths[2], "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout) == {
        "plan": str(small_plan),
        "report": str(paths[0]),
        "png": str(paths[1]),
        "svg": str(paths[2]),
    }
    assert paths[1].read_bytes().startswith(b"\x89PNG")
    drawn = paths[2].read_text(encoding="utf-8")
    assert "<svg" in drawn
    assert "small.onnx on mesh16" in drawn
    first = [path.read_bytes() for path in paths]
    again = wsec_package.report(small_plan, paths[0], png=paths[1], svg=paths[2])
    assert again == paths[0]
    assert [path.read_bytes() for path in paths] == first


def test_the_page_has_the_name_of_the_plan(
    wsec: Wsec, small_plan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the current folder, as `wsec compile` names the plan."""
    monkeypatch.chdir(tmp_path)
    assert wsec("report", f"{small_plan}/").stdout == "report  small.html\n"
    assert (tmp_path / "small.html").is_file()


def test_a_folder_is_no_place_for_a_page(wsec: Wsec, small_plan: Path, tmp_path: Path) -> None:
    """Nothing is written then, pictures neither."""
    result = wsec("report", small_plan, "-o", tmp_path, "--png", tmp_path / "a.png")
    assert result.exit_code == ExitStatus.PLAN
    assert result.stderr == (
        f"error[WSEC585]: the report cannot be written\n  where:    {tmp_path}\n"
        "  expected: a file that can be written, in a folder that exists, on a disk with room\n"
        "  found:    a folder\n"
        "  try:      choose another place, or free some room; an older file is as it was\n"
    )
    assert list(tmp_path.iterdir()) == []
    missing = wsec("report", small_plan, "-o", tmp_path / "no" / "page.html", "--json")
    assert json.loads(missing.stdout)["error"]["found"] == "no such folder"


def test_a_full_disk_leaves_the_older_page(
    wsec: Wsec, small_plan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The new page is written beside it first."""
    path = tmp_path / "page.html"
    path.write_text("older")

    def no_room(_self: Path, _target: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "replace", no_room)
    result = wsec("report", small_plan, "-o", path)
    assert result.exit_code == ExitStatus.PLAN
    assert "  found:    No space left on device\n" in result.stderr
    assert path.read_text() == "older"
    assert [each.name for each in tmp_path.iterdir()] == ["page.html"]


@pytest.mark.parametrize(
    ("name", "contents", "code"),
    [("none", None, "WSEC501"), ("empty", "", "WSEC503"), ("older", '{"format": 1}', "WSEC504")],
)
def test_what_is_no_plan_is_refused(
    wsec: Wsec, tmp_path: Path, name: str, contents: str | None, code: str
) -> None:
    """As every command refuses it, before anything is written."""
    folder = tmp_path / name
    if contents is not None:
        folder.mkdir()
        (folder / "plan.json").write_text(contents)
    result = wsec("report", folder, "-o", tmp_path / "page.html")
    assert result.exit_code == ExitStatus.PLAN
    assert result.stderr.startswith(f"error[{code}]")
    assert not (tmp_path / "page.html").exists()


def test_names_of_a_model_cannot_become_code(tmp_path: Path, small_plan: Path) -> None:
    """A name that ends a script element, or opens one, stays a text."""
    from wsec.runtime.report.contents import contents_of
    from wsec.runtime.report.page import make_page

    plan = wsec_package.load_plan(small_plan)
    contents = contents_of(plan.record, plan.estimate())
    evil = "</script><script>alert(1)</script><!--\u2028"
    contents["model"] = evil
    contents["kernels"]["name"][0] = evil
    path = tmp_path / "evil.html"
    path.write_text(make_page(contents), encoding="utf-8")
    page = Page(path)
    assert page.contents["kernels"]["name"][0] == evil
    assert sum(tag == "script" for tag, _ in page.elements) == 4


def test_traffic_of_a_full_plan_is_what_the_simulator_counts(
    small_full_plan: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Words through the busiest port of each core, followed along the circuits, are those that a simulated sample sends through it."""
    seen: list[NDArray[np.int64]] = []
    run = simulate_module._run

    def listen(*arguments: Any) -> Any:
        result = run(*arguments)
        seen.append(result.link_words)
        return result

    monkeypatch.setattr(simulate_module, "_run", listen)
    plan = wsec_package.load_plan(small_full_plan)
    draw = np.random.default_rng(0)
    plan.simulate({"image": draw.standard_normal((1, 3, 16, 16)).astype(np.float32)})
    (phase,) = plan.record.wafers[0].phases
    followed = followed_traffic(phase, plan.record)
    assert followed is not None
    drawn = traffic_of(phase, plan.record, followed)
    (simulated,) = seen
    np.testing.assert_array_equal(
        drawn, simulated[:, 1:-1, :4].max(axis=2)
    )  # the host is a column at each side
    assert drawn.max() > 0
    (part,) = contents_of(plan.record, plan.estimate())["parts"]
    assert (part["followed"], part["traffic"]["most"]) == (True, drawn.max())


def test_traffic_is_of_lanes_where_circuits_have_a_fault(small_full_plan: Path) -> None:
    """Words that cannot be followed are not guessed: the part says that its traffic is that of lanes."""
    plan = wsec_package.load_plan(small_full_plan)
    (phase,) = plan.record.wafers[0].phases
    at = next(number for number, circuit in enumerate(phase.circuits) if circuit.purpose == "link")
    whole = phase.circuits[at].areas
    for areas in (whole[:-1], whole * 2):
        circuits = tuple(
            replace(circuit, areas=areas) if number == at else circuit
            for number, circuit in enumerate(phase.circuits)
        )
        broken = replace(phase, circuits=circuits)
        record = replace(plan.record, wafers=(replace(plan.record.wafers[0], phases=(broken,)),))
        (part,) = contents_of(record, plan.estimate())["parts"]
        assert part["followed"] is False
        assert part["traffic"]["most"] == traffic_of(broken, record, None).max() > 0


def test_a_pipe_is_not_replaced(wsec: Wsec, small_plan: Path, tmp_path: Path) -> None:
    """A file is renamed to its place: of a device or a pipe nothing would be left. It is said before the work, by every command."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for arguments in (
        ("report", small_plan, "-o", pipe),
        ("run", small_plan, "-o", pipe),
        ("estimate", small_plan, "--trace", pipe),
        ("export", small_plan, "-o", pipe),
        ("diff", small_plan, small_plan, "--html", pipe),
    ):
        result = wsec(*arguments)
        assert result.exit_code == ExitStatus.PLAN
        assert "  found:    a device or a pipe\n" in result.stderr
        assert stat.S_ISFIFO(pipe.stat().st_mode)
