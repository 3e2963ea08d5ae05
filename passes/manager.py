"""Runs passes one after the other and checks the model before the first and after each.

Everything else that may happen between passes (printing, timing, dumping) is a callback.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wsec.compiler.errors import WsecError
from wsec.compiler.importer.shapes import infer_shapes, unshaped_values
from wsec.passes.verifier import verify_model

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import onnx_ir as ir

    from wsec.passes.base import Pass, PassResult

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
) -> bool:
    """Run all passes over `model`, in place; says whether any changed it.

    Raises:
        WsecError: WSEC401 the model is broken before the first pass, WSEC402 a pass broke it. What a pass itself
            raises passes through, with a note that names the pass.
    """
    _check(model, None, 0)
    modified = False
    if callback is not None:
        following = passes[0] if passes else None
        callback(PipelineStep(0, len(passes), None, None, following, 0.0, model))
    for index, current in enumerate(passes, 1):
        started = time.perf_counter()
        try:
            result = current.run(model)
        except BaseException as error:
            error.add_note(f"in pass {index} of {len(passes)}: {current}")
            raise
        if result.modified:
            modified = True
            _check(model, current, index)
            if any(True for _ in unshaped_values(model)):
                infer_shapes(model)
        if callback is not None:
            following = passes[index] if index < len(passes) else None
            seconds = time.perf_counter() - started
            callback(PipelineStep(index, len(passes), current, result, following, seconds, model))
    return modified


def _check(model: ir.Model, after: Pass | None, index: int) -> None:
    findings = verify_model(model)
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
