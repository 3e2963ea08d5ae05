"""Compiled searches: compiled ahead by `make install`, and never in silence later."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import numpy as np
from small_models import residual_network

import wsec
from wsec.compiler import native
from wsec.compiler.native import compiled, hear_of_compilation
from wsec.compiler.placement import Limits, Net, PlacementKernel, PlacementProblem, ShapeOptions, place
from wsec.compiler.warm_up import warm_up
from wsec.warm_up import warm_up as warm_up_all

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import pytest


def test_a_compilation_is_heard_of_and_a_second_call_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The callback is called as a function is compiled, which its first call does; nothing is kept of an earlier run."""
    monkeypatch.setattr("numba.core.config.CACHE_DIR", str(tmp_path))
    heard: list[str] = []

    @compiled
    def double(number: int) -> int:
        return 2 * number

    with hear_of_compilation(lambda: heard.append("compiled")):
        assert double(2) == 4
        first = len(heard)
        assert double(3) == 6
    assert first > 0
    assert len(heard) == first


def test_nothing_is_left_to_compile_after_warming_up() -> None:
    """A problem of other sizes, with wires and without, finds all that it needs compiled."""
    warm_up()
    heard: list[str] = []
    sides = np.arange(2, 12)
    widths, heights = (side.ravel() for side in np.meshgrid(sides, sides))
    kernels = tuple(
        PlacementKernel(f"kernel {at}", ShapeOptions(widths, heights, -(-work // (widths * heights))))
        for at, work in enumerate(range(700, 1700, 77))
    )
    nets = tuple(Net(at, at + 2, 3.0) for at in range(len(kernels) - 2))
    with hear_of_compilation(lambda: heard.append("compiled")):
        for wires in (nets, ()):
            place(PlacementProblem(31, 29, kernels, wires), Limits(effort=0.25))
    assert heard == []


def test_a_network_finds_everything_compiled_after_warming_up(tmp_path: Path) -> None:
    """Deliveries, the check of the plan and its simulation compile nothing more, on another network and region."""
    warm_up_all()
    heard: list[str] = []
    with hear_of_compilation(lambda: heard.append("compiled")):
        wsec.compile(
            residual_network(tmp_path), target="mesh64", region=(16, 16), effort=0, fabric="full"
        ).simulate()
    assert heard == []


def test_whoever_watches_a_compilation_hears_that_the_search_is_compiled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the detail of the placement stage, while it lasts."""

    @contextlib.contextmanager
    def always_compiling(callback: Callable[[], None]) -> Iterator[None]:
        callback()
        yield

    monkeypatch.setattr(native, "hear_of_compilation", always_compiling)
    events: list[wsec.StageEvent] = []
    wsec.compile(residual_network(tmp_path), target="mesh16", effort=0, observer=events.append)
    assert wsec.StageEvent("placement", detail="compiling the search (once after an installation)") in events
