"""The kind `unsplit`: data spread over the rectangle, any operators, run whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wsec.compiler.plan_checker.findings import OPERATOR, READS, Finding, count, words
from wsec.compiler.plan_checker.positions import parts_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wsec.compiler.plan import Kernel, KernelInput, KernelOutput
    from wsec.compiler.plan_checker.model_facts import ModelFacts, OperatorFacts
    from wsec.compiler.sharding import Mesh


def check_unsplit(kernel: Kernel, nodes: list[OperatorFacts], model: ModelFacts) -> list[Finding]:
    """Findings on an unsplit kernel: its inputs and outputs are those of its nodes, each spread whole."""
    made = [name for node in nodes for name in node.outputs if name]
    read = dict.fromkeys(
        name for node in nodes for name in (*node.inputs, *node.captured) if name and name not in made
    )
    where = f"kernel {kernel.name}"
    findings: list[Finding] = []
    found = [entry.tensor for entry in kernel.inputs]
    if sorted(found) != sorted(read):
        rule = "inputs are the tensors that the nodes read"
        findings.append(Finding(OPERATOR, rule, where, words(list(read)), words(found)))
    given = [output.tensor for output in kernel.outputs]
    wanted = [name for name in made if name in _read_elsewhere(model, nodes)]
    if not set(wanted) <= set(given) or not set(given) <= set(made):
        rule = "outputs are the tensors that the nodes give"
        findings.append(Finding(OPERATOR, rule, where, words(wanted), words(given)))
    if kernel.chain:
        rule = "an unsplit kernel has no chain"
        findings.append(Finding(OPERATOR, rule, where, "no steps", count(len(kernel.chain), "step")))
    entries: list[KernelInput | KernelOutput] = [*kernel.inputs, *kernel.outputs]
    for entry in entries:
        findings += _check_spread(entry, kernel.mesh, f"{where}, tensor {entry.tensor}")
    return findings


def _read_elsewhere(model: ModelFacts, nodes: list[OperatorFacts]) -> set[str]:
    own = {node.name for node in nodes}
    others = [node for node in model.operators if node.name not in own]
    return {name for node in others for name in (*node.inputs, *node.captured)} | set(model.outputs)


def _check_spread(entry: KernelInput | KernelOutput, mesh: Mesh, where: str) -> Iterator[Finding]:
    sharding = entry.sharding
    plain = all(
        dimension.plain and parts_of(dimension, mesh) * dimension.block >= dimension.extent
        for dimension in sharding.dimensions
    )
    if len(sharding.dimensions) != 1 or not plain or sharding.root:
        rule = "data of an unsplit kernel is spread whole over its cores"
        found = f"view {list(sharding.shape)}, blocks {list(sharding.block_shape)}"
        yield Finding(READS, rule, where, "one dimension in plain blocks that hold all elements", found)
