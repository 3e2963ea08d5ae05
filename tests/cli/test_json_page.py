"""docs/json.md lists every key of `--json` with its type: what scripts rely on cannot change unseen.

`WSEC_BLESS=1 pytest tests/cli/test_json_page.py` writes the page again, after a key was added.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.cli.conftest import Wsec

PAGE = Path(__file__).parents[2] / "docs" / "json.md"
OPEN = {"stage_seconds", "split", "versions"}
"""Objects whose keys are names of something: stages, loops."""

HEAD = """# Keys of --json

Made by a test from what the commands print about a small convolutional network on `mesh16`, and compared with it since. `[]` is an entry of a list, `{}` one of
an object whose keys are names. A type beside others is what else was seen; `null` alone or an empty list says that this network has nothing there.
[The command line](cli.md) says what the keys mean. Keys are added, and never taken away or given another type, before the next major version.
"""


def test_the_page_lists_every_key(
    wsec: Wsec, small_model: Path, small_full_plan: Path, small_turns_plan: Path, tmp_path: Path
) -> None:
    """Each command once; a key that came, went or changed its type shows as a difference of the page."""
    plan, full, turns = tmp_path / "small.plan", small_full_plan, small_turns_plan
    arguments = ("--target", "mesh16", "--effort", "0")
    results = {
        "compile": wsec("compile", small_model, "-o", plan, *arguments, "--json"),
        "fit": wsec("fit", small_model, "--target", "mesh16", "--json"),
        "run": wsec("run", plan, "--verify", "--json"),
        "simulate": wsec("simulate", full, "--json"),
        "simulate of turns": wsec("simulate", turns, "--json"),
        "estimate": wsec("estimate", plan, "--json"),
        "report": wsec("report", plan, "-o", tmp_path / "r.html", "--json"),
        "export": wsec("export", plan, "-o", tmp_path / "m.onnx", "--json"),
        "check-plan": wsec("check-plan", plan, "--json"),
        "targets": wsec("targets", "--json"),
        "passes": wsec("passes", "--json"),
        "kernels": wsec("kernels", "--json"),
        "explain": wsec("explain", "WSEC321", "--json"),
        "an error": wsec("estimate", tmp_path / "none.plan", "--json"),
    }
    found = HEAD
    for name, result in results.items():
        value = json.loads(result.stdout)
        lines = [f"{path}  {kind}" for path, kind in _keys(value).items()]
        title = name if name == "an error" else f"wsec {name}"
        found += "\n".join(["", f"## {title}", "", "```text", *lines, "```", ""])
    if os.environ.get("WSEC_BLESS") and not os.environ.get("CI"):
        PAGE.write_text(found, encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == found


def _keys(value: object) -> dict[str, str]:
    """Path of each value -> the types that it was seen with, in the order in which they are printed."""
    kinds: dict[str, dict[str, None]] = {}
    _collect(value, "", kinds)
    return {path: " or ".join(sorted(seen)) for path, seen in kinds.items() if path}


def _collect(value: object, path: str, kinds: dict[str, dict[str, None]]) -> None:
    seen = kinds.setdefault(path, {})
    seen[_kind(value)] = None
    if isinstance(value, dict):
        for key, item in value.items():
            inside = path + "{}" if _has_names(path) else f"{path}.{key}".removeprefix(".")
            _collect(item, inside, kinds)
    elif isinstance(value, list):
        for item in value:
            _collect(item, f"{path}[]", kinds)


def _has_names(path: str) -> bool:
    """Whether the keys of an object are names; `split` of a summary is a record, that of a kernel has loops."""
    return path.rpartition(".")[2] in OPEN and path != "split"


def _kind(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    kinds: dict[type, str] = {str: "string", list: "list", dict: "object"}
    return kinds[type(value)]
