"""What the nodes of an attention compute, read from the model alone: operands, movements and steps.

Where an element is read is not derived but traced: the number of an element of what a product reads is followed back
through the movements to the tensor, node by node, as ONNX defines them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from wsec.compiler.operators import ATTENTION_STEPS
from wsec.compiler.plan_checker.expectation import aligned

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from wsec.compiler.plan_checker.model_facts import ModelFacts, OperatorFacts

    Integers = NDArray[np.int64]

_MOVEMENTS = ("Expand", "Reshape", "Transpose")


class NoAttentionError(Exception):
    """The nodes are not one attention; the message says what one of them should have been."""


@dataclass(frozen=True, slots=True)
class Wire:
    """What a step reads: the output of another step by number, an input by role, or a tensor from outside."""

    step: int = -1
    role: str = ""
    tensor: str = ""


@dataclass(frozen=True, slots=True)
class ExpectedStep:
    """A step of the body; `shape` is that of its result, at which operands from outside broadcast.

    `state` is the role of the state that it writes into, empty for all other steps.
    """

    node: OperatorFacts
    wires: tuple[Wire, ...]
    shape: tuple[int, ...]
    state: str = ""


@dataclass(frozen=True, slots=True)
class Brought:
    """A tensor and the nodes that it passes on the way to where it is read, in order."""

    tensor: str
    way: tuple[OperatorFacts, ...] = ()

    def behind(self, node: OperatorFacts) -> Brought:
        """The same, one node further."""
        return Brought(self.tensor, (*self.way, node))


@dataclass(slots=True)
class AttentionFacts:
    """The parts of an attention.

    Attributes:
        operands: What `q`, `k`, `v` and `sink` are brought from.
        read: The shape in which each is read.
        rows: The shape [lead ..., m, t] of the scores.
        steps: The body.
        result: The tensor that the kernel gives, and its way from the second product.
        given: The shape [lead ..., m, n] of the second product.
        states: By role, what the update of a state is called, and the number of the step that gives it.
    """

    operands: dict[str, Brought] = field(default_factory=dict)
    read: dict[str, tuple[int, ...]] = field(default_factory=dict)
    rows: tuple[int, ...] = ()
    steps: list[ExpectedStep] = field(default_factory=list)
    result: Brought = field(default_factory=lambda: Brought(""))
    given: tuple[int, ...] = ()
    states: dict[str, tuple[str, int]] = field(default_factory=dict)


def read_nodes(
    nodes: Sequence[OperatorFacts], model: ModelFacts, states: Mapping[str, str] | None = None
) -> AttentionFacts:
    """The attention that the nodes are, in the order given.

    Args:
        nodes: The nodes.
        model: That they are of.
        states: By role, the inputs of the model that are said to be states, in the order of their updates.

    Raises:
        NoAttentionError: They are none, or a state is not updated by them.
    """
    reader = _Reader(model)
    writing = {
        node.name for role, past in (states or {}).items() for node in reader.read_state(role, past, nodes)
    }
    for node in nodes:
        if node.name not in writing:
            reader.read(node)
    if not reader.facts.given:
        raise NoAttentionError("two products with a softmax between them")
    return reader.facts


def trace(elements: Integers, brought: Brought, model: ModelFacts) -> Integers:
    """Numbers of elements behind the way -> numbers of the elements of the tensor that they show."""
    for node in reversed(brought.way):
        source, shape = _moved_input(node, model), model.shape(node.outputs[0])
        before = model.shape(source)
        if node.op_type == "Transpose":
            order = node.integers("perm", tuple(range(len(shape)))[::-1])
            index = np.unravel_index(elements, shape)
            places = [index[order.index(axis)] for axis in range(len(before))]
            elements = np.ravel_multi_index(places, before) if places else elements
        elif node.op_type == "Expand":
            elements = clamped(elements, shape, before)
    return elements


def clamped(elements: Integers, shape: tuple[int, ...], source: tuple[int, ...]) -> Integers:
    """Numbers of elements in `shape` -> those of a tensor that ONNX broadcasts to it."""
    padded = aligned(source, len(shape))
    index = np.unravel_index(elements, shape) if shape else ()
    places = [at * (extent > 1) for at, extent in zip(index, padded, strict=True)]
    return np.asarray(np.ravel_multi_index(places, padded)) if places else elements * 0


def _moved_input(node: OperatorFacts, model: ModelFacts) -> str:
    """The input that passes through: the one with more than one element, the first where none has."""
    if node.op_type in _MOVEMENTS:
        return node.inputs[0]
    large = [name for name in node.inputs if name and model.tensors[name].elements > 1]
    return large[0] if large else next(name for name in node.inputs if name)


class _Reader:
    """Reads node after node; knows the tensors on the way from the first product to the second."""

    def __init__(self, model: ModelFacts) -> None:
        self.facts = AttentionFacts()
        self._model = model
        self._brought: dict[str, Brought] = {}
        self._steps: dict[str, int] = {}  # tensors that show the result of a step
        self._stage = "operands"  # then scores, probabilities, result
        self._columns = 0  # of the sink, while they are there
        self._keys_first = True

    def read_state(self, role: str, past: str, nodes: Sequence[OperatorFacts]) -> list[OperatorFacts]:
        """The nodes that write into a state, each a Where that keeps the rest of it, down to an output of the model."""
        name, wire = past, Wire(role=role)
        found: list[OperatorFacts] = []
        while not found or name not in self._model.outputs:
            writers = [node for node in nodes if name in node.inputs]
            node = writers[0] if len(writers) == 1 else None
            if node is None or node.domain or node.op_type != "Where" or name not in node.inputs[1:]:
                raise NoAttentionError(f"an update of {past}, which Where makes of it alone")
            shape = self._model.shape(node.outputs[0])
            if shape != self._model.shape(past):
                raise NoAttentionError(f"{node.name} as large as {past}")
            placed = {}
            for product in self._placings(node, nodes):
                factors = tuple(Wire(tensor=given) for given in product.inputs)
                self.facts.steps.append(ExpectedStep(product, factors, shape, role))
                placed[product.outputs[0]] = Wire(step=len(self.facts.steps) - 1)
                found.append(product)
            wires = tuple(
                wire if given == name else placed.get(given, Wire(tensor=given)) for given in node.inputs
            )
            self.facts.steps.append(ExpectedStep(node, wires, shape, role))
            found.append(node)
            name, wire = node.outputs[0], Wire(step=len(self.facts.steps) - 1)
        self.facts.states[role] = name, wire.step
        return found

    def _placings(self, where: OperatorFacts, nodes: Sequence[OperatorFacts]) -> list[OperatorFacts]:
        """The products that bring new rows to the positions at which a Where writes them."""
        found = [node for node in nodes if node.outputs[0] in where.inputs[1:] and node.op_type == "MatMul"]
        for node in found:
            readers = [other for other in nodes if node.outputs[0] in other.inputs]
            if self._model.shape(node.outputs[0]) != self._model.shape(where.outputs[0]) or readers != [
                where
            ]:
                raise NoAttentionError(f"{node.name} rows of a state, for {where.name} alone")
        return found

    def read(self, node: OperatorFacts) -> None:
        on_way = [name for name in node.inputs if name in self._steps]
        if node.domain:
            raise NoAttentionError(f"{node.name} an operator of ai.onnx")
        if node.op_type in _MOVEMENTS:
            self._movement(node)
        elif self._stage == "result":
            raise NoAttentionError(f"{node.name} a movement of the result")
        elif node.op_type == "MatMul":
            self._product(node, on_way)
        elif not on_way:
            self._scaling(node)
        elif node.op_type == "Softmax":
            self._softmax(node)
        elif node.op_type == "Concat":
            self._append(node, on_way)
        elif node.op_type == "Slice":
            self._cut_off(node)
        else:
            self._element_wise(node)

    def _add(self, node: OperatorFacts, wires: Sequence[Wire]) -> None:
        self._steps[node.outputs[0]] = len(self.facts.steps)
        self.facts.steps.append(ExpectedStep(node, tuple(wires), self._model.shape(node.outputs[0])))

    def _movement(self, node: OperatorFacts) -> None:
        source, made = node.inputs[0], node.outputs[0]
        shape = self._model.shape(made)
        if self._stage == "result" and source in self._steps:
            if node.op_type == "Expand":
                raise NoAttentionError(f"{node.name} a movement that repeats nothing of the result")
            self.facts.result = Brought(made, (*self.facts.result.way, node))
            self._steps[made] = self._steps[source]
        elif source in self._steps:
            if node.op_type != "Reshape" or shape[-2:] != self._model.shape(source)[-2:]:
                raise NoAttentionError(f"{node.name} a reshape that keeps rows and columns of the scores")
            self._steps[made] = self._steps[source]
        else:
            self._brought[made] = self._brought.get(source, Brought(source)).behind(node)

    def _scaling(self, node: OperatorFacts) -> None:
        given = [name for name in node.inputs if name]
        large = [name for name in given if self._model.tensors[name].elements > 1]
        source = _moved_input(node, self._model)
        same = self._model.shape(source) == self._model.shape(node.outputs[0])
        if node.op_type not in ATTENTION_STEPS or len(large) > 1 or not same:
            raise NoAttentionError(f"{node.name} an element-wise operator with scalars")
        self._brought[node.outputs[0]] = self._brought.get(source, Brought(source)).behind(node)

    def _operand(self, role: str, name: str, shape: tuple[int, ...]) -> Wire:
        """Notes what a role is brought from, and writes its steps with scalars."""
        brought = self._brought.get(name, Brought(name))
        self.facts.operands[role], self.facts.read[role] = brought, shape
        present, step = self.facts.states.get(role, ("", -1))
        if present and present != brought.tensor:
            raise NoAttentionError(f"{present}, the state that is read as {role}")
        wire = Wire(step=step) if present else Wire(role=role)
        for node in brought.way:
            if node.op_type in _MOVEMENTS:
                continue
            source = _moved_input(node, self._model)
            self._add(node, [wire if name == source else Wire(tensor=name) for name in node.inputs])
            wire = Wire(step=len(self.facts.steps) - 1)
        return wire

    def _product(self, node: OperatorFacts, on_way: list[str]) -> None:
        left, right = node.inputs
        shape, of_left, of_right = (self._model.shape(name) for name in (node.outputs[0], left, right))
        if min(len(of_left), len(of_right)) < 2:
            raise NoAttentionError(f"{node.name} a product of matrices")
        if self._stage == "operands" and not on_way:
            self.facts.rows, self._stage = shape, "scores"
            q = self._operand("q", left, of_left)
            self._add(node, (q, self._operand("k", right, of_right)))
        elif self._stage == "probabilities" and on_way == [left] and not self._columns:
            if math.prod(shape[:-1]) != math.prod(of_left[:-1]):
                raise NoAttentionError(f"{node.name} a product for each batch of the probabilities")
            self.facts.given, self._stage = shape, "result"
            v = self._operand("v", right, of_right)
            self._add(node, (Wire(step=self._steps[left]), v))
            self.facts.result = Brought(node.outputs[0])
        else:
            raise NoAttentionError(f"{node.name} no third product, nor one before the softmax")

    def _softmax(self, node: OperatorFacts) -> None:
        rank = len(self._model.shape(node.outputs[0]))
        if self._stage != "scores" or node.integer("axis", -1) not in {-1, rank - 1}:
            raise NoAttentionError(f"{node.name} the one softmax, over the keys")
        self._stage = "probabilities"
        self._add(node, [Wire(step=self._steps[node.inputs[0]])])

    def _append(self, node: OperatorFacts, on_way: list[str]) -> None:
        rank = len(self._model.shape(node.outputs[0]))
        last = node.integer("axis", 0) in {-1, rank - 1}
        if self._stage != "scores" or "sink" in self.facts.operands or not last or len(node.inputs) != 2:
            raise NoAttentionError(f"{node.name} a sink, appended to the scores")
        outside = [name for name in node.inputs if name not in on_way]
        if len(outside) != 1:
            raise NoAttentionError(f"{node.name} a sink from outside")
        sink = self._operand("sink", outside[0], self._model.shape(outside[0]))
        if sink.step >= 0:
            raise NoAttentionError(f"{node.name} a sink that is not computed")
        self._columns, self._keys_first = self._model.shape(outside[0])[-1], node.inputs[0] in on_way
        self._add(node, [Wire(step=self._steps[name]) if name in on_way else sink for name in node.inputs])

    def _cut_off(self, node: OperatorFacts) -> None:
        before, after = self._model.shape(node.inputs[0]), self._model.shape(node.outputs[0])
        starts, axes, steps = (
            [int(number) for number in self._model.numbers(node.input(index)) or default]
            for index, default in ((1, ()), (3, ()), (4, (1,)))
        )
        first = 0 if self._keys_first else self._columns
        fits = (
            starts in ([first], [first - before[-1]]) and axes in ([-1], [len(before) - 1]) and steps == [1]
        )
        keys = before[-1] - self._columns
        if self._stage != "probabilities" or not self._columns or not fits or after != (*before[:-1], keys):
            raise NoAttentionError(f"{node.name} a slice that cuts off the sink")
        self._columns = 0
        self._add(node, [Wire(step=self._steps[node.inputs[0]])])

    def _element_wise(self, node: OperatorFacts) -> None:
        shape = self._model.shape(node.outputs[0])
        on_way = [name for name in node.inputs if name in self._steps]
        moved = [name for name in node.inputs if name in self._brought]
        if node.op_type not in ATTENTION_STEPS or moved or any(self._model.shape(n) != shape for n in on_way):
            raise NoAttentionError(f"{node.name} an element-wise step of the scores")
        if self._columns and node.op_type != "Cast":
            raise NoAttentionError(f"{node.name} nothing but a cast while the sink is there")
        wires = [Wire(step=self._steps[n]) if n in self._steps else Wire(tensor=n) for n in node.inputs]
        self._add(node, wires)
