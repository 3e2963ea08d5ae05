"""How far a compilation came that failed: one JSON file beside the place of the plan."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from wsec.cli.command import bug_report, traceback_of
from wsec.compiler.errors import WsecError
from wsec.runtime.report.failure import FAILURE_SUFFIX
from wsec.runtime.whole_file import write_whole

if TYPE_CHECKING:
    from pathlib import Path

    from wsec.driver import StageEvent


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
    return plan.with_name(f"{plan.name}{FAILURE_SUFFIX}")


def write_failure(plan: Path, model: Path, target: str, progress: Progress, error: Exception) -> None:
    """Write how far the compilation came, and say in a note of the error where.

    A compilation that did not begin leaves no file: wrong options, or a model that is not there.

    Args:
        plan: Where the plan would be.
        model: Path of the model.
        target: Name of the target.
        progress: What was heard of the compilation.
        error: Why it ended; what is no `WsecError` is a bug, and is written as WSEC600 with its traceback.
    """
    if not progress.stages and not (progress.stage and model.is_file()):
        return
    path = report_path(plan)
    said = error if isinstance(error, WsecError) else bug_report(error)
    contents: dict[str, object] = {
        "model": str(model),
        "target": target,
        "plan": str(plan),
        "stages": [{"stage": name, "seconds": seconds} for name, seconds in progress.stages.items()],
        "stopped_in": progress.stage,
        "details": progress.details,
        "error": {**said.to_json(), "notes": list(getattr(error, "__notes__", ()))},
        **({"traceback": traceback_of(error)} if said is not error else {}),
    }
    try:
        write_whole(path, (json.dumps(contents, indent=1) + "\n").encode())
    except OSError as problem:
        error.add_note(f"how far it came cannot be written to {path}: {problem.strerror}")
        return
    error.add_note(f"how far it came is in {path}; wsec report makes a page of it")


def forget_failure(plan: Path) -> None:
    """Remove the file of an earlier compilation to this place, which succeeded now."""
    with contextlib.suppress(OSError):  # somebody else's folder: the plan is written all the same
        report_path(plan).unlink(missing_ok=True)
