"""How long what runs will still take, where something tells: the last compilation of the same model, or a share that is done.

Nothing is said where nothing tells: a first compilation shows what it took so far.
"""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from wsec.cli.output import seconds
from wsec.runtime.whole_file import write_whole

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from wsec.driver import Options, StageEvent

_KEPT = 64  # compilations
_MOST_STAGES = 1000
_LEAST_SHARE = 0.05  # less tells nothing
_LEAST_SECONDS = 1.0
_BEYOND = 1.25  # of what a stage took last time: it is another one now


@dataclass
class StageClock:
    """Time of a compilation: since it began, and what the stages of the last one like it say is left.

    Attributes:
        last: The stages then, in order, some of them more than once, with their seconds; empty where it is not known.
        now: The clock.
        ended: Those that ended now.
        stage: The one that runs; empty between two.
    """

    last: Sequence[tuple[str, float]]
    now: Callable[[], float] = time.perf_counter
    ended: list[tuple[str, float]] = field(default_factory=list)
    stage: str = ""
    _began: float = 0.0
    _stage_began: float = 0.0

    def __post_init__(self) -> None:
        self._began = self._stage_began = self.now()

    def watch(self, event: StageEvent) -> None:
        """Note an event."""
        if event.seconds is not None:
            self.ended.append((event.stage, event.seconds))
            self.stage = ""
        elif event.stage != self.stage:
            self.stage, self._stage_began = event.stage, self.now()

    def left(self) -> float | None:
        """Seconds; None where the last compilation does not tell, or this one is not like it."""
        at = len(self.ended)
        if at >= len(self.last) or [name for name, _ in self.ended] != [name for name, _ in self.last[:at]]:
            return None
        stage, took = self.last[at]
        spent = self.now() - self._stage_began if self.stage else 0.0
        if self.stage not in {stage, ""} or spent > max(took * _BEYOND, _LEAST_SECONDS):
            return None
        return max(took - spent, 0.0) + sum(later for _, later in self.last[at + 1 :])

    def text(self) -> str:
        """Such as `12 s, about 30 s left`; empty in the first second."""
        return _text(self.now() - self._began, self.left())


@dataclass
class ShareClock:
    """Time of what says which share of it is done."""

    share: float = 0.0
    now: Callable[[], float] = time.perf_counter
    _began: float = 0.0

    def __post_init__(self) -> None:
        self._began = self.now()

    def text(self) -> str:
        """As of `StageClock`."""
        spent = self.now() - self._began
        left = spent * (1 / self.share - 1) if self.share >= _LEAST_SHARE else None
        return _text(spent, left)


def _text(spent: float, left: float | None) -> str:
    if spent < _LEAST_SECONDS:
        return ""
    said = f"{spent:,.0f} s"
    return (
        said if left is None or left < _LEAST_SECONDS else f"{said}, about {seconds(float(round(left)))} left"
    )


class StageTimes:
    """What stages of the last compilations took, in one small file of the user's cache folder."""

    def __init__(self, path: Path, model: Path, options: Options) -> None:
        """`model` and `options` are those of the compilation that is asked after."""
        size = model.stat().st_size if model.is_file() else 0
        named = f"{model.resolve()}\n{size}\n{options!r}"
        self._key = hashlib.sha256(named.encode()).hexdigest()[:16]
        self._path = path

    def read(self) -> list[tuple[str, float]]:
        """Of the last compilation of this model with these options, in order; empty where there is none."""
        return self._all().get(self._key, [])

    def keep(self, stages: Sequence[tuple[str, float]]) -> None:
        """Note what they took now; a folder that cannot be written keeps nothing, which costs no more than a guess."""
        found = self._all()
        found.pop(self._key, None)
        kept = {**found, self._key: list(stages)[:_MOST_STAGES]}
        newest = dict(list(kept.items())[-_KEPT:])
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(self._path, json.dumps(newest).encode())
        except OSError:
            return

    def _all(self) -> dict[str, list[tuple[str, float]]]:
        try:
            found = json.loads(self._path.read_text(encoding="utf-8"))
            return {
                str(key): [(str(stage), float(took)) for stage, took in stages]
                for key, stages in found.items()
            }
        except (OSError, ValueError, AttributeError, TypeError):  # none yet, or something else is there
            return {}


def stage_times_file() -> Path:
    """Beside the plans that `wsec check` keeps, which leaves it alone."""
    from wsec.checking.cache import default_folder

    return default_folder() / "stage-times"
