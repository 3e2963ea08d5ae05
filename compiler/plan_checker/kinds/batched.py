"""The kind `batched`: which dimensions of a node's tensors go together and may be cut, as ONNX defines the operators.

A `Family` is one index of the definition that appears in the first output and that nothing sums, sorts or looks up
over: the dimension of each tensor that carries it. Every core needs all other dimensions whole.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from wsec.compiler.plan_checker.expectation import Expectation, Loop, Operand, along, whole

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from wsec.compiler.plan_checker.expectation import Read
    from wsec.compiler.plan_checker.model_facts import ModelFacts, OperatorFacts

    Rule = Callable[[OperatorFacts, ModelFacts], "list[Family]"]


@dataclass(frozen=True, slots=True)
class Family:
    """Dimensions that one index walks through.

    Attributes:
        first: Its dimension of the first output; the loop is called `d` and this number.
        inputs: Number of an input -> its dimension.
        outputs: Number of another output -> its dimension.
        reads: Number of an input -> what is read of its dimension, where that is not one element a position.
    """

    first: int
    inputs: Mapping[int, int] = field(default_factory=dict)
    outputs: Mapping[int, int] = field(default_factory=dict)
    reads: Mapping[int, Read] = field(default_factory=dict)


def expect_batched(node: OperatorFacts, model: ModelFacts, rule: Rule) -> Expectation:
    """What the families of a node ask for; an index along which nothing is longer than 1 cuts nothing."""
    families = rule(node, model)
    extents = {family.first: _extent(node, model, family) for family in families}
    operands = [
        Operand(f"in{index}", name, _reads(model.shape(name), index, families, extents))
        for index, name in enumerate(node.inputs)
        if name
    ]
    results = [
        _result(
            model.shape(name), {(f.first if not index else f.outputs.get(index)): f.first for f in families}
        )
        for index, name in enumerate(node.outputs)
        if name
    ]
    return Expectation(tuple(operands), results[0], {}, {}, others=tuple(results[1:]))


def _extent(node: OperatorFacts, model: ModelFacts, family: Family) -> int:
    given = {0: family.first, **family.outputs}
    places = [(name, given[index]) for index, name in enumerate(node.outputs) if index in given]
    places += [(node.input(index), at) for index, at in family.inputs.items() if index not in family.reads]
    return max(model.shape(name)[at] for name, at in places if name)


def _reads(
    shape: tuple[int, ...], index: int, families: Iterable[Family], extents: Mapping[int, int]
) -> tuple[Read, ...]:
    walked = {family.inputs[index]: family for family in families if index in family.inputs}
    reads = [_read(index, extent, walked.get(at), extents) for at, extent in enumerate(shape)]
    return tuple(reads) or (whole(1),)


def _read(index: int, extent: int, family: Family | None, extents: Mapping[int, int]) -> Read:
    if family is not None and index in family.reads:
        return family.reads[index]
    if family is None or extent != extents[family.first]:
        return whole(extent)
    return along(f"d{family.first}", extent)


def _result(shape: tuple[int, ...], walked: Mapping[int | None, int]) -> tuple[Loop, ...]:
    return tuple(
        Loop(f"d{walked[at]}" if at in walked else "", extent) for at, extent in enumerate(shape)
    ) or (Loop("", 1),)
