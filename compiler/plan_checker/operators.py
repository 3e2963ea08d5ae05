"""Whether a kernel computes the nodes that it names: kind, operands, output, arguments and chain."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from wsec.compiler.kernel_packages import CHECKER, blamed
from wsec.compiler.plan_checker.attention import expect_attention
from wsec.compiler.plan_checker.chain import chain_operands, check_chain, check_views
from wsec.compiler.plan_checker.expectation import Expectation, output_loops
from wsec.compiler.plan_checker.findings import OPERATOR, Finding, words
from wsec.compiler.plan_checker.kinds.custom import kind_named
from wsec.compiler.plan_checker.kinds.parts import check_parts, in_parts
from wsec.compiler.plan_checker.kinds.quantization import dequantized_weights, with_weights
from wsec.compiler.plan_checker.kinds.registry import KINDS
from wsec.compiler.plan_checker.kinds.unsplit import check_unsplit
from wsec.compiler.plan_checker.reads import check_reads

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from wsec.compiler.plan import Kernel
    from wsec.compiler.plan_checker.model_facts import ModelFacts, OperatorFacts

_TOLERANCE = 1e-6  # of floats that may have been through single precision


def check_operators(kernel: Kernel, model: ModelFacts) -> list[Finding]:
    """Findings on a kernel with sound shardings, against the nodes that it computes and what they must read."""
    nodes = [model.operator(name) for name in kernel.operators]
    known = [node for node in nodes if node is not None]
    if len(known) < len(nodes) or not known:
        return []  # dataflow names operators that the model does not have
    unshaped = [
        name for node in known for name in (*node.inputs, *node.outputs) if name and name not in model.tensors
    ]
    if unshaped:
        rule = "shapes of the lowered model are known"
        return [Finding(OPERATOR, rule, f"kernel {kernel.name}", "a shape for each tensor", words(unshaped))]
    if kernel.kind == "unsplit":
        return check_unsplit(kernel, known, model)
    return _check_split(kernel, known, model)


def _check_split(kernel: Kernel, nodes: list[OperatorFacts], model: ModelFacts) -> list[Finding]:
    if kernel.kind == "attention":
        return _check_attention(kernel, nodes, model)
    alone = kernel.kind == "elementwise"
    weights = dequantized_weights(nodes)
    nodes = [node for node in nodes if node not in weights]
    own, behind = (None, nodes) if alone else (nodes[0], nodes[1:])
    findings = [*_check_kind(kernel, nodes[0]), *_check_result(kernel, nodes)]
    if kernel.body:
        found = words([step.operator for step in kernel.body])
        findings.append(
            Finding(OPERATOR, "one operator needs no body", f"kernel {kernel.name}", "nothing", found)
        )
    if findings:
        return findings
    expectation = _expect(kernel, own, behind, model)
    for node in weights:
        expectation = with_weights(expectation, node, model)
    findings += check_chain(kernel, behind, model, own.outputs[0] if own else "")
    findings += check_parts(expectation, kernel)
    findings += check_views(kernel, expectation.operands, model)
    findings += _check_operands(kernel, expectation)
    findings += _check_arguments(kernel, expectation)
    return [*findings, *check_reads(kernel, expectation)]


def _check_attention(kernel: Kernel, nodes: list[OperatorFacts], model: ModelFacts) -> list[Finding]:
    findings = list(_check_result(kernel, nodes, [item.tensor for item in kernel.outputs if item.state]))
    own, behind = nodes[: len(nodes) - len(kernel.chain)], nodes[len(nodes) - len(kernel.chain) :]
    base, of_own = expect_attention(kernel, own, model)
    findings += of_own
    if base is None or findings:
        return findings
    extra = chain_operands(kernel, behind, model, base.output)
    expectation = replace(base, operands=(*base.operands, *extra))
    findings += check_chain(kernel, behind, model, own[-1].outputs[0])
    findings += check_views(kernel, extra, model)
    findings += _check_operands(kernel, expectation)
    return [*findings, *check_reads(kernel, expectation)]


def _expect(
    kernel: Kernel, own: OperatorFacts | None, behind: list[OperatorFacts], model: ModelFacts
) -> Expectation:
    if own is None:
        base = Expectation((), output_loops(model.shape(behind[-1].outputs[0])), {}, {})
    else:
        where = f"kernel {kernel.name}"
        kind = kind_named(kernel.kind, where)
        if kind is None:
            raise KeyError(kernel.kind)
        with blamed(kernel.kind, CHECKER, where):
            base = kind.expect(own, model)
    base = in_parts(base, kernel, own, model)
    extra = chain_operands(kernel, behind, model, base.output)
    others = () if behind else base.others
    return replace(base, operands=(*base.operands, *extra), others=others)


def _check_kind(kernel: Kernel, node: OperatorFacts) -> Iterator[Finding]:
    where = f"kernel {kernel.name}"
    if kernel.kind == "elementwise":
        return
    kind = kind_named(kernel.kind, where)
    if kind is None:
        known = words(["attention", *KINDS, "elementwise", "unsplit"])
        yield Finding(OPERATOR, "the kind is known", where, f"one of {known}", kernel.kind)
    elif node.qualified_name not in kind.operators:
        rule = "the kind computes the operator"
        found = f"{node.domain or 'ai.onnx'} {node.op_type} of {node.name}"
        yield Finding(OPERATOR, rule, where, words(kind.operators), found)


def _check_result(
    kernel: Kernel, nodes: list[OperatorFacts], states: Sequence[str] = ()
) -> Iterator[Finding]:
    """A chain gives one tensor, a kind of several outputs all that the node names; states stand behind."""
    kind = kind_named(kernel.kind, f"kernel {kernel.name}")
    several = len(nodes) == 1 and kind is not None and kind.several_outputs
    expected = [name for name in nodes[-1].outputs if name] if several else [nodes[-1].outputs[0]]
    expected += states
    found = [output.tensor for output in kernel.outputs]
    if found != expected:
        rule = "a kernel gives the output of its last node"
        yield Finding(OPERATOR, rule, f"kernel {kernel.name}", words(expected), words(found))


def _check_operands(kernel: Kernel, expectation: Expectation) -> Iterator[Finding]:
    expected = {operand.role: operand.tensor for operand in expectation.operands}
    found = {entry.role: entry.tensor for entry in kernel.inputs}
    for role in dict.fromkeys((*expected, *found)):
        if expected.get(role) != found.get(role):
            rule = "inputs are the tensors that the nodes read"
            where = f"kernel {kernel.name}, input {role}"
            yield Finding(OPERATOR, rule, where, expected.get(role, "nothing"), found.get(role, "nothing"))


def _check_arguments(kernel: Kernel, expectation: Expectation) -> Iterator[Finding]:
    for name, expected in expectation.arguments.items():
        found = kernel.arguments.get(name)
        if found is None or not _same(expected, found):
            rule = "arguments are those of the node"
            where = f"kernel {kernel.name}, argument {name}"
            yield Finding(OPERATOR, rule, where, str(expected), "nothing" if found is None else str(found))


def _same(expected: object, found: object) -> bool:
    if isinstance(expected, tuple) and isinstance(found, tuple):
        return len(expected) == len(found) and all(_same(a, b) for a, b in zip(expected, found, strict=True))
    if isinstance(expected, float) and isinstance(found, float) and math.isnan(expected):
        return math.isnan(found)
    if isinstance(expected, int | float) and isinstance(found, int | float):
        return isinstance(expected, bool) == isinstance(found, bool) and math.isclose(
            expected, found, rel_tol=_TOLERANCE
        )
    return expected == found
