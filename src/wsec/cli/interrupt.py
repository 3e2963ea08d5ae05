"""Ctrl-C while compiling: the first one during placement stops the search and keeps its best, the next one leaves.

In every other stage there is nothing to keep, so the first one leaves at once. So does a request to terminate, which else
would leave half a plan folder beside the plan.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType, TracebackType
    from typing import Self

    from wsec.driver import StageEvent

_STOPPABLE = "placement"
_MESSAGE = b"\ninterrupted: keeping the best plan so far; Ctrl-C again leaves at once\n"


class InterruptHandler:
    """Owns SIGINT and SIGTERM inside a `with` block; `stop` is what the driver polls, `watch` hears of the stages."""

    def __init__(self) -> None:
        self._stage = ""
        self._stopping = False
        self._previous = signal.getsignal(signal.SIGINT)
        self._previous_termination = signal.getsignal(signal.SIGTERM)

    def __enter__(self) -> Self:
        if self._previous is not signal.SIG_IGN:  # a background job that must not hear of Ctrl-C
            signal.signal(signal.SIGINT, self._handle)
        signal.signal(signal.SIGTERM, _leave)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        signal.signal(signal.SIGINT, self._previous)
        signal.signal(signal.SIGTERM, self._previous_termination)

    def stop(self) -> bool:
        """Whether placement is asked to end."""
        return self._stopping

    def watch(self, event: StageEvent) -> None:
        """Remember which stage runs."""
        self._stage = event.stage if event.seconds is None else ""

    def _handle(self, _signum: int, _frame: FrameType | None) -> None:
        if self._stopping or self._stage != _STOPPABLE:
            raise KeyboardInterrupt
        self._stopping = True
        os.write(sys.__stderr__.fileno() if sys.__stderr__ else 2, _MESSAGE)  # print is not reentrant


def _leave(_signum: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
