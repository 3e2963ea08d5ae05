"""Checks models one after the other: from the cache where nothing that matters has changed, else by compiling them."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from typing import TYPE_CHECKING

from wsec.checking.baseline import (
    Baseline,
    BaselineEntry,
    entry_of,
    read_baseline,
    require_same_target,
    write_baseline,
)
from wsec.checking.files import check_file_place
from wsec.checking.identity import (
    is_cacheable,
    model_digest,
    options_digest,
    plan_key,
    target_digest,
    target_of,
    weights_files,
)
from wsec.checking.limits import Limits, regressions
from wsec.checking.records import CheckResult, CheckStatus, Figures, Finding, ModelCheck, Outcome, Verdict
from wsec.compiler.errors import WsecError
from wsec.compiler.plan import PLAN_FORMAT
from wsec.compiler.plan_io import sha256_of_file

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from wsec.checking.cache import Cache
    from wsec.driver import Options, StageEvent
    from wsec.loaded_plan import Plan


def _ignore(_event: StageEvent) -> None:
    """The observer of those who do not watch."""


@dataclass(frozen=True, slots=True)
class CheckRequest:
    """What to check for.

    Attributes:
        options: How models are compiled.
        limits: What their figures are held against.
        verify: Execute plans and compare with onnxruntime.
        baseline: A file of figures to compare with, if any.
        update: Write the figures into that file instead.
        cache: Where plans are kept; None for no cache.
        observer: Hears of every stage of a compilation.
    """

    options: Options
    limits: Limits = field(default_factory=Limits)
    verify: bool = True
    baseline: Path | None = None
    update: bool = False
    cache: Cache | None = None
    observer: Callable[[StageEvent], None] = _ignore


@dataclass(frozen=True, slots=True)
class _Job:
    request: CheckRequest
    baseline: Baseline | None
    options_sha256: str


def check_models(models: Sequence[Path], request: CheckRequest) -> CheckResult:
    """Compile, verify and compare models. Nothing is raised: what is wrong with a model is part of the result.

    With `update`, the baseline is written if every model could be compiled and none computes other numbers; growth is then no regression.
    """
    name = str(request.options.target)
    try:
        target = target_of(request.options)
        name, digest = target.name, target_digest(target)
        baseline = _baseline(request, name, digest)
        job = _Job(request, baseline, _options_digest(request.options))
    except WsecError as error:
        return CheckResult(name, (), errors=(error,))
    checks: list[ModelCheck] = []
    entries: dict[Path, BaselineEntry] = {}
    for model in models:
        check, entry = _check(model, job)
        checks.append(check)
        if entry is not None:
            entries[model] = entry
    result = CheckResult(name, tuple(checks), warnings=_warnings(request))
    broken = any(finding.kind == "numbers" for check in checks for finding in check.findings)
    if not request.update or request.baseline is None or broken or result.status is CheckStatus.ERROR:
        return result
    try:
        write_baseline(request.baseline, version("wsec"), (name, digest), entries)
    except WsecError as error:
        return replace(result, errors=(error,))
    return replace(result, updated=str(request.baseline))


def compile_cached(model: Path, options: Options, cache: Cache | None) -> Plan:
    """The plan of a model, from the cache where it is there; it lives as long as what is returned.

    Raises:
        WsecError: As `wsec.compile`.
    """
    key = _key(model, options, cache)
    plan, cached = _compile(model, options, cache, key, _ignore)
    if key and cache is not None and not cached and key == _key(model, options, cache):
        known = cache.outcome(key[0])
        cache.keep(key[0], known or Outcome(PLAN_FORMAT, key[1], figures_of(plan), None), plan.folder)
    return plan


def figures_of(plan: Plan) -> Figures:
    """What is compared of a plan."""
    estimate = plan.estimate()
    operators = estimate.split.operators + estimate.host.operators
    return Figures(
        interval_cycles=estimate.interval_cycles,
        latency_cycles=estimate.latency_cycles,
        memory_bytes=estimate.fullest_core_bytes,
        sram_bytes=plan.record.target.core.sram_bytes,
        split_share=estimate.split.arithmetic,
        wafer_share=estimate.split.operators / operators if operators else 1.0,
        utilisation=estimate.utilisation,
        kernels=len(estimate.kernels),
    )


def _baseline(request: CheckRequest, target: str, digest: str) -> Baseline | None:
    if request.baseline is None:
        return None
    if request.update:
        check_file_place(request.baseline, "the baseline")
        return None
    baseline = read_baseline(request.baseline)
    require_same_target(baseline, request.baseline, target, digest)
    return baseline


def _options_digest(options: Options) -> str:
    try:
        return options_digest(options)
    except OSError:
        return ""  # compiling says what is wrong with the file


def _warnings(request: CheckRequest) -> tuple[WsecError, ...]:
    return () if request.cache is None else tuple(request.cache.warnings)


def _check(model: Path, job: _Job) -> tuple[ModelCheck, BaselineEntry | None]:
    """The check of a model, and what a baseline would say of it if it could be compiled."""
    request = job.request
    started = time.perf_counter()
    try:
        outcome, cached = _outcome(model, request)
    except WsecError as error:
        return ModelCheck(str(model), errors=(error,), seconds=time.perf_counter() - started), None
    entry, errors, notes = _compared(model, outcome, job)
    older = None if entry is None else entry.figures
    findings = list(regressions(outcome.figures, request.limits, older))
    verdict = outcome.verdict if request.verify else None
    if verdict is not None and not verdict.passed:
        findings.insert(0, _other_numbers(verdict))
    check = ModelCheck(
        model=str(model),
        figures=outcome.figures,
        baseline=older,
        verified=None if verdict is None else verdict.passed,
        findings=tuple(findings),
        errors=errors,
        notes=notes,
        cached=cached,
        seconds=time.perf_counter() - started,
    )
    return check, BaselineEntry(outcome.model_sha256, job.options_sha256, outcome.figures)


def _other_numbers(verdict: Verdict) -> Finding:
    return Finding(
        "numbers",
        "the plan computes other numbers than onnxruntime",
        "outputs within their tolerances",
        verdict.explanation,
    )


def _compared(
    model: Path, outcome: Outcome, job: _Job
) -> tuple[BaselineEntry | None, tuple[WsecError, ...], tuple[str, ...]]:
    """What the baseline says of the model, why it says nothing, and what differs besides figures."""
    path = job.request.baseline
    if job.baseline is None or path is None:
        return None, (), ()
    try:
        entry = entry_of(job.baseline, path, model, job.options_sha256)
    except WsecError as error:
        return None, (error,), ()
    notes = []
    if entry.model_sha256 != outcome.model_sha256:
        notes.append("the model has changed since the baseline was written")
    if job.baseline.wsec != version("wsec"):
        notes.append(f"wsec {job.baseline.wsec} wrote the baseline, this is {version('wsec')}")
    return entry, (), tuple(notes)


def _outcome(model: Path, request: CheckRequest) -> tuple[Outcome, bool]:
    """What came of a model, and whether that was in the cache."""
    key = _key(model, request.options, request.cache)
    if key and request.cache is not None:
        found = request.cache.outcome(key[0])
        if found is not None and (found.verdict is not None or not request.verify):
            return found, True
    plan, cached = _compile(model, request.options, request.cache, key, request.observer)
    verdict = None
    if request.verify:
        verification = plan.verify()
        verdict = Verdict(verification.passed, verification.explanation)
    digest = key[1] if key else _digest_of(model, None)
    outcome = Outcome(PLAN_FORMAT, digest, figures_of(plan), verdict)
    # what changed while it was compiled belongs to another key
    if key and request.cache is not None and key == _key(model, request.options, request.cache):
        request.cache.keep(key[0], outcome, None if cached else plan.folder)
    return outcome, cached


def _compile(
    model: Path,
    options: Options,
    cache: Cache | None,
    key: tuple[str, str] | None,
    observer: Callable[[StageEvent], None],
) -> tuple[Plan, bool]:
    """The plan, and whether it was in the cache."""
    found = None if cache is None or key is None else cache.plan(key[0])
    if found is not None:
        return found, True
    from wsec.driver import compile_model

    return compile_model(model, options, None, observer), False


def _key(model: Path, options: Options, cache: Cache | None) -> tuple[str, str] | None:
    """The key of a plan and the digest of its model; None without a cache, and where compiling will say what is wrong."""
    if cache is None or not is_cacheable(options):
        return None
    try:
        digest = _digest_of(model, cache)
        return plan_key(model, digest, target_of(options), options), digest
    except OSError:
        return None


def _digest_of(model: Path, cache: Cache | None) -> str:
    """The digest of a model with its weights; which files these are is asked of the model itself once.

    Raises:
        OSError: A file cannot be read.
    """
    if cache is None:
        return model_digest(model, weights_files(model))
    own = sha256_of_file(model)
    weights = cache.weights_of(own)
    if weights is None:
        weights = weights_files(model)
        cache.keep_weights(own, weights)
    return model_digest(model, weights)
