"""The same model, options and version give the same bytes of plan.json."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from typing import TYPE_CHECKING

from small_models import encoder, residual_network

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def compiled(model: Path, folder: Path, hash_seed: str) -> bytes:
    """plan.json of a compilation in a process of its own."""
    command = [
        sys.executable,
        "-m",
        "wsec",
        "compile",
        str(model),
        "-o",
        str(folder),
        "--target",
        "mesh64",
        "-q",
    ]
    subprocess.run(command, check=True, env={**os.environ, "PYTHONHASHSEED": hash_seed})
    return (folder / "plan.json").read_bytes()


@contextlib.contextmanager
def busy_core() -> Iterator[None]:
    """Another process that takes all the time it gets."""
    busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        busy.kill()
        busy.wait()


def test_plans_do_not_depend_on_hash_seeds_or_load(tmp_path: Path) -> None:
    """Nothing iterates over a set, and no clock decides: not the seed of hashes, not a busy machine."""
    for make in (residual_network, encoder):
        model = make(tmp_path)
        quiet = compiled(model, tmp_path / "first" / "plan", "1")
        with busy_core():
            busy = compiled(model, tmp_path / "elsewhere", "2")
        assert quiet == busy
