"""Ends a call that takes too long, by an alarm of the operating system.

The alarm interrupts Python code, sleeping and waiting. It cannot interrupt a single call of compiled code that does not
return, and it needs the main thread and a system with interval timers: elsewhere there is no limit.
"""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

_AGAIN_SECONDS = 0.5  # until the next alarm, for code that swallowed the first


class TimeLimitExceeded(BaseException):
    """Raised where the call stands; no `Exception`, so that a handler of ordinary errors does not swallow it."""


def can_limit() -> bool:
    """Whether a limit holds here: in the main thread, on a system with interval timers."""
    return hasattr(signal, "setitimer") and threading.current_thread() is threading.main_thread()


@contextmanager
def time_limit(seconds: float | None) -> Iterator[None]:
    """Raises `TimeLimitExceeded` inside the block once it has taken `seconds`; None for no limit."""
    if seconds is None or not can_limit():
        yield
        return
    armed = True

    def ring(_signum: int, _frame: FrameType | None) -> None:
        if armed:
            raise TimeLimitExceeded

    previous = signal.signal(signal.SIGALRM, ring)
    others = signal.setitimer(signal.ITIMER_REAL, seconds, _AGAIN_SECONDS)
    try:
        try:
            yield
        finally:
            armed = False
    finally:  # runs also where the alarm rings on the way out
        signal.setitimer(signal.ITIMER_REAL, *others)
        signal.signal(signal.SIGALRM, previous)
