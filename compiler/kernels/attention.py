"""The kind `attention`: softmax(Q K^T, masked) V as one kernel, which keeps the scores of a turn of its rows only.

Cut by batch and head (loops b0, b1 ...), by query row (m) and by key (t); of states also by feature (d), when the scores are
all-reduced over the parts of the features. The maximum and the sum of a row are
all-reduced over the parts of the keys, the weighted values summed to the first of them. Query, key, value and result
are taken as they are stored; `strided_layout` finds the loop of each of their dimensions. Keys and values may be states:
they stay on the cores, which write the new rows into them first (`attention_states`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wsec.compiler.kernels.attention_body import AttentionBody, MovedOperand, read_attention
from wsec.compiler.kernels.attention_states import (
    factor_of_state,
    in_place,
    kept_once,
    like_state,
    update_works,
)
from wsec.compiler.kernels.chain import work_of
from wsec.compiler.kernels.loop_nest import Loop, LoopNest, LoopRole, Operand, Product, Work, fixed, follows
from wsec.compiler.kernels.operator_view import OperatorView, Unsplittable, dtype_of, operand, shape_of
from wsec.compiler.kernels.strided_layout import (
    Dimension,
    Factor,
    Layout,
    boundaries,
    common_extents,
    contiguous,
    expanded,
    grouped,
    stored_order,
)
from wsec.compiler.plan import ChainStep

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import onnx_ir as ir

_STATISTIC_BYTES = 4  # maxima, sums and scores are kept in single precision at least


def make_attention(nodes: Sequence[ir.Node]) -> LoopNest:
    """The loop nest of the nodes of one attention, in topological order. Raises Unsplittable where they are none."""
    body = read_attention(nodes)
    space = _space(body)
    q, k, v = _products(body)
    inputs: list[Operand] = []
    states: list[Operand] = []
    labels: dict[str, tuple[str, ...]] = {}
    for role, moved, inner in (("q", q, ("m", "d")), ("k", k, ("d", "t")), ("v", v, ("t", space.features))):
        order = stored_order(space.strides(moved.layout, inner), math.prod(shape_of(moved.value)))
        labels[role] = order or ("",)
        made = _stored(role, moved.value, order, space)
        if moved.value in body.updates:
            made, after = in_place(made, body.updates[moved.value], role)
            states.append(after)
        inputs.append(made)
    if body.sink is not None:
        inputs.append(space.rows("sink", body.sink))
    writer = _steps(body, space, labels)
    steps = tuple(writer.steps)
    scored = steps[sum(len(update.nodes) for update in body.updates.values()) :]
    out, groups = space.output(body)
    result = _stored("result", _given(body.output), out, space)
    updates = [(role, body.updates[m.value]) for role, m in (("k", k), ("v", v)) if m.value in body.updates]
    return LoopNest(
        kind="attention",
        operators=tuple(node.name or "" for node in nodes),
        loops=kept_once(space.loops.values(), [labels[role] for role, _ in updates]),
        inputs=(*inputs, *writer.operands),
        outputs=(result, *states),
        arguments={**labels, "out": out or ("",), **({"states": tuple(writer.states)} if states else {})},
        work=_scores_work(space, inputs[0]),
        further_work=(
            _values_work(space, inputs[2]),
            *_score_works(space, scored, inputs[0]),
            *update_works(((labels[role], update) for role, update in updates), inputs[0].dtype),
        ),
        output_groups=groups,
        body=steps,
        turned="m",
    )


def _given(value: ir.Value | None) -> ir.Value:
    if value is None:
        raise Unsplittable("it has no second product")
    return value


def _products(body: AttentionBody) -> tuple[MovedOperand, MovedOperand, MovedOperand]:
    if body.query is None or body.key is None or body.value is None:
        raise Unsplittable("it has no two products")
    return body.query, body.key, body.value


@dataclass(frozen=True, slots=True)
class _Space:
    """The loops by name, those of the batch first and outermost first."""

    loops: dict[str, Loop]
    batch: tuple[str, ...]

    @property
    def features(self) -> str:
        """The loop over the features of values: `d` where that over those of keys is the same."""
        return "n" if "n" in self.loops else "d"

    def strides(self, layout: Layout, inner: tuple[str, str]) -> dict[str, Factor]:
        """Extent and stride with which each loop walks an operand [batch ..., inner]."""
        factors = [factor for dimension in layout[:-2] for factor in dimension]
        extents = [self.loops[name].extent for name in self.batch]
        names = (*self.batch, *inner)
        dimensions = (*grouped(factors, extents), *layout[-2:])
        return {name: _single(dimension) for name, dimension in zip(names, dimensions, strict=True)}

    def scores(self, role: str, value: ir.Value, shape: tuple[int, ...]) -> Operand:
        """An operand that broadcasts to scores of this shape, in a view [batch loops, m, t] with ones."""
        if math.prod(shape_of(value)) == 1:
            return operand(role, value, (fixed(1),))
        strides = self.strides(expanded(contiguous(shape_of(value)), shape), ("m", "t"))
        return self._in_order(role, value, strides, fixed_columns=0)

    def rows(self, role: str, moved: MovedOperand) -> Operand:
        """An operand in a view [batch loops, m, columns], of which every core has all columns of its rows."""
        columns = math.prod(extent for extent, _ in moved.layout[-1])
        strides = self.strides(moved.layout, ("m", "columns"))
        if moved.steps:
            raise Unsplittable("the sink is computed")
        return self._in_order(role, moved.value, strides, fixed_columns=columns)

    def _in_order(
        self, role: str, value: ir.Value, strides: dict[str, Factor], *, fixed_columns: int
    ) -> Operand:
        stored = stored_order(strides, math.prod(shape_of(value)))
        if stored != tuple(name for name in strides if name in stored):
            raise Unsplittable(f"{value.name} is stored in another order than the scores")
        maps = [
            follows(self.loops[name]) if name in stored else fixed(1)
            for name in strides
            if name in self.loops
        ]
        return operand(role, value, (*maps, fixed(fixed_columns)) if fixed_columns else tuple(maps))

    def output(self, body: AttentionBody) -> tuple[tuple[str, ...], tuple[tuple[int, ...], ...]]:
        """Loops in the order in which the result stores them, and which of them make up each dimension of it."""
        positions: dict[str, int] = {}
        position = 1
        for name in (self.features, "m", *reversed(self.batch)):
            positions[name] = position
            position *= self.loops[name].extent
        view: list[str] = []
        groups: list[tuple[int, ...]] = []
        for dimension in body.output_layout:
            names = [name for factor in dimension for name in self._inside(factor, positions)]
            groups.append(tuple(range(len(view), len(view) + len(names))))
            view += names
        return tuple(view), tuple(groups)

    def _inside(self, factor: Factor, positions: dict[str, int]) -> list[str]:
        size, stride = factor
        inside = [name for name in reversed(positions) if stride <= positions[name] < stride * size]
        names = [name for name in inside if self.loops[name].extent > 1]
        if math.prod(self.loops[name].extent for name in names) != size or positions[names[-1]] != stride:
            raise Unsplittable("its result is stored in parts of rows")
        return names


def _space(body: AttentionBody) -> _Space:
    """The loops: the batch in the coarsest parts that every operand and the result walk through evenly."""
    q, k, v = _products(body)
    scores = body.shapes[body.steps[0].outputs[0]]
    m, t = scores[-2:]
    d, n = (math.prod(extent for extent, _ in layout[-1]) for layout in (q.layout, v.layout))
    layouts = [q.layout, k.layout, v.layout, *([body.sink.layout] if body.sink else [])]
    for node in body.steps[1:-1]:
        shape = body.shapes[node.outputs[0]]
        if node.op_type in {"Concat", "Slice", "Softmax"}:
            continue
        given = [value for value in node.inputs if value is not None and value not in body.shapes]
        outside = [value for value in given if math.prod(shape_of(value)) > 1]
        layouts += [expanded(contiguous(shape_of(value)), shape) for value in outside]
    cuts = {math.prod(scores[:-2])}
    for layout in layouts:
        cuts |= boundaries([factor for dimension in layout[:-2] for factor in dimension])
    ends = {end for dimension in body.output_layout for size, at in dimension for end in (at, at * size)}
    cuts |= {end // (m * n) for end in ends if end % (m * n) == 0}
    batch = [Loop(f"b{index}", extent) for index, extent in enumerate(common_extents(cuts))]
    features = [Loop("n", n, cuttable=False), Loop("d", d, cuttable=False)]
    if {k.value, v.value} <= set(body.updates) and d == n:
        features = [Loop("d", d, LoopRole.COLLECTIVE)]  # both states are cut by one axis
    loops = (*batch, Loop("m", m), *features, Loop("t", t, LoopRole.REDUCTION))
    return _Space({loop.name: loop for loop in loops}, tuple(loop.name for loop in batch))


def _single(dimension: Dimension) -> Factor:
    if len(dimension) > 1:
        raise Unsplittable("an operand's rows or columns are put together of parts")
    return dimension[0] if dimension else (1, 0)


def _stored(role: str, value: ir.Value, order: tuple[str, ...], space: _Space) -> Operand:
    return operand(role, value, tuple(follows(space.loops[name]) for name in order) or (fixed(1),))


def _steps(body: AttentionBody, space: _Space, labels: dict[str, tuple[str, ...]]) -> _Writer:
    """The writer of the body of the kernel, updates of states first, and of the operands of its element-wise steps."""
    writer = _Writer(body, space)
    q, k, v = _products(body)
    for role, moved in (("k", k), ("v", v)):
        if moved.value in body.updates:
            writer.update(role, moved.value, labels[role])
    first, *between, last = body.steps
    writer.write(first, (writer.moved(q, "q"), writer.moved(k, "k")))
    for node in between:
        writer.write(node, writer.wires_of(node))
    writer.write(last, (writer.wire(_given(last.inputs[0])), writer.moved(v, "v")))
    return writer


class _Writer:
    """Writes steps and names what they read."""

    def __init__(self, body: AttentionBody, space: _Space) -> None:
        self.steps: list[ChainStep] = []
        self.operands: list[Operand] = []
        self.states: list[str] = []
        self._body = body
        self._space = space
        self._names: dict[ir.Value, str] = {}
        self._written: dict[tuple[str | None, object], str] = {}

    def update(self, role: str, present: ir.Value, order: tuple[str, ...]) -> None:
        """The steps that write new rows into the state that is read as `role`."""
        update = self._body.updates[present]
        shape, loops = shape_of(present), self._space.loops
        wires = {update.past: role}
        for node in update.nodes:
            given = [value for value in node.inputs if value is not None]
            for index, value in enumerate(given):
                name = f"u{len(self._written)}"
                if value in wires:
                    continue
                if node.op_type == "MatMul":
                    made = factor_of_state(name, value, shape, order, loops, left=index == 0)
                else:
                    made = like_state(name, value, shape, order, loops)
                wires[value] = self._once(value, made)
            wires[node.outputs[0]] = self.write(node, [wires[value] for value in given])
        self.states.append(wires[present])

    def _once(self, value: ir.Value, made: Operand) -> str:
        """The role of an operand, which may be there already for another state."""
        if (value.name, made.maps) not in self._written:
            self._written[value.name, made.maps] = made.role
            self.operands.append(made)
        return self._written[value.name, made.maps]

    def write(self, node: ir.Node, wires: Iterable[str]) -> str:
        name, output = f"s{len(self.steps)}", node.outputs[0]
        attributes = OperatorView(node).attributes()
        self.steps.append(ChainStep(node.op_type, tuple(wires), name, dtype_of(output), attributes))
        self._names[output] = name
        return name

    def moved(self, moved: MovedOperand, role: str) -> str:
        """The wire of an operand of a product, behind its steps with scalars."""
        wire = self._names.get(moved.value, role) if moved.value in self._body.updates else role
        for node in moved.steps:
            given = [value for value in node.inputs if value is not None]
            large = next((value for value in given if math.prod(shape_of(value)) > 1), given[0])
            wire = self.write(
                node, [wire if value is large else self._scalar(value) for value in node.inputs]
            )
        return wire

    def wires_of(self, node: ir.Node) -> list[str]:
        if node.op_type == "Slice":
            return [self.wire(_given(node.inputs[0]))]
        if node.op_type == "Concat":
            return [
                self.wire(_given(value)) if value in self._body.shapes else "sink" for value in node.inputs
            ]
        shape = self._body.shapes[node.outputs[0]]
        return [self._of_scores(value, shape) for value in node.inputs]

    def wire(self, value: ir.Value) -> str:
        return self._names[self._body.same.get(value, value)]

    def _of_scores(self, value: ir.Value | None, shape: tuple[int, ...]) -> str:
        if value is None or value in self._body.shapes:
            return "" if value is None else self.wire(value)
        return self._outside(value, shape)

    def _scalar(self, value: ir.Value | None) -> str:
        return "" if value is None else self._outside(value, ())

    def _outside(self, value: ir.Value, shape: tuple[int, ...]) -> str:
        if value not in self._names:
            self._names[value] = f"m{len(self.operands) - len(self._written)}"
            self.operands.append(self._space.scores(self._names[value], value, shape))
        return self._names[value]


def _scores_work(space: _Space, first: Operand) -> Work:
    """The first product, whose scores are sums over the parts of the features where these are cut."""
    rows = (*space.batch, "m")
    return Work(
        (*rows, "t", "d"),
        operations=1,
        dtype=first.dtype,
        walks=(*((name,) for name in rows), ("t",)),
        summed=(("d",),),
        collectives=2,
        statistics=rows,
        interim=(*rows, "t"),
        interim_bytes=max(_STATISTIC_BYTES, first.item_bytes),
        exchanged=space.loops["d"].role is LoopRole.COLLECTIVE,
        product=Product(("m",), ("t",)),
    )


def _values_work(space: _Space, first: Operand) -> Work:
    """The second product."""
    rows = (*space.batch, "m")
    return Work(
        (*rows, "t", space.features),
        operations=1,
        dtype=first.dtype,
        walks=(*((name,) for name in rows), (space.features,)),
        summed=(("t",),),
        product=Product(("m",), (space.features,)),
    )


def _score_works(space: _Space, steps: Sequence[ChainStep], first: Operand) -> tuple[Work, ...]:
    """Softmax, the element-wise steps as if all were taken on the scores, and what sums begin with."""
    rows = (*space.batch, "m")
    counted = [work_of(step) for step in steps if _counts(step)]
    return (
        Work((*rows, "t"), operations=2, dtype=first.dtype, walks=(rows,), summed=(("t",),)),  # maximum, sum
        Work((*rows, "t"), operations=2, dtype=first.dtype, walks=(rows, ("t",))),  # what each row shares
        Work(
            (*rows, "t"),
            operations=1 + sum(each.operations for each in counted),
            divisions=sum(each.divisions for each in counted),
            transcendentals=1 + sum(each.transcendentals for each in counted),
            dtype=first.dtype,
            shared_out="d" if space.loops["d"].role is LoopRole.COLLECTIVE else "",
        ),
        Work((*rows, space.features), operations=1, dtype=first.dtype),
        Work(rows, operations=2, divisions=1, dtype=first.dtype),
    )


def _counts(step: ChainStep) -> bool:
    return step.operator not in {"Concat", "MatMul", "Slice", "Softmax"}
