"""Solvers that are at work, so that another thread can end them: a call of compiled code hears of nothing else."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator


class Solver(Protocol):
    """Whatever can be told to give back what it has, from any thread."""

    def stop_search(self) -> None:
        """End the search soon."""


_running: list[Solver] = []
_lock = threading.Lock()


@contextlib.contextmanager
def running(solver: Solver) -> Iterator[None]:
    """`solver` works inside of the block, and `stop_solvers` ends it."""
    with _lock:
        _running.append(solver)
    try:
        yield
    finally:
        with _lock:
            _running.remove(solver)


def stop_solvers() -> None:
    """End every search that is under way; those that begin later are not."""
    with _lock:
        solvers = list(_running)
    for solver in solvers:
        solver.stop_search()
