"""The baseline: figures that a team has accepted, in a JSON file that lies beside its models (docs/check.md)."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from wsec.checking.files import write_text
from wsec.checking.records import Figures
from wsec.compiler.errors import WsecError
from wsec.compiler.plan import PLAN_FORMAT
from wsec.compiler.record_json import SchemaViolationError, from_plain, to_plain

if TYPE_CHECKING:
    from collections.abc import Mapping

BASELINE_FORMAT = 1
_AGAIN = "write it again with --update-baseline, and look at what changed"


@dataclass(frozen=True, slots=True)
class BaselineEntry:
    """Of one model: the digests of what was compiled, and its figures."""

    model_sha256: str
    options_sha256: str
    figures: Figures


@dataclass(frozen=True, slots=True)
class Baseline:
    """The file.

    Attributes:
        format: Of the file.
        wsec: Version that wrote it.
        plan_format: Of that version's plans.
        target: Name of the machine.
        target_sha256: Digest of its description.
        models: By path, relative to the folder of the file.
    """

    format: int
    wsec: str
    plan_format: int
    target: str
    target_sha256: str
    models: dict[str, BaselineEntry]


def read_baseline(path: Path) -> Baseline:
    """The baseline in a file.

    Raises:
        WsecError: WSEC520 there is none, WSEC521 it cannot be read.
    """
    try:
        plain = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise WsecError(
            code="WSEC520",
            what="the baseline is missing",
            where=str(path),
            expected="a file that `wsec check --update-baseline` wrote",
            found="nothing",
            hint="make it with --update-baseline, and keep it with the models",
        ) from error
    except (OSError, ValueError, RecursionError) as error:
        raise _unreadable(path, "a baseline as wsec wrote it", str(error)) from error
    found = plain.get("format") if isinstance(plain, dict) else None
    if found != BASELINE_FORMAT:
        raise _unreadable(path, f"format {BASELINE_FORMAT}", f"format {found}" if found else "no format")
    try:
        baseline: Baseline = from_plain(plain, Baseline)
    except SchemaViolationError as violation:
        raise _unreadable(
            path, violation.expected, f"{violation.found}, at {violation.path or 'the top'}"
        ) from violation
    return baseline


def require_same_target(baseline: Baseline, path: Path, target: str, digest: str) -> None:
    """Refuse to compare cycles of other machines, or of plans of another format.

    Raises:
        WsecError: WSEC522, WSEC523.
    """
    if baseline.target_sha256 != digest:
        same = baseline.target == target
        raise WsecError(
            code="WSEC522",
            what="the baseline is for another target",
            where=str(path),
            expected=f"figures of {target}" + (" as it is described now" if same else ""),
            found=f"figures of {baseline.target}" + (", described otherwise" if same else ""),
            hint=f"keep a file for each target: --baseline; or {_AGAIN}",
        )
    if baseline.plan_format != PLAN_FORMAT:
        raise WsecError(
            code="WSEC523",
            what="the baseline is stale: figures of plans of another format are not comparable",
            where=str(path),
            expected=f"plan format {PLAN_FORMAT}",
            found=f"plan format {baseline.plan_format}, of wsec {baseline.wsec}",
            hint=_AGAIN,
        )


def entry_of(baseline: Baseline, path: Path, model: Path, options_sha256: str) -> BaselineEntry:
    """What a baseline says of a model that is compiled with these options.

    Raises:
        WsecError: WSEC523 it was compiled with others, WSEC524 it says nothing.
    """
    name = model_name(path, model)
    if name not in baseline.models:
        raise WsecError(
            code="WSEC524",
            what="the baseline does not know this model",
            where=f"{path}: {name}",
            expected="figures of the model",
            found=f"figures of {', '.join(sorted(baseline.models)) or 'none'}",
            hint="add it with --update-baseline",
        )
    entry = baseline.models[name]
    if entry.options_sha256 != options_sha256:
        raise WsecError(
            code="WSEC523",
            what="the baseline is stale: the model was compiled with other options",
            where=f"{path}: {name}",
            expected="the options of this check",
            found="other options, or other contents of the files that they name",
            hint=f"give the same options, or {_AGAIN}",
        )
    return entry


def write_baseline(
    path: Path, version: str, target: tuple[str, str], entries: Mapping[Path, BaselineEntry]
) -> None:
    """Write the figures of models; those that an older file has of others stay, if they are of the same kind.

    Args:
        path: Of the file.
        version: Of wsec.
        target: Name and digest.
        entries: By the path of the model.

    Raises:
        WsecError: WSEC525.
    """
    kept: dict[str, BaselineEntry] = {}
    try:
        older = read_baseline(path)
        require_same_target(older, path, *target)
        kept = older.models
    except WsecError:
        pass  # its figures could not be compared with these: that is why it is written again
    models = {**kept, **{model_name(path, model): entry for model, entry in entries.items()}}
    baseline = Baseline(BASELINE_FORMAT, version, PLAN_FORMAT, *target, models=dict(sorted(models.items())))
    write_text(path, json.dumps(to_plain(baseline), indent=2) + "\n", "the baseline")


def model_name(baseline: Path, model: Path) -> str:
    """The path of a model relative to the baseline's folder, the same from whichever folder wsec is started."""
    try:
        return Path(os.path.relpath(model.resolve(), baseline.resolve().parent)).as_posix()
    except ValueError:  # on another drive
        return model.resolve().as_posix()


def _unreadable(path: Path, expected: str, found: str) -> WsecError:
    return WsecError(
        code="WSEC521",
        what="the baseline cannot be read",
        where=str(path),
        expected=expected,
        found=found,
        hint="take it from version control again, or write it with --update-baseline",
    )
