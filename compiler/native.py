"""Functions compiled by numba: the one place that knows it.

Compiled code is kept beside the sources, or in the user's cache where those cannot be written. It releases the
interpreter's lock, so that two searches run at the same time in two threads.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, TypeVar

import numba

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Compiled = TypeVar("Compiled", bound="Callable[..., object]")


def compiled(function: Compiled) -> Compiled:
    """Compile a function of numbers and arrays, at its first call."""
    try:
        return numba.njit(function, nogil=True, cache=True)  # type: ignore[no-any-return]
    except RuntimeError:  # no folder to keep it in: compile it anew in each process
        return numba.njit(function, nogil=True)  # type: ignore[no-any-return]


def compiled_without_allocation(function: Compiled) -> Compiled:
    """The same for a function that allocates nothing: it counts no references to arrays."""
    try:
        return numba.njit(function, nogil=True, cache=True, _nrt=False)  # type: ignore[no-any-return, call-overload]
    except RuntimeError:  # no folder to keep it in
        return numba.njit(function, nogil=True, _nrt=False)  # type: ignore[no-any-return, call-overload]


def inlined(function: Compiled) -> Compiled:
    """The same for a function that allocates nothing, with its body put in the place of every call.

    Many arrays are slow to hand over in an inner loop, and to count references to.
    """
    return numba.njit(function, nogil=True, forceinline=True, _nrt=False)  # type: ignore[no-any-return, call-overload]


def compiled_in_parallel(function: Compiled) -> Compiled:
    """The same for a function whose loops over `parallel_range` are shared between threads."""
    try:
        return numba.njit(function, nogil=True, cache=True, parallel=True)  # type: ignore[no-any-return]
    except RuntimeError:  # no folder to keep it in
        return numba.njit(function, nogil=True, parallel=True)  # type: ignore[no-any-return]


parallel_range = numba.prange


@contextlib.contextmanager
def thread_limit(threads: int) -> Iterator[None]:
    """Let loops over `parallel_range` take that many threads, as far as the machine has them."""
    before = numba.get_num_threads()
    numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))  # type: ignore[attr-defined]  # set as numba starts
    try:
        yield
    finally:
        numba.set_num_threads(before)
