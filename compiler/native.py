"""Functions compiled by numba: the one place that knows it.

Compiled code is kept beside the sources, or in the user's cache where those cannot be written. It releases the
interpreter's lock, so that two searches run at the same time in two threads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import numba

if TYPE_CHECKING:
    from collections.abc import Callable

Compiled = TypeVar("Compiled", bound="Callable[..., object]")


def compiled(function: Compiled) -> Compiled:
    """Compile a function of numbers and arrays, at its first call."""
    try:
        return numba.njit(function, nogil=True, cache=True)  # type: ignore[no-any-return]
    except RuntimeError:  # no folder to keep it in: compile it anew in each process
        return numba.njit(function, nogil=True)  # type: ignore[no-any-return]
