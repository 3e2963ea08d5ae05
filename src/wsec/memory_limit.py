"""Ends a compilation whose process would hold more memory than it may.

A thread looks at the resident memory every few milliseconds. Once it is above the limit, searches are asked to stop, solvers
are ended, and an exception is raised in the thread that compiles, as soon as that runs Python code: what
was half written goes, as at Ctrl-C. A single call of compiled code is not interrupted, but for solvers: what it takes until it
returns comes on top.
"""

from __future__ import annotations

import contextlib
import ctypes
import sys
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from wsec.compiler.errors import WsecError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from wsec.driver import StageEvent

_SAMPLE_SECONDS = 0.01
_AGAIN_SECONDS = 0.5  # until the exception is raised again, for code that swallowed the first
_NOT_INTERRUPTED = ("importlib.", "llvmlite.")
_UNPLACED = {
    "kernels",
    "placement",
    "routing",
    "check",
}  # stages that turns spare a large model, or make short


class MemoryLimitExceeded(BaseException):
    """Raised where the compilation stands; no `Exception`, so that a handler of ordinary errors does not swallow it."""


@dataclass
class MemoryWatch:
    """What is known of a compilation that has a limit.

    Attributes:
        limit: In bytes.
        before: Resident bytes when it began.
        found: Resident bytes when the limit was exceeded; 0 until then.
        stage: The stage that runs, or ran last.
        detail: What that said last.
    """

    limit: int
    before: int
    found: int = 0
    stage: str = "start"
    detail: str = ""
    _thread: int = field(default_factory=threading.get_ident)
    _over: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def observe(self, event: StageEvent) -> None:
        """Remember which stage runs."""
        if event.seconds is None:
            self.stage, self.detail = event.stage, event.detail

    def exceeded(self) -> bool:
        """Whether the limit was."""
        return self.found > 0

    def look(self) -> bool:
        """Compare what is resident with the limit; whether it is exceeded now or was before."""
        if not self.found:
            resident = resident_bytes()
            self.found = resident if resident > self.limit else 0
        return self.exceeded()

    def error(self) -> WsecError:
        """What the user is told."""
        hint = "allow more with --max-memory"
        if self.stage in _UNPLACED:
            hint += ", use fewer cores with --region, or let kernels take turns with --mode sequential, which places and routes none"
        return WsecError(
            "WSEC376",
            "compiling takes more memory than it may",
            where=f"stage {self.stage}" + (f", {self.detail}" if self.detail else ""),
            expected=f"at most {_megabytes(self.limit)}",
            found=f"{_megabytes(self.found)}, {_megabytes(self.before)} of them before it began",
            hint=hint,
        )

    def run(self) -> None:
        """Look on until the compilation ends, and see to it that it does where the limit is exceeded."""
        from wsec.compiler.running_solvers import stop_solvers

        while not self._over.wait(_SAMPLE_SECONDS):
            if self.look():
                stop_solvers()
                self._interrupt()

    def _interrupt(self) -> None:
        if _is_busy(self._thread):
            return  # the next look is soon
        with self._lock:
            if not self._over.is_set():
                _raise_in(self._thread, MemoryLimitExceeded)
        self._over.wait(_AGAIN_SECONDS)

    def end(self) -> None:
        """Nothing is raised any more."""
        with self._lock:
            self._over.set()
        _raise_in(self._thread, None)


@contextlib.contextmanager
def memory_limit(limit: int | None) -> Iterator[MemoryWatch | None]:
    """Raises `WsecError` out of the block if the process comes to hold more than `limit` bytes; None for no limit.

    Raises:
        WsecError: WSEC376.
    """
    if limit is None:
        yield None
        return
    watch = MemoryWatch(limit, resident_bytes())
    if watch.look():
        raise watch.error()
    thread = threading.Thread(target=watch.run, name="wsec-memory", daemon=True)
    thread.start()
    try:
        try:
            yield watch
        finally:  # a second time below where the exception comes on the way out
            watch.end()
    except (MemoryLimitExceeded, Exception):
        if watch.exceeded():  # whatever else a search that was asked to stop makes of it
            raise watch.error() from None
        raise
    finally:
        watch.end()
        thread.join()


def either(first: Callable[[], bool] | None, second: Callable[[], bool]) -> Callable[[], bool]:
    """Whether one of two wants a search to end."""
    return second if first is None else lambda: first() or second()


def resident_bytes() -> int:
    """The memory of this process that is in the machine's, mapped files included: RES of `top`."""
    import psutil

    resident: int = psutil.Process().memory_info().rss
    return resident


def _is_busy(thread: int) -> bool:
    """Whether a thread imports a module, which would stay half there, or is called back by LLVM, which swallows exceptions."""
    frame = sys._current_frames().get(thread)  # noqa: SLF001 - the documented way to ask
    while frame is not None:
        if str(frame.f_globals.get("__name__", "")).startswith(_NOT_INTERRUPTED):
            return True
        frame = frame.f_back
    return False


def _raise_in(thread: int, exception: type[BaseException] | None) -> None:
    """Raise an exception in a thread of this process at its next step of Python code; None takes one back that is not raised yet."""
    wanted = None if exception is None else ctypes.py_object(exception)
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), wanted)


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.0f} MB"
