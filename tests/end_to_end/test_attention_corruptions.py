"""The checker refuses an attention kernel whose record says anything but what its nodes do."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from attention_models import Sizes, gpt2, gpt_oss

import wsec
from wsec.compiler import planning
from wsec.compiler.plan import ChainStep, Cycles, Kernel, MemoryLedger
from wsec.compiler.plan_checker import check_plan
from wsec.compiler.sharding import DimensionSharding, whole

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SIZES = Sizes(batch=1, heads=3, groups=3, rows=6, keys=10, size=4, width=5)


@pytest.fixture(scope="module", autouse=True)
def _never_apart() -> Iterator[None]:
    """The kernel is what is spoilt here, however fast its operators would be."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(planning, "slow_attentions", lambda _tables, _interval: frozenset())
        yield


@pytest.fixture(scope="module")
def masked(tmp_path_factory: pytest.TempPathFactory) -> wsec.Plan:
    """Scaled, masked and biased scores, and a chain; keys are cut."""
    path = gpt2(tmp_path_factory.mktemp("masked") / "model.onnx", SIZES)
    return wsec.compile(path, target="mesh64", region=(8, 8), effort=0)


@pytest.fixture(scope="module")
def sunk(tmp_path_factory: pytest.TempPathFactory) -> wsec.Plan:
    """Scores with a sink."""
    path = gpt_oss(tmp_path_factory.mktemp("sunk") / "model.onnx", SIZES)
    return wsec.compile(path, target="mesh64", region=(8, 8), effort=0)


def with_kernel(plan: wsec.Plan, change: Callable[[Kernel], Kernel]) -> list[str]:
    """Rules that the plan breaks once its only kernel is changed, each once, in order."""
    (wafer,) = plan.record.wafers
    (phase,) = wafer.phases
    (kernel,) = phase.kernels
    changed = change(kernel)
    assert changed != kernel
    record = replace(plan.record, wafers=(replace(wafer, phases=(replace(phase, kernels=(changed,)),)),))
    found = check_plan(record, plan.folder / "model.onnx")
    return list(dict.fromkeys(f"{item.code} {item.rule}" for item in found))


def step_changed(position: int, **changes: object) -> Callable[[Kernel], Kernel]:
    """Another step in the body."""

    def change(kernel: Kernel) -> Kernel:
        steps = list(kernel.body)
        steps[position] = replace(steps[position], **changes)  # type: ignore[arg-type] # fields of a step
        return replace(kernel, body=tuple(steps))

    return change


def reordered(role: str) -> Callable[[Kernel], Kernel]:
    """The first two dimensions that an argument names change places, as do those of the view."""

    def swap(dimensions: tuple[DimensionSharding, ...]) -> tuple[DimensionSharding, ...]:
        return (dimensions[1], dimensions[0], *dimensions[2:])

    def change(kernel: Kernel) -> Kernel:
        names = kernel.arguments[role]
        assert isinstance(names, tuple)
        arguments = {**kernel.arguments, role: (names[1], names[0], *names[2:])}
        inputs = tuple(
            replace(item, sharding=replace(item.sharding, dimensions=swap(item.sharding.dimensions)))
            if item.role == role
            else item
            for item in kernel.inputs
        )
        return replace(kernel, arguments=arguments, inputs=inputs)

    return change


def cut_differently(role: str, loop: str, axes: tuple[str, ...]) -> Callable[[Kernel], Kernel]:
    """Every core holds the whole of a dimension, or none follows its loop."""

    def change(kernel: Kernel) -> Kernel:
        names = kernel.arguments[role]
        assert isinstance(names, tuple)
        at = names.index(loop)
        inputs = []
        for item in kernel.inputs:
            dimensions = list(item.sharding.dimensions)
            if item.role == role:
                extent = dimensions[at].extent
                dimensions[at] = whole(extent) if not axes else replace(dimensions[at], axes=axes)
            inputs.append(replace(item, sharding=replace(item.sharding, dimensions=tuple(dimensions))))
        return replace(kernel, inputs=tuple(inputs))

    return change


def without_root(kernel: Kernel) -> Kernel:
    """The weighted values of a part of the keys are taken for the result."""
    (output,) = kernel.outputs
    return replace(kernel, outputs=(replace(output, sharding=replace(output.sharding, root=())),))


def with_memory(kernel: Kernel, buffers: int) -> Kernel:
    """Less room for what is worked on."""
    memory = kernel.memory
    return replace(kernel, memory=MemoryLedger(memory.weights, memory.activations, buffers, memory.code))


