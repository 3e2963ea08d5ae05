"""Whether a host operator is the node that it names, and whether it is given what kernels make for it."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from wsec.compiler.plan import HOST
from wsec.compiler.plan_checker.findings import DATAFLOW, Finding, count, words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wsec.compiler.plan import HostOperator, Plan
    from wsec.compiler.plan_checker.model_facts import ModelFacts, OperatorFacts


def check_host_operators(plan: Plan, model: ModelFacts | None) -> list[Finding]:
    """Findings on the host operators of a plan."""
    arriving = Counter(link.tensor for link in plan.links() if link.target == HOST)
    of_kernels = {output.tensor for kernel in plan.kernels() for output in kernel.outputs}
    of_host = {value.name for item in plan.host_operators for value in item.outputs}
    present = of_kernels | of_host | {value.name for value in plan.inputs}
    findings: list[Finding] = []
    for item in plan.host_operators:
        node = None if model is None else model.operator(item.name)
        if model is not None and node is not None:
            findings += _check_node(item, node, model)
        for name in item.inputs:
            if model is not None and name not in present and name not in model.initializers:
                rule = "a host operator reads what there is"
                expected = "an input, a weight, or what a kernel or host operator gives"
                findings.append(Finding(DATAFLOW, rule, _where(item), expected, name or "nothing"))
            if name in of_kernels and arriving[name] != 1:
                rule = "what a host operator reads of a kernel goes to the host once"
                found = count(arriving[name], "link")
                findings.append(Finding(DATAFLOW, rule, f"{_where(item)}, input {name}", "1 link", found))
    return findings


def _check_node(item: HostOperator, node: OperatorFacts, model: ModelFacts) -> Iterator[Finding]:
    if item.operator != node.qualified_name:
        rule = "a host operator is the operator of its node"
        yield Finding(DATAFLOW, rule, _where(item), node.qualified_name, item.operator)
    read = list(dict.fromkeys(name for name in (*node.inputs, *node.captured) if name))
    if list(item.inputs) != read:
        rule = "a host operator reads what its node reads"
        yield Finding(DATAFLOW, rule, _where(item), words(read), words(item.inputs))
    given = [name for name in node.outputs if name]
    if [value.name for value in item.outputs] != given:
        rule = "a host operator gives what its node gives"
        found = words([value.name for value in item.outputs])
        yield Finding(DATAFLOW, rule, _where(item), words(given), found)
        return
    for value in item.outputs:
        tensor = model.tensors.get(value.name)
        expected = (None, value.dtype) if tensor is None else (tensor.shape, tensor.dtype)
        if (value.extents, value.dtype) != expected:
            rule = "shape and element type are the model's"
            where = f"{_where(item)}, output {value.name}"
            yield Finding(
                DATAFLOW, rule, where, f"{expected[1]} {expected[0]}", f"{value.dtype} {value.extents}"
            )


def _where(item: HostOperator) -> str:
    return f"host operator {item.name}"
