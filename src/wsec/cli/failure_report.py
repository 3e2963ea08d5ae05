"""How far a compilation came that failed: one JSON file beside the place of the plan."""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from wsec.compiler.errors import WsecError
    from wsec.driver import StageEvent

_SUFFIX = ".failed.json"


@dataclass
class Progress:
    """What a compilation has done so far, from what its observer hears.

    Attributes:
        stages: The stages that ended, with their seconds.
        stage: The one that runs; empty between two.
        details: What each stage said last; placement says its interval and bound.
    """

    stages: dict[str, float] = field(default_factory=dict)
    stage: str = ""
    details: dict[str, str] = field(default_factory=dict)

    def watch(self, event: StageEvent) -> None:
        """Note an event."""
        if event.seconds is not None:
            self.stages[event.stage] = self.stages.get(event.stage, 0.0) + event.seconds
            self.stage = ""
            return
        self.stage = event.stage
        if event.detail:
            self.details[event.stage] = event.detail


def report_path(plan: Path) -> Path:
    """Where the file is: beside the plan, which is left alone."""
    return plan.with_name(f"{plan.name}{_SUFFIX}")


def write_failure(plan: Path, model: Path, target: str, progress: Progress, error: WsecError) -> None:
    """Write how far the compilation came, and say in a note of the error where; what ends in the first stage leaves no file."""
    if not progress.stages:
        return
    path = report_path(plan)
    contents = {
        "model": str(model),
        "target": target,
        "plan": str(plan),
        "stages": [{"stage": name, "seconds": seconds} for name, seconds in progress.stages.items()],
        "stopped_in": progress.stage,
        "details": progress.details,
        "error": {**error.to_json(), "notes": list(getattr(error, "__notes__", ()))},
    }
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        partial.write_text(json.dumps(contents, indent=1) + "\n", encoding="utf-8")
        partial.replace(path)
    except OSError as problem:
        partial.unlink(missing_ok=True)
        error.add_note(f"how far it came cannot be written to {path}: {problem.strerror}")
        return
    error.add_note(f"how far it came is in {path}")


def forget_failure(plan: Path) -> None:
    """Remove the file of an earlier compilation to this place, which succeeded now."""
    with contextlib.suppress(OSError):  # somebody else's folder: the plan is written all the same
        report_path(plan).unlink(missing_ok=True)