MASK = ChainStep("Where", ("m1", "m2", "s1"), "s2", "float32", {})
CHANGES: dict[str, tuple[Callable[[Kernel], Kernel], list[str]]] = {
    "a step fewer": (
        lambda kernel: replace(kernel, body=(*kernel.body[:1], *kernel.body[2:])),
        ["WSEC545 the body has a step for each node that computes"],
    ),
    "another operator": (
        step_changed(1, operator="Div"),
        ["WSEC545 the body has a step for each node that computes"],
    ),
    "the mask the other way round": (
        step_changed(2, inputs=MASK.inputs),
        ["WSEC545 a step is wired as its node"],
    ),
    "another type": (step_changed(3, dtype="float16"), ["WSEC545 a step has the element type of its node"]),
    "another attribute": (
        step_changed(4, attributes={"axis": 1}),
        ["WSEC545 a step has the attributes of its node"],
    ),
    "one name twice": (
        step_changed(1, output="q"),
        ["WSEC545 outputs of steps have names of their own", "WSEC545 a step is wired as its node"],
    ),
    "dimensions of the query in another order": (
        reordered("q"),
        [
            "WSEC545 the dimensions of a view are in the order in which the tensor stores them",
            "WSEC548 a link uses the view of the input that it feeds",
        ],
    ),
    "keys read for values": (
        lambda kernel: replace(kernel, arguments={**kernel.arguments, "v": kernel.arguments["k"]}),
        ["WSEC545 the dimensions of query, key, value and result follow the loops of an attention"],
    ),
    "no order": (
        lambda kernel: replace(kernel, arguments={**kernel.arguments, "q": 3}),
        ["WSEC545 the dimensions of query, key, value and result follow the loops of an attention"],
    ),
    "weighted values not combined": (
        without_root,
        ["WSEC544 a reduction that is cut is combined at the root"],
    ),
    "no room for scores": (
        lambda kernel: with_memory(kernel, 0),
        ["WSEC546 the ledger says no less than the blocks take"],
    ),
    "too few cycles for statistics and words": (
        lambda kernel: replace(kernel, cycles=Cycles(kernel.cycles.compute, 3, kernel.cycles.memory)),
        ["WSEC550 a core takes as many words a cycle from its router as a link carries"],
    ),
    "too few cycles of arithmetic": (
        lambda kernel: replace(kernel, cycles=Cycles(1, kernel.cycles.communication, kernel.cycles.memory)),
        ["WSEC550 a lane does one multiply-add a cycle"],
    ),
}


def test_the_untouched_plans_are_legal(masked: wsec.Plan, sunk: wsec.Plan) -> None:
    """Without this, the tests below would prove nothing."""
    for plan in (masked, sunk):
        assert plan.check() == ()
        (kernel,) = plan.record.kernels()
        assert kernel.kind == "attention"
        assert kernel.split["t"] > 1


@pytest.mark.parametrize("name", list(CHANGES))
def test_a_change_breaks_exactly_these_rules(name: str, masked: wsec.Plan) -> None:
    """Steps, wires, orders, collectives, memory and cycles."""
    change, rules = CHANGES[name]
    assert with_kernel(masked, change) == rules


def test_nodes_in_another_order_are_no_attention(masked: wsec.Plan) -> None:
    """The nodes are read in the order of the record, each behind what it reads."""
    found = with_kernel(masked, lambda kernel: replace(kernel, operators=kernel.operators[::-1]))
    assert found
    assert all(rule.startswith("WSEC545") for rule in found)


@pytest.mark.parametrize(("role", "loop"), [("k", "t"), ("v", "t"), ("q", "m"), ("q", "b0"), ("v", "b0")])
def test_operands_are_cut_with_their_loops(role: str, loop: str, masked: wsec.Plan) -> None:
    """A core that holds a whole dimension would look for its part at the wrong place."""
    (kernel,) = masked.record.kernels()
    if kernel.split[loop] > 1:
        assert with_kernel(masked, cut_differently(role, loop, ()))


def test_a_sink_counts_once_for_each_row(sunk: wsec.Plan) -> None:
    """The sink is an operand of its own, whole in its columns."""

    def without(kernel: Kernel) -> Kernel:
        return replace(kernel, inputs=tuple(item for item in kernel.inputs if item.role != "sink"))

    assert "WSEC545 inputs are the tensors that the nodes read" in with_kernel(sunk, without)
