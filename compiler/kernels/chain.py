"""Element-wise operators: alone as a kernel, or fused behind another operator as a chain of steps."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from wsec.compiler.kernels.loop_nest import DimensionMap, Loop, LoopNest, Operand, Work, fixed, follows
from wsec.compiler.kernels.operator_view import OperatorView, Unsplittable, dtype_of, operand, shape_of
from wsec.compiler.plan import ChainStep

if TYPE_CHECKING:
    from collections.abc import Sequence

    import onnx_ir as ir

RESULT = "result"


@dataclass(frozen=True, slots=True)
class StepWork:
    """Operations, divisions and functions by series of an element-wise operator, for each element."""

    operations: int = 0
    divisions: int = 0
    transcendentals: int = 0


_FORMULAS = {
    **dict.fromkeys(("Exp", "Log", "Tanh", "Erf", "Sin", "Cos", "Pow"), StepWork(0, 0, 1)),
    **dict.fromkeys(("Div", "Reciprocal", "Sqrt", "Mod"), StepWork(0, 1, 0)),
    **dict.fromkeys(
        ("Acos", "Acosh", "Asin", "Asinh", "Atan", "Atanh", "Cosh", "Sinh", "Tan"), StepWork(2, 0, 1)
    ),
    **dict.fromkeys(("Clip", "LeakyRelu", "Where", "Xor"), StepWork(2)),
    **dict.fromkeys(("HardSigmoid", "PRelu"), StepWork(4)),
    "HardSwish": StepWork(5),
    "Sigmoid": StepWork(2, 1, 1),
    "Swish": StepWork(4, 1, 1),
    "Softplus": StepWork(5, 0, 2),
    "Softsign": StepWork(2, 1, 0),
    "Mish": StepWork(6, 0, 3),
    "Gelu": StepWork(4, 0, 1),
    "Elu": StepWork(6, 0, 1),
    "Selu": StepWork(6, 0, 1),
    "Celu": StepWork(7, 0, 1),
}  # docs/core-programs.md; those that are not there are one operation


def work_of(step: ChainStep) -> StepWork:
    """What a step takes for each element; of several operands one operation for each after the first."""
    if step.operator == "Gelu" and step.attributes.get("approximate") == "tanh":
        return StepWork(8, 0, 1)
    operands = sum(map(bool, step.inputs))
    return _FORMULAS.get(step.operator, StepWork(max(1, operands - 1)))


def make_elementwise(nodes: Sequence[ir.Node]) -> LoopNest:
    """The loop nest of a chain that stands alone: nothing but its steps."""
    last = OperatorView(nodes[-1])
    shape = shape_of(last.output)
    if 0 in shape:
        raise Unsplittable("its result is empty")
    loops = tuple(Loop(f"d{i}", extent) for i, extent in enumerate(shape))
    result = operand(RESULT, last.output, tuple(map(follows, loops)))
    names = tuple(loop.name for loop in loops)
    empty = LoopNest(
        kind="elementwise",
        operators=(nodes[0].name or "",),
        loops=loops,
        inputs=(),
        outputs=(result,),
        arguments={},
        work=Work(names, operations=0, dtype=result.dtype),
    )
    nest = with_chain(empty, None, nodes)
    return replace(nest, operators=nest.operators[1:])


def with_chain(nest: LoopNest, anchor: ir.Value | None, nodes: Sequence[ir.Node]) -> LoopNest:
    """The same kernel with element-wise `nodes` behind it; `anchor` is the value its own operator gives."""
    if not nodes:
        return nest
    view = nest.outputs[0].maps
    groups = nest.output_groups or tuple((i,) for i in range(len(view)))
    names: dict[ir.Value, str] = {} if anchor is None else {anchor: RESULT}
    steps: list[ChainStep] = []
    extras: list[Operand] = []
    for index, node in enumerate(nodes):
        wires = []
        for value in node.inputs:
            if value is not None and value not in names:
                names[value] = f"e{len(extras)}"
                extras.append(operand(names[value], value, _broadcast_maps(shape_of(value), view, groups)))
            wires.append("" if value is None else names[value])
        output = node.outputs[0]
        names[output] = f"s{index}"  # not the tensor's own name, which may be that of a role
        steps.append(
            ChainStep(
                node.op_type, tuple(wires), names[output], dtype_of(output), OperatorView(node).attributes()
            )
        )
    return replace(
        nest,
        operators=(*nest.operators, *(node.name or "" for node in nodes)),
        inputs=(*nest.inputs, *extras),
        outputs=(operand(RESULT, nodes[-1].outputs[0], view), *nest.outputs[1:]),
        chain=tuple(steps),
        chain_work=_step_work(nest, [step for step in steps if len(_walks(step, view, extras)) < 2]),
        further_work=(
            *nest.further_work,
            *(
                replace(_step_work(nest, [step]), walks=_walks(step, view, extras))
                for step in steps
                if len(_walks(step, view, extras)) > 1
            ),
        ),
    )


def _walks(
    step: ChainStep, view: tuple[DimensionMap, ...], extras: Sequence[Operand]
) -> tuple[tuple[str, ...], ...]:
    """Loops of a step that lie dense together: neighbours along which the same of its operands are repeated."""
    repeated = [
        [not seen.loop for seen in operand.maps]
        for operand in extras
        if operand.role in step.inputs and any(seen.loop for seen in operand.maps)
    ]
    walks: list[tuple[str, ...]] = []
    last: list[bool] | None = None
    for index, dimension in enumerate(view):
        if not dimension.loop:
            continue
        here = [each[index] for each in repeated]
        if here == last:
            walks[-1] = (*walks[-1], dimension.loop)
        else:
            walks.append((dimension.loop,))
        last = here
    return tuple(walks)


def _broadcast_maps(
    shape: tuple[int, ...], view: tuple[DimensionMap, ...], groups: tuple[tuple[int, ...], ...]
) -> tuple[DimensionMap, ...]:
    """The maps of an operand that broadcasts to the output: each dimension has the output's extent, or 1."""
    padded = (1,) * (len(groups) - len(shape)) + shape
    maps = [fixed(1)] * len(view)
    for extent, group in zip(padded, groups, strict=True):
        if extent != 1:
            for index in group:
                maps[index] = view[index]
    return tuple(maps)


def _step_work(nest: LoopNest, steps: Sequence[ChainStep]) -> Work:
    loops = tuple(m.loop for m in nest.outputs[0].maps if m.loop)
    return Work(
        loops=loops,
        operations=sum(work_of(step).operations for step in steps),
        divisions=sum(work_of(step).divisions for step in steps),
        transcendentals=sum(work_of(step).transcendentals for step in steps),
        dtype=nest.outputs[0].dtype,
    )
