"""Element-wise chains: each step is its node, wired and placed as ONNX broadcasts.

An operand broadcasts to the output's *view*, which may cut a dimension of the tensor in two (channels in groups and
channels of a group). Whether the view's broadcasting is the tensor's is decided by the strides with which the operand
is walked as the output is walked in row-major order: both walks, with dimensions joined that are one run, are equal.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from wsec.compiler.operators import is_elementwise
from wsec.compiler.plan_checker.expectation import Operand, aligned, broadcast
from wsec.compiler.plan_checker.findings import OPERATOR, Finding, words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wsec.compiler.plan import ChainStep, Kernel
    from wsec.compiler.plan_checker.expectation import Loop
    from wsec.compiler.plan_checker.model_facts import ModelFacts, OperatorFacts

RESULT = "result"


def check_chain(kernel: Kernel, nodes: list[OperatorFacts], model: ModelFacts, anchor: str) -> list[Finding]:
    """Findings on the steps of a chain; `anchor` is the tensor that the kernel's own operator gives, if there is one."""
    where = f"kernel {kernel.name}, chain"
    if len(nodes) != len(kernel.chain):
        rule = "a chain has a step for each node behind the kernel's own"
        found = words([step.operator for step in kernel.chain])
        return [Finding(OPERATOR, rule, where, words([node.op_type for node in nodes]), found)]
    wires = {anchor: RESULT} if anchor else {}
    findings: list[Finding] = []
    for position, (step, node) in enumerate(zip(kernel.chain, nodes, strict=True)):
        place = f"{where} step {position}"
        findings += _check_step(step, node, kernel, model, place)
        findings += _check_wiring(step, node, kernel, wires, place)
        wires[node.outputs[0]] = step.output
    names = [*(entry.role for entry in kernel.inputs), RESULT, *(step.output for step in kernel.chain)]
    if len(set(names)) < len(names):
        rule = "outputs of steps have names of their own"
        findings.append(Finding(OPERATOR, rule, where, "each name once", words(names)))
    return findings


def chain_operands(
    kernel: Kernel, nodes: list[OperatorFacts], model: ModelFacts, output: tuple[Loop, ...]
) -> tuple[Operand, ...]:
    """What the steps read from the kernel's inputs; without reads where the view is not that of the tensor."""
    entries = {entry.role: entry for entry in kernel.inputs}
    operands = {}
    for step, node in zip(kernel.chain, nodes, strict=False):
        for tensor, wire in zip(node.inputs, step.inputs, strict=False):
            if wire not in entries or not tensor:
                continue
            view = entries[wire].sharding.shape
            alike = _broadcasts_alike(view, model.shape(tensor), output, model.shape(node.outputs[0]))
            pairs = zip(output, view, strict=True) if alike else ()
            reads = tuple(broadcast(loop, extent) for loop, extent in pairs)
            operands[wire] = Operand(wire, tensor, reads, at_root=True, view_fits=alike)
    return tuple(operands.values())


def check_views(kernel: Kernel, operands: tuple[Operand, ...], model: ModelFacts) -> Iterator[Finding]:
    """Findings on operands whose view does not broadcast as their tensor does."""
    entries = {entry.role: entry for entry in kernel.inputs}
    for operand in operands:
        if not operand.view_fits:
            rule = "an operand of a chain broadcasts to the output's view as its tensor to the output"
            where = f"kernel {kernel.name}, input {operand.role}"
            expected = (
                f"a view of {list(model.shape(operand.tensor))} over {list(kernel.outputs[0].sharding.shape)}"
            )
            yield Finding(OPERATOR, rule, where, expected, str(list(entries[operand.role].sharding.shape)))


def _check_step(
    step: ChainStep, node: OperatorFacts, kernel: Kernel, model: ModelFacts, where: str
) -> Iterator[Finding]:
    if step.operator != node.op_type or not is_elementwise(node.domain, node.op_type):
        rule = "a step is its node, which is element-wise"
        yield Finding(OPERATOR, rule, where, f"{node.op_type} of {node.name}, element-wise", step.operator)
    if step.attributes != node.attributes:
        rule = "a step has the attributes of its node"
        yield Finding(OPERATOR, rule, where, str(node.attributes), str(step.attributes))
    tensor = model.tensors[node.outputs[0]]
    if step.dtype != tensor.dtype:
        rule = "a step has the element type of its node"
        yield Finding(OPERATOR, rule, where, tensor.dtype, step.dtype)
    shape = model.shape(kernel.outputs[0].tensor)
    if tensor.shape != shape:
        rule = "a step has the shape of the kernel's output"
        yield Finding(OPERATOR, rule, where, str(list(shape)), str(list(tensor.shape)))


def _check_wiring(
    step: ChainStep, node: OperatorFacts, kernel: Kernel, wires: dict[str, str], where: str
) -> Iterator[Finding]:
    reads = {entry.role: entry.tensor for entry in kernel.inputs}
    expected = [
        wires.get(tensor, f"an input that reads {tensor}" if tensor else "") for tensor in node.inputs
    ]
    fits = len(step.inputs) == len(expected) and all(
        wire == wanted if tensor in wires or not tensor else reads.get(wire) == tensor
        for wire, wanted, tensor in zip(step.inputs, expected, node.inputs, strict=True)
    )
    if not fits:
        rule = "a step is wired as its node"
        yield Finding(OPERATOR, rule, where, words(expected), words(step.inputs))


def _broadcasts_alike(
    view: tuple[int, ...], shape: tuple[int, ...], loops: tuple[Loop, ...], output: tuple[int, ...]
) -> bool:
    """Whether walking the operand in the record's view is walking the tensor as ONNX broadcasts it."""
    extents = tuple(loop.extent for loop in loops)
    if len(view) != len(extents) or any(
        ours not in (1, all_) for ours, all_ in zip(view, extents, strict=True)
    ):
        return False
    return _walk(view, extents) == _walk(aligned(shape, len(output)), output)


def _walk(shape: tuple[int, ...], over: tuple[int, ...]) -> list[tuple[int, int]]:
    """Extent and stride of the runs in which a tensor is walked, while `over` is walked in row-major order."""
    strides, step = [], 1
    for extent in reversed(shape):
        strides.append(0 if extent == 1 else step)
        step *= extent
    runs: list[tuple[int, int]] = []
    for extent, stride in zip(over, reversed(strides), strict=True):
        if extent == 1:
            continue
        if runs and runs[-1][1] == stride * extent:
            runs[-1] = (runs[-1][0] * extent, stride)
        else:
            runs.append((extent, stride))
    return runs
