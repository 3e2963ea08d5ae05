"""Commands and code on the pages work.

Blocks marked `bash` and `python` of the pages in `RUN` run in the order of the page; a command's exit status stands behind the word
`bash` where it is not 0. Every other line of any page that begins with `wsec` is parsed here; test_shown_commands.py runs those of most pages.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import numpy as np
import onnx
import pytest
from click.testing import CliRunner

from wsec.cli.application import application

ROOT = Path(__file__).parents[2]
RUN = ("docs/start.md", "docs/tutorial.md")
_BLOCK = re.compile(r"^```(\w*)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_GRAMMAR = re.compile(r"[\[\]|]|\b[A-Z]{3,}\b|\.\.\.")  # `wsec run PLAN [--verify]` says what is possible


def _blocks(page: str) -> list[tuple[str, str, str]]:
    """The blocks of a page: language, what stands behind it, text."""
    return _BLOCK.findall((ROOT / page).read_text(encoding="utf-8"))


def _commands(text: str) -> list[list[str]]:
    """The arguments of each line that calls wsec; a line that ends in a backslash goes on."""
    lines = (line.removeprefix("$ ") for line in text.replace("\\\n", " ").splitlines())
    return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("wsec ")]


def _run(arguments: list[str], status: int) -> None:
    result = CliRunner().invoke(application, arguments, prog_name="wsec")
    assert result.exit_code == status, f"wsec {shlex.join(arguments)}\n{result.output}"


@pytest.mark.parametrize("page", RUN)
def test_every_snippet_of_the_page_runs(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who follows a page from its beginning gets to its end."""
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "page"}
    ran = []
    for language, behind, text in _blocks(page):
        if language == "python":
            exec(compile(text, page, "exec"), names)  # noqa: S102 - the project's own page
            ran.append(text)
        for arguments in _commands(text) if language == "bash" else ():
            _run(arguments, int(behind.strip().removeprefix("exit=") or 0))
            ran.append(arguments[0])
    assert len(ran) >= 6


def test_python_of_the_readme_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first code that people see, on a small model with the names that it uses."""
    monkeypatch.chdir(tmp_path)
    text = '<ir_version: 10, opset_import: ["": 21]> g (float[batch, 6] image) => (float[batch, 6] y) { y = Relu(image) }'
    onnx.save(onnx.parser.parse_model(text), "model.onnx")
    (code,) = [text for language, _, text in _blocks("README.md") if language == "python"]
    exec(compile(code, "README.md", "exec"), {"image": np.ones((1, 6), np.float32)})  # noqa: S102 - the project's own page
    assert (tmp_path / "report.html").is_file()


def _shown_commands() -> list[tuple[str, list[str]]]:
    pages = ["README.md", *sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob("docs/**/*.md"))]
    return [
        (page, arguments)
        for page in pages
        for language, _, text in _blocks(page)
        if language != "text"  # keys of JSON, of which one is `wsec`
        for arguments in _commands("\n".join(_without_grammar(text)))
    ]


def _without_grammar(text: str) -> list[str]:
    return [line for line in text.splitlines() if not _GRAMMAR.search(line.partition("#")[0])]


def test_every_shown_command_exists(monkeypatch: pytest.MonkeyPatch) -> None:
    """An option that was renamed or dropped is not shown any more."""
    monkeypatch.setattr(click.Path, "convert", lambda _self, value, _parameter, _context: value)
    shown = _shown_commands()
    assert len(shown) > 40
    wrong = []
    root = click.Context(application, info_name="wsec")
    for page, (name, *arguments) in shown:
        command = application.get_command(root, name)
        if command is None:
            wrong.append(f"{page}: wsec {name}: no such command")
            continue
        try:
            command.make_context(name, arguments, parent=root)
        except click.exceptions.Exit:
            continue  # --help
        except click.UsageError as error:
            wrong.append(f"{page}: wsec {shlex.join([name, *arguments])}: {error.format_message()}")
    assert wrong == []
