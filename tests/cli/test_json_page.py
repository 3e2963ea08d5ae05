"""docs/json.md lists every key of `--json` with its type: what scripts rely on cannot change unseen.

`WSEC_BLESS=1 pytest tests/cli/test_json_page.py` writes the page again, after a key was added.
"""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import llama
import wsec as wsec_package
from decoder_parts import Export
from model_writer import write_model

if TYPE_CHECKING:
    from click.testing import Result
    from tests.cli.conftest import Wsec

PAGE = Path(__file__).parents[2] / "docs" / "json.md"
OPEN = {"stage_seconds", "split", "versions", "details"}
"""Objects whose keys are names of something: stages, loops."""

HEAD = """# Keys of --json

Made by a test from what the commands print about a small convolutional network on `mesh16` and, where they say so, a small decoder, and compared with it since. `[]` is an entry of a list, `{}` one of
an object whose keys are names. A type beside others is what else was seen; `null` alone or an empty list says that these have nothing there.
[The command line](cli.md) says what the keys mean. Keys are added, and never taken away or given another type, before the next major version.
"""


def test_the_page_lists_every_key(
    wsec: Wsec, small_model: Path, small_full_plan: Path, small_turns_plan: Path, tmp_path: Path
) -> None:
    """Each command, with all that it may say; a key that came, went or changed its type shows as a difference of the page."""
    plan, full, turns, decoder = (
        tmp_path / "small.plan",
        small_full_plan,
        small_turns_plan,
        _decoder(tmp_path),
    )
    arguments = ("--target", "mesh16", "--effort", "0")
    check = ("check", small_model, *arguments, "--no-cache", "--json")
    results: dict[str, Result | tuple[Result, ...]] = {
        "compile": wsec("compile", small_model, "-o", plan, *arguments, "--json"),
        "fit": wsec("fit", small_model, "--target", "mesh16", "--json"),
        "run": wsec("run", plan, "--verify", "--json"),
        "simulate": wsec("simulate", full, "--json"),
        "simulate of turns": wsec("simulate", turns, "--json"),
        "run --generate, of a decoder": wsec(
            "run", decoder, "--generate", "3,5", "--steps", "2", "--verify", "--json"
        ),
        "estimate": wsec("estimate", plan, "--json"),
        "estimate, of a decoder": wsec("estimate", decoder, "--json"),
        "report": wsec("report", plan, "-o", tmp_path / "r.html", "--json"),
        "diff": (wsec("diff", plan, full, "--json"), wsec("diff", plan, decoder, "--json")),
        "check": (
            wsec(*check, "--baseline", tmp_path / "b.json", "--update-baseline"),
            wsec(*check, "--baseline", tmp_path / "b.json", "--max-memory", "1%", "--no-verify"),
            wsec("check", tmp_path / "none.onnx", *arguments, "--no-cache", "--json"),
        ),
        "bisect": wsec("bisect", small_model, "--json"),
        "export": wsec("export", plan, "-o", tmp_path / "m.onnx", "--json"),
        "check-plan": wsec("check-plan", plan, "--json"),
        "targets": wsec("targets", "--json"),
        "passes": wsec("passes", "--json"),
        "kernels": wsec("kernels", "--json"),
        "explain": wsec("explain", "WSEC321", "--json"),
        "an error": wsec("estimate", tmp_path / "none.plan", "--json"),
    }
    wsec("compile", small_model, "-o", tmp_path / "p", *arguments, "--region", "1x2")
    values = {
        name: [json.loads(each.stdout) for each in (result if isinstance(result, tuple) else (result,))]
        for name, result in results.items()
    }
    values["PLAN.failed.json"] = [json.loads((tmp_path / "p.failed.json").read_text())]
    found = HEAD
    for name, seen in values.items():
        lines = [f"{path}  {kind}" for path, kind in _keys(seen).items()]
        title = name if name in {"an error", "PLAN.failed.json"} else f"wsec {name}"
        found += "\n".join(["", f"## {title}", "", "```text", *lines, "```", ""])
    if os.environ.get("WSEC_BLESS") and not os.environ.get("CI"):
        PAGE.write_text(found, encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == found


def _decoder(folder: Path) -> Path:
    """The plan of a decoder of one layer."""
    path, plan = folder / "decoder.onnx", folder / "decoder.plan"
    export = replace(Export(form="contrib"), context=8)
    write_model(llama.make_llama(replace(llama.CONFIGS["tiny"], layers=1), export), path, opset=export.opset)
    wsec_package.compile(path, output=plan, target="wse3", region=(40, 40), effort=0.0)
    return plan


def _keys(values: list[object]) -> dict[str, str]:
    """Path of each value -> the types that it was seen with, in the order in which they are printed."""
    kinds: dict[str, dict[str, None]] = {}
    for value in values:
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
