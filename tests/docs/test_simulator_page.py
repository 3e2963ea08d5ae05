"""The example in docs/simulator.md runs; its own assertions are what the page promises."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from wsec.runtime.simulator.simulation import Outcome


def test_the_example_of_the_page_runs() -> None:
    """A broadcast to three cores in the cycles of the page."""
    page = (Path(__file__).parents[2] / "docs" / "simulator.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(code, "docs/simulator.md", "exec"), names)  # noqa: S102 - the page is ours
    assert names["result"].outcome is Outcome.FINISHED
