"""What a plan says of itself as a whole: format, region, interface of the model, interval."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wsec.compiler.plan import PLAN_FORMAT
from wsec.compiler.plan_checker.findings import HEADER, Finding, words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wsec.compiler.plan import Plan, Value
    from wsec.compiler.plan_checker.model_facts import ModelFacts


def check_header(plan: Plan, model: ModelFacts | None) -> list[Finding]:
    """Findings on the plan's own entries."""
    findings = [*_check_format(plan), *_check_region(plan), *_check_interval(plan)]
    if model is not None:
        findings += _check_interface("inputs", plan.inputs, model.inputs, model)
        findings += _check_interface("outputs", plan.outputs, model.outputs, model)
    return findings


def _check_format(plan: Plan) -> Iterator[Finding]:
    if plan.format != PLAN_FORMAT:
        yield Finding(HEADER, "the format is known", "format", str(PLAN_FORMAT), str(plan.format))


def _check_region(plan: Plan) -> Iterator[Finding]:
    grid = plan.target.grid
    if not (0 < plan.region_width <= grid.width and 0 < plan.region_height <= grid.height):
        expected = f"at most {grid.width}x{grid.height} cores"
        found = f"{plan.region_width}x{plan.region_height} cores"
        yield Finding(HEADER, "the region lies on the wafer", "region", expected, found)


def _check_interval(plan: Plan) -> Iterator[Finding]:
    interval, bound = plan.placement.interval, plan.placement.interval_bound
    if interval < bound:
        rule = "the interval is not below its bound"
        yield Finding(HEADER, rule, "placement", f"at least {bound} cycles", f"{interval} cycles")
    slowest = max(plan.kernels(), key=lambda kernel: kernel.cycles.alone, default=None)
    if slowest is not None and interval < slowest.cycles.alone:
        rule = "the interval is not below a kernel's arithmetic and SRAM ports"
        expected = f"at least {slowest.cycles.alone} cycles, of kernel {slowest.name}"
        yield Finding(HEADER, rule, "placement", expected, f"{interval} cycles")


def _check_interface(
    side: str, values: tuple[Value, ...], names: tuple[str, ...], model: ModelFacts
) -> Iterator[Finding]:
    if tuple(value.name for value in values) != names:
        found = words([value.name for value in values])
        yield Finding(HEADER, f"{side} are those of the lowered model", side, words(names), found)
        return
    for value in values:
        tensor = model.tensors.get(value.name)
        if tensor is None or value.container != "tensor":
            continue
        if (tensor.shape, tensor.dtype) != (value.extents, value.dtype):
            expected = f"{tensor.dtype} {list(tensor.shape)}"
            rule = "shape and element type are the model's"
            found = f"{value.dtype} {list(value.shape or ())}"
            yield Finding(HEADER, rule, f"{side}, {value.name}", expected, found)
