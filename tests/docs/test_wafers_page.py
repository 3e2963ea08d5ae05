"""The example in docs/wafers.md prints what the page shows."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest


def test_the_example_of_the_page_prints_what_it_shows(capsys: pytest.CaptureFixture[str]) -> None:
    """The code of the page, and the block behind it."""
    page = (Path(__file__).parents[2] / "docs" / "wafers.md").read_text(encoding="utf-8")
    ((code, shown),) = re.findall(r"^```python\n(.*?)^```\n\n```\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    exec(compile(code, "docs/wafers.md", "exec"), {})  # noqa: S102 - the page is ours
    assert capsys.readouterr().out == shown
