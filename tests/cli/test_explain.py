"""`wsec explain` and `wsec completion`: help that does not need a browser."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.cli.conftest import Wsec

_PAGES = Path(__file__).parents[2] / "docs" / "errors"


@pytest.mark.parametrize("code", ["WSEC301", "wsec301", "301"])
def test_a_code_is_explained_by_its_page(wsec: Wsec, code: str) -> None:
    """However it is typed, what is printed is the page of the documentation."""
    result = wsec("explain", code)
    assert (result.exit_code, result.output) == (0, (_PAGES / "WSEC301.md").read_text(encoding="utf-8"))


def test_every_page_has_a_title(wsec: Wsec) -> None:
    """Scripts read code, title and text of any code."""
    for page in sorted(_PAGES.glob("WSEC*.md")):
        found = json.loads(wsec("explain", page.stem, "--json").output)
        assert found["code"] == page.stem
        assert found["title"]
        assert found["page"].startswith(f"# {page.stem}: {found['title']}\n")


@pytest.mark.parametrize("code", ["WSEC399", "301x", ""])
def test_an_unknown_code_suggests_others(wsec: Wsec, code: str) -> None:
    """A slip of a finger ends in a usage error that names codes that exist."""
    result = wsec("explain", code)
    assert result.exit_code == 2
    assert "there is no error code" in result.output
    assert "Near it: WSEC" in result.output


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_a_script_of_the_shell(wsec: Wsec, shell: str) -> None:
    """What is printed asks wsec itself for what may come next."""
    result = wsec("completion", shell)
    assert result.exit_code == 0
    assert f"_WSEC_COMPLETE={shell}_complete" in result.output


@pytest.mark.parametrize(("words", "expected"), [("wsec exp", "explain"), ("wsec compile --reg", "--region")])
def test_the_shell_is_told_what_may_come_next(words: str, expected: str) -> None:
    """Commands and options are completed by the program that the script calls."""
    number = len(words.split()) - 1
    asked = {"_WSEC_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(number)}
    done = subprocess.run(
        [sys.executable, "-m", "wsec"],
        env={**os.environ, **asked},
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert f"plain,{expected}" in done.stdout.splitlines()


def test_listing_the_commands_imports_none() -> None:
    """`wsec --help` answers at once, whatever commands need."""
    code = (
        "import sys, wsec.cli.application; print(*(name for name in sys.modules if name.startswith('wsec.')))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.PIPE, text=True)
    assert {*done.stdout.split()} == {"wsec.cli", "wsec.cli.application"}
