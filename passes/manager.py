"""Runs passes one after the other and checks the model before the first and after each.

Everything else that may happen between passes (printing, timing, dumping) is a callback.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wsec.compiler.errors import WsecError
from wsec.compiler.importer.naming import name_nodes
from wsec.compiler.importer.shapes import infer_open_shapes
from wsec.passes.base import PassResult
from wsec.passes.failures import is_custom, pass_failed, pass_took_too_long, wrong_result
from wsec.passes.time_limit import TimeLimitExceeded, time_limit
from wsec.passes.verifier import signature_of, verify_model, verify_signature

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import onnx_ir as ir

    from wsec.passes.base import Pass
    from wsec.passes.verifier import Finding, Signature

_SHOWN_FINDINGS = 20


@dataclass(frozen=True, slots=True)
class PipelineStep:
    """What a callback is told: once before the first pass, and once after each.

    Attributes:
        index: 0 before the first pass, n after the nth.
        total: How many passes there are.
        previous: The pass that has just run; None before the first.
        result: What it returned; None before the first.
        following: The pass that will run next; None after the last.
        seconds: The time of the pass with its verification, for display only.
        model: The model as it stands; a callback only reads it.
    """

    index: int
    total: int
    previous: Pass | None
    result: PassResult | None
    following: Pass | None
    seconds: float
    model: ir.Model


def run_pipeline(
    model: ir.Model,
    passes: Sequence[Pass],
    *,
    callback: Callable[[PipelineStep], None] | None = None,
    limit_seconds: float | None = None,
) -> bool:
    """Run all passes over `model`, in place; says whether any changed it.

    Args:
        model: The model.
        passes: In the order in which they run.
        callback: Called before the first pass and after each.
        limit_seconds: The longest that one pass may take, where that can be held (see `time_limit`).

    Raises:
        WsecError: WSEC401 the model is broken before the first pass, WSEC402 a pass broke it, WSEC406 a pass of somebody
            else's raised, WSEC407 a pass took too long. What a pass of wsec itself raises is a bug and passes through,
            with a note that names the pass.
    """
    _check(model, None, 0, ())
    signature = signature_of(model)
    modified = False
    if callback is not None:
        following = passes[0] if passes else None
        callback(PipelineStep(0, len(passes), None, None, following, 0.0, model))
    for index, current in enumerate(passes, 1):
        started = time.perf_counter()
        result = _run(model, current, index, len(passes), limit_seconds)
        if result.modified or is_custom(current):
            _settle(model, current, index, len(passes), signature)
        modified |= result.modified
        if callback is not None:
            following = passes[index] if index < len(passes) else None
            seconds = time.perf_counter() - started
            callback(PipelineStep(index, len(passes), current, result, following, seconds, model))
    return modified


def _run(model: ir.Model, current: Pass, index: int, total: int, limit: float | None) -> PassResult:
    """The result of one pass; what a pass of somebody else's raises becomes an error that names it."""
    try:
        with time_limit(limit):
            result: object = current.run(model)
    except TimeLimitExceeded as error:
        raise pass_took_too_long(current, index, total, limit or 0, error) from error
    except (Exception, SystemExit) as error:
        if isinstance(error, WsecError) or not is_custom(current):
            error.add_note(f"in pass {index} of {total}: {current}")
            raise
        raise pass_failed(current, index, total, error) from error
    if not (isinstance(result, PassResult) and isinstance(result.modified, bool)):
        found = result.modified if isinstance(result, PassResult) else result
        raise wrong_result(current, index, total, found)
    return result


def _settle(
    model: ir.Model, current: Pass, index: int, total: int, before: tuple[Signature, Signature]
) -> None:
    """Check what a pass left, and give names and shapes to what it added."""
    try:
        if is_custom(current):
            name_nodes(model)
        _check(model, current, index, verify_signature(model, before))
        infer_open_shapes(model)
    except Exception as error:  # the model may be broken beyond what can be checked
        if isinstance(error, WsecError) or not is_custom(current):
            raise
        raise pass_failed(current, index, total, error) from error


def _check(model: ir.Model, after: Pass | None, index: int, more: tuple[Finding, ...]) -> None:
    findings = (*more, *verify_model(model))
    if not findings:
        return
    shown = [str(finding) for finding in findings[:_SHOWN_FINDINGS]]
    if len(findings) > len(shown):
        shown.append(f"and {len(findings) - len(shown)} more")
    count = f"{len(findings)} finding{'s' * (len(findings) != 1)}"
    if after is None:
        raise WsecError(
            "WSEC401",
            "the model is broken before the first pass",
            where="\n".join(shown),
            expected="a model in static single assignment form",
            found=count,
            hint="check what built or changed the model before the passes",
        )
    raise WsecError(
        "WSEC402",
        f"the pass {after.name} broke the model",
        where="\n".join([f"pass {index}: {after}", *shown]),
        expected="a model in static single assignment form after each pass",
        found=count,
        hint=f"leave {after.name} out, or mend it; --dump-passes DIR shows the model before and after it",
    )
