"""Compiled code that is kept."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_CALLED = """
from wsec.compiler.native import inlined

@inlined
def step(number):
    return number + {amount}
"""

_CALLING = """
from called import step
from wsec.compiler.native import compiled_without_allocation

@compiled_without_allocation
def steps(number):
    return step(step(number))

print(steps(1), sum(steps.stats.cache_hits.values()))
"""


def test_kept_code_is_compiled_anew_when_a_file_beside_it_changes(tmp_path: Path) -> None:
    """The function's own file stays as it is; what it calls from another one changes."""
    (tmp_path / "calling.py").write_text(_CALLING, encoding="utf-8")
    printed = []
    for amount in (1, 1, 5):
        (tmp_path / "called.py").write_text(_CALLED.format(amount=amount), encoding="utf-8")
        run = subprocess.run(
            [sys.executable, "calling.py"], cwd=tmp_path, check=True, capture_output=True, text=True
        )
        printed.append(run.stdout.split())
    assert printed == [["3", "0"], ["3", "1"], ["11", "0"]]
