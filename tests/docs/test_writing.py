"""The code in docs/writing-passes.md and docs/writing-kernels.md runs, and is what the pages say it is."""

from __future__ import annotations

import re
import shlex
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import onnx
from click.testing import CliRunner

from wsec.cli.application import application

if TYPE_CHECKING:
    import pytest
    from tests.conftest import InstallPackage

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "wsec_example"
MODEL = """<ir_version: 10, opset_import: ["" : 21]>
    g (float[6, 5] x) => (float[6, 5] y) <float zero = {0}> {
        a = Neg(x) b = Neg(a) c = Clip(b, zero) y = Exp(c)
    }"""


class Block(NamedTuple):
    """A block of code of a page; the file that it names in its first line, if it does."""

    language: str
    file: str
    text: str


def _blocks(page: str) -> list[Block]:
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    found = []
    for language, code in re.findall(r"^```(\w+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        name = re.match(r"# (\w+\.py)\n", code)
        found.append(Block(language, name[1] if name else "", code[name.end() :] if name else code))
    return found


def _entry_points(blocks: list[Block]) -> str:
    """What the TOML blocks of a page register, as an installed package has it."""
    groups: dict[str, dict[str, str]] = {}
    for block in blocks:
        if block.language == "toml":
            groups |= tomllib.loads(block.text)["project"]["entry-points"]
    lines = []
    for group, entries in groups.items():
        lines += [f"[{group}]", *(f"{name} = {value}" for name, value in entries.items())]
    return "\n".join(lines)


def test_every_block_of_writing_passes_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, install_package: InstallPackage
) -> None:
    """Files are written, Python runs in the order of the page, commands succeed, and what is registered is found."""
    blocks = _blocks("writing-passes.md")
    assert [block.language for block in blocks].count("console") >= 4
    files = {block.file.removesuffix(".py"): block.text for block in blocks if block.file}
    assert set(files) == {"my_passes", "my_other_passes"}
    install_package("mine", _entry_points(blocks), **files)
    monkeypatch.chdir(tmp_path)
    onnx.save(onnx.parser.parse_model(MODEL), "model.onnx")
    names: dict[str, object] = {"__name__": "page"}
    for block in blocks:
        if block.language == "python" and not block.file:
            exec(compile(block.text, "writing-passes.md", "exec"), names)  # noqa: S102 - the project's own page
        for line in block.text.splitlines() if block.language == "console" else ():
            result = CliRunner().invoke(application, shlex.split(line)[1:], prog_name="wsec")
            assert result.exit_code == 0, f"{line}\n{result.output}"


def test_the_passes_of_the_page_do_what_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, install_package: InstallPackage
) -> None:
    """Both change the model of the page; what is left of it is Relu and Exp."""
    blocks = _blocks("writing-passes.md")
    files = {block.file.removesuffix(".py"): block.text for block in blocks if block.file}
    install_package("mine", _entry_points(blocks), **files)
    monkeypatch.chdir(tmp_path)
    onnx.save(onnx.parser.parse_model(MODEL), "model.onnx")
    arguments = "compile model.onnx --target mesh16 -q -o p --pass cancel-negations --pass clip-to-relu"
    result = CliRunner().invoke(application, shlex.split(arguments), prog_name="wsec")
    assert result.exit_code == 0, result.output
    lowered = onnx.load(tmp_path / "p" / "model.onnx")
    assert [node.op_type for node in lowered.graph.node] == ["Relu", "Exp"]


def test_the_code_of_writing_kernels_is_that_of_the_example() -> None:
    """What the page explains is what is tested as a package."""
    named = [block for block in _blocks("writing-kernels.md") if block.file]
    assert len(named) == 4
    for block in named:
        source = (EXAMPLE / "src" / "wsec_example" / block.file).read_text(encoding="utf-8")
        assert block.text in source, block.file
    registered = tomllib.loads((EXAMPLE / "pyproject.toml").read_text(encoding="utf-8"))["project"][
        "entry-points"
    ]
    shown = [tomllib.loads(block.text) for block in _blocks("writing-kernels.md") if block.language == "toml"]
    for group, entries in shown[0]["project"]["entry-points"].items():
        assert registered[group] == entries


def test_the_test_of_writing_kernels_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, install_package: InstallPackage
) -> None:
    """Whoever copies it and replaces the names has a test of their kernel."""
    blocks = _blocks("writing-kernels.md")
    install_package("example_of_the_page", _entry_points(blocks))
    monkeypatch.syspath_prepend(str(EXAMPLE / "src"))
    monkeypatch.chdir(tmp_path)
    for name in [name for name in sys.modules if name.startswith("wsec_example")]:
        monkeypatch.delitem(sys.modules, name)
    (test,) = [block for block in blocks if block.language == "python" and not block.file]
    exec(compile(test.text, "writing-kernels.md", "exec"), {"__name__": "page"})  # noqa: S102 - the project's own page
