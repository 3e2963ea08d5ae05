"""The kind `attention`: whether its record reads, computes and gives what the nodes do that it names."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from wsec.compiler.plan_checker.attention_nodes import (
    AttentionFacts,
    Brought,
    NoAttentionError,
    Wire,
    clamped,
    read_nodes,
    trace,
)
from wsec.compiler.plan_checker.expectation import (
    Expectation,
    Loop,
    Operand,
    along,
    broadcast,
    whole,
)
from wsec.compiler.plan_checker.findings import OPERATOR, Finding, words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from wsec.compiler.plan import ChainStep, Kernel, KernelInput
    from wsec.compiler.plan_checker.attention_nodes import ExpectedStep
    from wsec.compiler.plan_checker.model_facts import ModelFacts, OperatorFacts

    Integers = NDArray[np.int64]

_INNER = {"q": ("m", "d"), "k": ("d", "t"), "v": ("t", "n"), "out": ("m", "n")}
_HALVES = "h"  # a loop over the halves of a head, outside of `d`, which goes through one half then
_SAMPLES = 12  # positions along each of batch, rows and columns at which all combinations are compared


@dataclass(frozen=True, slots=True)
class _Space:
    """Extents of the loops, and the names of those of the batch, outermost first."""

    extents: dict[str, int]
    batch: tuple[str, ...]

    def shape(self, inner: tuple[str, ...]) -> tuple[int, ...]:
        return tuple(self.of(name) for name in (*self.batch, *inner))

    def of(self, name: str) -> int:
        """Positions of a loop; of features all of them, where halves of a head are a loop around them."""
        return self.extents[name] * (self.extents.get(_HALVES, 1) if name == "d" else 1)


def expect_attention(
    kernel: Kernel, nodes: list[OperatorFacts], model: ModelFacts
) -> tuple[Expectation | None, list[Finding]]:
    """What the kernel should look like, and findings on its steps and on the order of its dimensions.

    Without an expectation the nodes are no attention, or the record does not say which loop each dimension follows.
    """
    where = f"kernel {kernel.name}"
    try:
        held = {entry.role: entry.tensor for entry in kernel.inputs if entry.state}
        facts = read_nodes(nodes, model, held)
    except NoAttentionError as reason:
        rule = "the nodes of an attention are one"
        return None, [Finding(OPERATOR, rule, where, str(reason), words([node.name for node in nodes]))]
    space = _space(kernel, facts)
    if space is None:
        rule = "the dimensions of query, key, value and result follow the loops of an attention"
        found = words([f"{role}: {kernel.arguments.get(role)}" for role in _INNER])
        return None, [Finding(OPERATOR, rule, where, _shown(facts), found)]
    findings = [*_check_body(kernel, facts, model), *_check_order(kernel, facts, space, model)]
    findings += [*check_written(kernel, facts), *_check_places(kernel, facts, space, model)]
    operands = [_named(role, kernel, facts, space) for role in ("q", "k", "v")]
    operands += _broadcast_operands(kernel, facts, space)
    operands += _written_operands(kernel, facts, space, model)
    out = tuple(Loop(name, space.extents[name] if name else 1) for name in _labels(kernel, "out"))
    features = [name for name in (_HALVES, "d") if name in space.extents]
    inner = {name: space.extents[name] for name in features if name not in _labels(kernel, "out")}
    others = tuple(
        tuple(Loop(name, space.extents[name] if name else 1) for name in _labels(kernel, role))
        for role in facts.states
    )
    return Expectation(tuple(operands), out, {"t": space.extents["t"]}, {}, others, inner), findings


def _inner(kernel: Kernel, role: str) -> tuple[str, str]:
    """The loops of the last two dimensions that an operand or the result has; one loop may walk through all features."""
    rows, columns = _INNER[role]
    one = "n" not in _labels(kernel, "v") and "d" in _labels(kernel, "v")
    return (rows, "d") if one and columns == "n" else (rows, columns)


def _labels(kernel: Kernel, role: str) -> tuple[str, ...]:
    value = kernel.arguments.get(role)
    return tuple(str(item) for item in value) if isinstance(value, tuple) else ()


def _views(kernel: Kernel) -> dict[str, tuple[int, ...]]:
    views = {entry.role: entry.sharding.shape for entry in kernel.inputs if entry.role in _INNER}
    return {**views, "out": kernel.outputs[0].sharding.shape}


def _space(kernel: Kernel, facts: AttentionFacts) -> _Space | None:
    """The loops as the record has them; None where its views contradict each other or the nodes."""
    read, views = facts.read, _views(kernel)
    extents = {"m": facts.rows[-2], "t": facts.rows[-1], "d": read["q"][-1], "n": facts.given[-1]}
    halved = [role for role in _INNER if _HALVES in _labels(kernel, role)]
    if halved:
        extents |= {_HALVES: 2, "d": read["q"][-1] // 2}
    unknown = {"q", "k", "v"} - set(views)
    if unknown or (
        halved
        and not (read["q"][-1] % 2 == 0 and all(map(_in_halves, map(partial(_labels, kernel), _INNER))))
    ):
        return None
    for role in _INNER:
        inner, labels = _inner(kernel, role), _labels(kernel, role)
        named = [name for name in labels if name]
        if len(labels) != len(views[role]) or len(set(named)) < len(named):
            return None
        for name, extent in zip(labels, views[role], strict=True):
            known = name in {*inner, _HALVES} or (name[:1] == "b" and name[1:].isdecimal())
            if name and (not known or extents.setdefault(name, extent) != extent):
                return None
            if not name and extent != 1:
                return None
    batch = sorted((name for name in extents if name[:1] == "b"), key=lambda name: int(name[1:]))
    if math.prod(extents[name] for name in batch) != math.prod(facts.rows[:-2]):
        return None
    return _Space(extents, tuple(batch))


def _in_halves(labels: tuple[str, ...]) -> bool:
    """Whether features are seen as two halves in a view: the loop over these just outside of that over each."""
    return _HALVES in labels and labels[labels.index(_HALVES) + 1 :][:1] == ("d",)


def _shown(facts: AttentionFacts) -> str:
    m, t = facts.rows[-2:]
    return (
        f"batch loops of {math.prod(facts.rows[:-2])} in all, m = {m}, t = {t}, d = {facts.read['q'][-1]}, "
        f"n = {facts.given[-1]}"
    )


def _named(role: str, kernel: Kernel, facts: AttentionFacts, space: _Space) -> Operand:
    reads = tuple(along(name, space.extents[name]) if name else whole(1) for name in _labels(kernel, role))
    tensor = facts.operands[role].tensor
    if role in facts.states:
        tensor = next(entry.tensor for entry in kernel.inputs if entry.role == role)
    return Operand(role, tensor, reads)


def _broadcast_operands(kernel: Kernel, facts: AttentionFacts, space: _Space) -> Iterator[Operand]:
    """The sink and the operands of steps, in views [batch loops, m, t or columns], scalars in views of one element."""
    outside = {wire.tensor for step in facts.steps if not step.state for wire in step.wires if wire.tensor}
    if "sink" in facts.operands and all(entry.role != "sink" for entry in kernel.inputs):
        yield Operand("sink", facts.operands["sink"].tensor, (), view_fits=False)
    for entry in kernel.inputs:
        if entry.role == "sink" and "sink" in facts.operands:
            tensor = facts.operands["sink"].tensor
        elif entry.role[:1] == "m" and entry.tensor in outside:
            tensor = entry.tensor
        else:
            continue
        view = entry.sharding.shape
        if math.prod(view) == 1:
            yield Operand(entry.role, tensor, (whole(1),) * len(view))
            continue
        names = (*space.batch, "m", "t")
        reads = [
            broadcast(Loop(name, space.extents[name]), extent if extent == 1 else space.extents[name])
            for name, extent in zip(names, view, strict=False)
        ]
        reads = [*reads[:-1], whole(view[-1])] if entry.role == "sink" else reads
        yield Operand(entry.role, tensor, tuple(reads), view_fits=len(view) == len(names))


def _check_body(kernel: Kernel, facts: AttentionFacts, model: ModelFacts) -> Iterator[Finding]:
    where = f"kernel {kernel.name}, body"
    expected = [step.node.op_type for step in facts.steps]
    if [step.operator for step in kernel.body] != expected:
        rule = "the body has a step for each node that computes"
        yield Finding(OPERATOR, rule, where, words(expected), words([step.operator for step in kernel.body]))
        return
    outputs = [step.output for step in kernel.body]
    roles = [entry.role for entry in kernel.inputs]
    if len({*outputs, *roles}) < len(outputs) + len(roles):
        rule = "outputs of steps have names of their own"
        yield Finding(OPERATOR, rule, where, "each name once", words([*roles, *outputs]))
    for position, (step, wanted) in enumerate(zip(kernel.body, facts.steps, strict=True)):
        yield from _check_step(kernel, step, wanted, model, f"{where} step {position}")


def _check_step(
    kernel: Kernel, step: ChainStep, wanted: ExpectedStep, model: ModelFacts, where: str
) -> Iterator[Finding]:
    if step.attributes != wanted.node.attributes:
        rule = "a step has the attributes of its node"
        yield Finding(OPERATOR, rule, where, str(wanted.node.attributes), str(step.attributes))
    dtype = model.tensors[wanted.node.outputs[0]].dtype
    if step.dtype != dtype:
        yield Finding(OPERATOR, "a step has the element type of its node", where, dtype, step.dtype)
    tensors = {entry.role: entry.tensor for entry in kernel.inputs}
    fits = len(step.inputs) == len(wanted.wires) and all(
        _leads(wire, name, kernel, tensors, "u" if wanted.state else "m")
        for wire, name in zip(wanted.wires, step.inputs, strict=True)
    )
    if not fits:
        expected = words([_wire_shown(wire, kernel) for wire in wanted.wires])
        yield Finding(OPERATOR, "a step is wired as its node", where, expected, words(step.inputs))


def _leads(wire: Wire, name: str, kernel: Kernel, tensors: dict[str, str], outside: str) -> bool:
    if wire.step >= 0:
        return name == kernel.body[wire.step].output
    if wire.role:
        return name == wire.role
    return name[:1] == outside and tensors.get(name) == wire.tensor if wire.tensor else not name


def _wire_shown(wire: Wire, kernel: Kernel) -> str:
    if wire.step >= 0:
        return kernel.body[wire.step].output
    return wire.role or (f"an input that reads {wire.tensor}" if wire.tensor else "nothing")


def _check_order(
    kernel: Kernel, facts: AttentionFacts, space: _Space, model: ModelFacts
) -> Iterator[Finding]:
    """Whether the dimensions of the views lie in the tensors as the nodes move them."""
    lead = facts.rows[:-2]
    entries = {entry.role: entry for entry in kernel.inputs}
    for role in ("q", "k", "v"):
        points, numbers = _points(space, _inner(kernel, role))
        over = (*(facts.given[:-2] if role == "v" else lead), *facts.read[role][-2:])
        elements = clamped(numbers, over, facts.read[role])
        found = _in_view(points, _labels(kernel, role), space)
        if (trace(elements, facts.operands[role], model) != found).any():
            yield _misread(kernel, role)
    if "sink" in facts.operands and "sink" in entries:
        yield from _check_sink(kernel, facts, space, model)
    for step in facts.steps:
        for wire in step.wires:
            if wire.tensor and not step.state and step.shape[-1:] == facts.rows[-1:]:
                yield from _check_mask(kernel, wire.tensor, step.shape, space, model)
    points, numbers = _points(space, _inner(kernel, "out"))
    found = _in_view(points, _labels(kernel, "out"), space)
    back = trace(found, Brought(facts.result.tensor, facts.result.way), model)
    if (back != numbers).any():
        yield _misread(kernel, "out")


def check_written(kernel: Kernel, facts: AttentionFacts) -> Iterator[Finding]:
    """Whether the kernel gives the states that its steps have written, and no others."""
    where = f"kernel {kernel.name}"
    found = [entry.tensor for entry in kernel.outputs if entry.state]
    expected = [present for present, _ in facts.states.values()]
    if found != expected:
        rule = "a kernel gives the states that it has written"
        yield Finding(OPERATOR, rule, where, words(expected), words(found))
    given = kernel.arguments.get("states", ())
    steps = tuple(
        kernel.body[step].output if step < len(kernel.body) else "" for _, step in facts.states.values()
    )
    if given != steps:
        rule = "a state is what the last of its updates gives"
        yield Finding(OPERATOR, rule, f"{where}, argument states", words(steps), str(given))


@dataclass(frozen=True, slots=True)
class _Written:
    """An input that the updates of a state read.

    Attributes:
        entry: The input.
        labels: The loop of each dimension of its view; `new` for that of the new rows.
        shape: What it broadcasts to: the shape of the state, with the new rows in place of a dimension.
        space: The loops, `new` among them.
        inner: The last two of the dimensions of `shape`.
    """

    entry: KernelInput
    labels: tuple[str, ...]
    shape: tuple[int, ...]
    space: _Space
    inner: tuple[str, str]


def _written(kernel: Kernel, facts: AttentionFacts, space: _Space, model: ModelFacts) -> Iterator[_Written]:
    """Every input that updates read, once for each state and place in a step."""
    entries = {entry.role: entry for entry in kernel.inputs}
    for step, wanted in zip(kernel.body, facts.steps, strict=False):
        if not wanted.state:
            continue
        labels, shape = _labels(kernel, wanted.state), model.shape(facts.states[wanted.state][0])
        features = _inner(kernel, "v")[1] if wanted.state == "v" else "d"
        for index, (name, wire) in enumerate(zip(step.inputs, wanted.wires, strict=False)):
            if not wire.tensor or name not in entries:
                continue
            if wanted.node.op_type != "MatMul":
                yield _Written(entries[name], labels, shape, space, ("t", features))
                continue
            of_tensor = model.shape(wire.tensor)
            rows = of_tensor[-1] if index == 0 else of_tensor[-2]
            inside = _Space({**space.extents, "new": rows}, space.batch)
            own = (*labels[:-1], "new") if index == 0 else (*labels[:-2], "new", *labels[-1:])
            lead = (*shape[:-1], rows) if index == 0 else (*shape[:-2], rows, shape[-1])
            yield _Written(
                entries[name], own, lead, inside, ("t", "new") if index == 0 else ("new", features)
            )


def _written_operands(
    kernel: Kernel, facts: AttentionFacts, space: _Space, model: ModelFacts
) -> list[Operand]:
    """What updates read, in the view of their state with 1 where it broadcasts; what two of them read is there once."""
    operands: dict[str, Operand] = {}
    for item in _written(kernel, facts, space, model):
        view = item.entry.sharding.shape
        reads = tuple(
            whole(extent)
            if name == "new" or not name
            else broadcast(Loop(name, space.extents[name]), extent if extent == 1 else space.extents[name])
            for name, extent in zip(item.labels, view, strict=False)
        )
        fits = len(view) == len(item.labels)
        role = item.entry.role
        operands.setdefault(role, Operand(role, item.entry.tensor, reads, view_fits=fits))
    return list(operands.values())


def _check_places(
    kernel: Kernel, facts: AttentionFacts, space: _Space, model: ModelFacts
) -> Iterator[Finding]:
    """Whether what updates read broadcasts to the view of the state as the tensor does to the state."""
    for item in _written(kernel, facts, space, model):
        points, _ = _points(item.space, item.inner)
        tensor = model.shape(item.entry.tensor)
        elements = clamped(_in_view(points, item.labels, item.space), item.shape, tensor)
        view = item.entry.sharding.shape
        full = tuple(item.space.extents[name] if name else 1 for name in item.labels)
        zero = next(iter(points.values())) * 0
        own = {f"{at} {name}": points.get(name, zero) for at, name in enumerate(item.labels)}
        if not _broadcasts(view, full) or (_in_ones(own, view) != elements).any():
            yield _misread(kernel, item.entry.role)


def _misread(kernel: Kernel, role: str) -> Finding:
    rule = "the dimensions of a view are in the order in which the tensor stores them"
    found = words(_labels(kernel, role)) if role in _INNER else "another order"
    where = f"kernel {kernel.name}, {'output' if role == 'out' else f'input {role}'}"
    return Finding(OPERATOR, rule, where, "the order to which the nodes move it", found)


def _check_sink(kernel: Kernel, facts: AttentionFacts, space: _Space, model: ModelFacts) -> Iterator[Finding]:
    shape = facts.read["sink"]
    entry = next(entry for entry in kernel.inputs if entry.role == "sink")
    inside = _Space({**space.extents, "columns": shape[-1]}, space.batch)
    points, numbers = _points(inside, ("m", "columns"))
    view = entry.sharding.shape
    if len(view) != len(space.batch) + 2 or view[-1] != shape[-1]:
        yield _misread(kernel, "sink")
        return
    expected = trace(numbers, facts.operands["sink"], model)
    if not _broadcasts(view, inside.shape(("m", "columns"))) or (_in_ones(points, view) != expected).any():
        yield _misread(kernel, "sink")


def _check_mask(
    kernel: Kernel, tensor: str, shape: tuple[int, ...], space: _Space, model: ModelFacts
) -> Iterator[Finding]:
    """Whether an operand of the scores broadcasts to the loops as the tensor to the scores."""
    entry = next((item for item in kernel.inputs if item.tensor == tensor and item.role[:1] == "m"), None)
    if entry is None or model.tensors[tensor].elements == 1:
        return
    view, full = entry.sharding.shape, space.shape(("m", "t"))
    points, numbers = _points(space, ("m", "t"))
    expected = clamped(numbers, shape, model.shape(tensor))
    if not _broadcasts(view, full) or (_in_ones(points, view) != expected).any():
        yield _misread(kernel, entry.role)


def _broadcasts(view: tuple[int, ...], full: tuple[int, ...]) -> bool:
    return len(view) == len(full) and all(a in {1, b} for a, b in zip(view, full, strict=True))


def _points(space: _Space, inner: tuple[str, ...]) -> tuple[dict[str, Integers], Integers]:
    """Positions of the loops at which two readings are compared, and their numbers in [batch ..., inner].

    All positions along each of the batch, the rows and the columns, the others at 0; all combinations of some of each.
    """
    shape = space.shape(inner)
    size = (math.prod(shape[:-2]), shape[-2], shape[-1])
    triples = [np.zeros((0, 3), dtype=np.int64)]
    for axis, extent in enumerate(size):
        line = np.zeros((extent, 3), dtype=np.int64)
        line[:, axis] = np.arange(extent)
        triples.append(line)
    some = [np.unique(np.linspace(0, max(extent - 1, 0), _SAMPLES, dtype=np.int64)) for extent in size]
    triples.append(np.stack(np.meshgrid(*some, indexing="ij"), axis=-1).reshape(-1, 3))
    at = np.concatenate(triples)
    numbers = (at[:, 0] * size[1] + at[:, 1]) * size[2] + at[:, 2]
    index = np.unravel_index(numbers, shape)
    points = dict(zip((*space.batch, *inner), index, strict=True))
    if _HALVES in space.extents and "d" in points:
        points[_HALVES], points["d"] = np.divmod(points["d"], space.extents["d"])
    return points, numbers


def _in_view(points: dict[str, Integers], labels: tuple[str, ...], space: _Space) -> Integers:
    """Numbers of the elements at these points in a view whose dimensions follow `labels`."""
    number = np.zeros_like(next(iter(points.values())))
    for name in labels:
        if name:
            number = number * space.extents[name] + points[name]
    return number


def _in_ones(points: dict[str, Integers], view: tuple[int, ...]) -> Integers:
    """Numbers of the elements at these points in a view of the same dimensions, or 1 where it broadcasts."""
    number = np.zeros_like(next(iter(points.values())))
    for at, extent in zip(points.values(), view, strict=True):
        number = number * extent + (at if extent > 1 else 0)
    return number
