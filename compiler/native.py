"""Functions compiled by numba: the one place that knows it.

Compiled code is kept beside the sources, or in the user's cache where those cannot be written, until any source of
the folder changes. It releases the interpreter's lock, so that two searches run at the same time in two threads.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numba
from numba.core import event

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Compiled = TypeVar("Compiled", bound="Callable[..., object]")


def compiled(function: Compiled) -> Compiled:
    """Compile a function of numbers and arrays, at its first call. What it calls is of the same folder."""
    return _compiled(function)


def compiled_without_allocation(function: Compiled) -> Compiled:
    """The same for a function that allocates nothing: it counts no references to arrays, and divides by zero as numpy does."""
    return _compiled(function, _nrt=False, error_model="numpy")


def compiled_in_parallel(function: Compiled) -> Compiled:
    """The same for a function whose loops over `parallel_range` are shared between threads."""
    return _compiled(function, parallel=True)


def inlined(function: Compiled) -> Compiled:
    """For a function that allocates nothing: its body takes the place of every call in a compiled function.

    Many arrays are slow to hand over in an inner loop, and to count references to.
    """
    jit: Any = numba.njit
    return jit(function, nogil=True, forceinline=True, _nrt=False, error_model="numpy")  # type: ignore[no-any-return]


parallel_range = numba.prange


@contextlib.contextmanager
def thread_limit(threads: int) -> Iterator[None]:
    """Let loops over `parallel_range` take that many threads, as far as the machine has them."""
    config: Any = numba.config
    before = numba.get_num_threads()
    numba.set_num_threads(min(threads, config.NUMBA_NUM_THREADS))
    try:
        yield
    finally:
        numba.set_num_threads(before)


def _compiled(function: Compiled, **options: bool | str) -> Compiled:
    jit: Any = numba.njit
    try:
        kept = jit(function, nogil=True, cache=True, **options)
    except RuntimeError:  # no folder to keep it in: compile it anew in each process
        return jit(function, nogil=True, **options)  # type: ignore[no-any-return]
    # numba would look at the function's own file only, and keep code that contains what another file said before.
    kept._cache._cache_file._source_stamp = _stamp(Path(function.__code__.co_filename).parent)  # noqa: SLF001
    return kept  # type: ignore[no-any-return]


@functools.cache
def _stamp(folder: Path) -> str:
    """What the sources of a folder say, and this one."""
    stamp = hashlib.sha256()
    for source in (Path(__file__), *sorted(folder.glob("*.py"))):
        stamp.update(hashlib.sha256(source.read_bytes()).digest())
    return stamp.hexdigest()


@contextlib.contextmanager
def hear_of_compilation(callback: Callable[[], None]) -> Iterator[None]:
    """Call `callback` whenever a function is compiled inside the block, rather than loaded; in any thread."""
    with event.install_listener("numba:compile", _Listener(callback)):
        yield


class _Listener(event.Listener):
    """Passes on that a compilation begins."""

    def __init__(self, callback: Callable[[], None]) -> None:
        self._callback = callback

    def on_start(self, _event: object) -> None:
        self._callback()

    def on_end(self, _event: object) -> None:
        """Nobody asks when it is over."""
