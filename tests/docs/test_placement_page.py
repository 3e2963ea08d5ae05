"""The example in docs/placement.md runs and gives what the page promises."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from wsec.compiler.placement.legality import explain


def test_the_example_of_the_page_runs() -> None:
    """A legal placement, near its bounds, with the aisle free."""
    page = (Path(__file__).parents[2] / "docs" / "placement.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(code, "docs/placement.md", "exec"), names)  # noqa: S102 - the page is ours
    placement = names["placement"]
    assert explain(names["problem"], placement) == []
    assert min(placement.y) >= 2
    assert placement.interval_bound <= placement.interval <= 1.3 * placement.interval_bound
    assert placement.cost_bound <= placement.cost
