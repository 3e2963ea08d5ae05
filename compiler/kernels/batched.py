"""The kind `batched`: operators that work on each index of some dimensions by itself, whatever they do inside.

Those dimensions become parallel loops, every core runs the operator on its part of them, and no core talks to another.
`batch_rules` says for each operator which dimensions these are; this module makes the loop nest.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wsec.compiler.kernels.loop_nest import DimensionMap, Loop, LoopNest, Operand, Work, fixed
from wsec.compiler.kernels.operator_view import OperatorView, Unsplittable, dtype_of, operand, shape_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import onnx_ir as ir

    Rule = Callable[[OperatorView], "Batching"]

Labels = tuple[str | DimensionMap, ...]
"""The loop that each dimension of a tensor follows one by one, empty for a dimension that is needed whole, or what a
range of a loop reads of it. None at all: everything is needed whole."""


@dataclass(frozen=True, slots=True)
class Batching:
    """What an operator does independently, and how much it does.

    Attributes:
        inputs: Labels of each input, in the node's order; inputs beyond the last are needed whole.
        outputs: Labels of each output, in the node's order. A dimension of the first output has label `d` and its
            number where it follows a loop.
        operations: Single-cycle operations of the whole operator.
        transcendentals: exp, log, pow ... of the whole operator.
        divisions: Divisions and square roots of the whole operator.
        scalar: True where what is done next depends on the data, so that no vector instruction serves.
        resident_bytes: Bytes of attributes (trees, coefficients) that every core holds.
        dense: Elements of each independent part that an operation takes by one vector instruction.
    """

    inputs: tuple[Labels, ...]
    outputs: tuple[Labels, ...]
    operations: float
    transcendentals: float = 0
    divisions: float = 0
    scalar: bool = False
    resident_bytes: int = 0
    dense: int = 1


def make_batched(operator: OperatorView, rules: Mapping[str, Rule]) -> LoopNest:
    """The loop nest of a node of an operator that is in `rules`.

    Raises:
        Unsplittable: Where none of its independent dimensions is longer than 1, or the description does not fit.
    """
    batching = rules[operator.qualified_name](operator)
    given = [
        (index, value, _labels(batching.inputs, index, value))
        for index, value in enumerate(operator.node.inputs)
        if value is not None
    ]
    made = [
        (index, value, _labels(batching.outputs, index, value))
        for index, value in enumerate(operator.node.outputs)
        if value.name
    ]
    loops = _loops([(value, labels) for _, value, labels in (*made, *given)])
    names = tuple(loop.name for loop in loops)
    points = math.prod(loop.extent for loop in loops)
    return LoopNest(
        kind="batched",
        operators=(operator.name,),
        loops=loops,
        inputs=tuple(_operand(f"in{index}", value, labels, loops) for index, value, labels in given),
        outputs=tuple(_operand(f"out{index}", value, labels, loops) for index, value, labels in made),
        arguments={},
        work=Work(
            names,
            operations=batching.operations / points / batching.dense,
            divisions=batching.divisions / points,
            transcendentals=batching.transcendentals / points,
            dtype=dtype_of(made[0][1]),
            taps=(batching.dense,) if batching.dense > 1 else (),
            scalar=batching.scalar,
            resident_bytes=batching.resident_bytes,
        ),
    )


def _labels(of_tensors: tuple[Labels, ...], index: int, value: ir.Value) -> Labels:
    labels = of_tensors[index] if index < len(of_tensors) else ()
    rank = len(shape_of(value))
    if len(labels) not in (0, rank):
        raise Unsplittable(f"{value.name} has {rank} dimensions")
    return labels or ("",) * rank


def _loops(tensors: list[tuple[ir.Value, Labels]]) -> tuple[Loop, ...]:
    """A loop for each label, in rising order of its number; dimensions of extent 1 broadcast along longer ones."""
    extents: dict[str, int] = {}
    for value, labels in tensors:
        shape = shape_of(value)
        if 0 in shape:
            raise Unsplittable(f"{value.name} is empty")
        for label, extent in zip(labels, shape, strict=True):
            if not label or isinstance(label, DimensionMap):
                continue
            known = extents.setdefault(label, extent)
            if 1 not in (known, extent) and known != extent:
                raise Unsplittable(f"{value.name} has shape {list(shape)}, another tensor {known} there")
            extents[label] = max(known, extent)
    loops = tuple(Loop(name, extents[name]) for name in sorted(extents, key=lambda name: int(name[1:])))
    if all(loop.extent == 1 for loop in loops):
        raise Unsplittable("nothing in it is longer than 1 and independent")
    return loops


def _operand(role: str, value: ir.Value, labels: Labels, loops: tuple[Loop, ...]) -> Operand:
    """A scalar is viewed as one element."""
    extents = {loop.name: loop.extent for loop in loops}
    maps = []
    for label, extent in zip(labels, shape_of(value), strict=True):
        if isinstance(label, DimensionMap):
            maps.append(label)
        elif label and extent == extents[label]:
            maps.append(DimensionMap(extent, label))
        else:
            maps.append(fixed(extent))
    return operand(role, value, tuple(maps) or (fixed(1),))
