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
from numba.core import event, types
from numba.extending import intrinsic
from numba.np import arrayobj

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy as np
    from numpy.typing import NDArray

Compiled = TypeVar("Compiled", bound="Callable[..., object]")


def compiled(function: Compiled) -> Compiled:
    """Compile a function of numbers and arrays, at its first call. What it calls is of the same folder."""
    return _compiled(function)


def compiled_without_allocation(function: Compiled) -> Compiled:
    """The same for a function that allocates nothing: it counts no references to arrays, and divides by zero as numpy does."""
    return _compiled(function, _nrt=False, error_model="numpy")


def inlined(function: Compiled) -> Compiled:
    """For a function that allocates nothing: its body takes the place of every call in a compiled function.

    Many arrays are slow to hand over in an inner loop, and to count references to.
    """
    jit: Any = numba.njit
    return jit(function, nogil=True, forceinline=True, _nrt=False, error_model="numpy")  # type: ignore[no-any-return]


def _element(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    """The address of an element of the array that comes first, by the index that comes next."""
    array_type, index_type = signature.args[:2]
    array = arrayobj.make_array(array_type)(context, builder, arguments[0])  # type: ignore[no-untyped-call]
    place: Any = arrayobj.basic_indexing
    return place(context, builder, array_type, array, (index_type,), arguments[1:2])[0]


def _load_shared(_typing: Any, array: Any, _index: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.load_atomic(_element(context, builder, signature, arguments), "acquire", 8)

    return types.int64(array, types.intp), generate


def _store_shared(_typing: Any, array: Any, _index: Any, _value: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        builder.store_atomic(arguments[2], _element(context, builder, signature, arguments), "release", 8)
        return context.get_dummy_value()

    return types.void(array, types.intp, types.int64), generate


def _add_shared(_typing: Any, array: Any, _index: Any, _value: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = _element(context, builder, signature, arguments)
        return builder.atomic_rmw("add", place, arguments[2], "acq_rel")

    return types.int64(array, types.intp, types.int64), generate


def _replace_shared(_typing: Any, array: Any, _index: Any, _expected: Any, _value: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = _element(context, builder, signature, arguments)
        pair = builder.cmpxchg(place, arguments[2], arguments[3], "acq_rel", "acquire")
        return builder.extract_value(pair, 1)

    return types.boolean(array, types.intp, types.int64, types.int64), generate


_intrinsic: Any = intrinsic

# Elements of flat arrays of int64 that several threads read and write: whoever sees one sees what was written before it.
load_shared: Callable[[NDArray[np.int64], int], int] = _intrinsic(_load_shared)
"""The element."""
store_shared: Callable[[NDArray[np.int64], int, int], None] = _intrinsic(_store_shared)
"""Write the element."""
add_shared: Callable[[NDArray[np.int64], int, int], int] = _intrinsic(_add_shared)
"""Add to the element; what it was before."""
replace_shared: Callable[[NDArray[np.int64], int, int, int], bool] = _intrinsic(_replace_shared)
"""Write the last argument if the element is the one before it; whether it was. Of several threads one succeeds."""

yield_processor: Any = types.ExternalFunction("sched_yield", types.int32())
"""Let another thread have the processor for a while."""


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
