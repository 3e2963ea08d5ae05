"""States: inputs that stay on the wafer, each read and written by one kernel, on the same cores, and carried by no link."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wsec.compiler.plan import REPLICAS
from wsec.compiler.plan_checker.findings import DATAFLOW, SHARDING, Finding, count, words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wsec.compiler.plan import Kernel, KernelInput, KernelOutput, Plan, State


def check_states(plan: Plan) -> list[Finding]:
    """Findings on the states of a plan, and on what kernels call a state."""
    findings: list[Finding] = []
    reads = [(kernel, entry) for kernel in plan.kernels() for entry in kernel.inputs if entry.state]
    writes = [(kernel, entry) for kernel in plan.kernels() for entry in kernel.outputs if entry.state]
    for state in plan.states:
        findings += _check_interface(state, plan)
        before = [(kernel, entry) for kernel, entry in reads if entry.tensor == state.input]
        after = [(kernel, entry) for kernel, entry in writes if entry.tensor == state.output]
        findings += _check_kernel(state, before, after)
        findings += _check_readers(state, plan)
    known = {name for state in plan.states for name in (state.input, state.output)}
    kept = [*(entry.tensor for _, entry in reads), *(entry.tensor for _, entry in writes)]
    unknown = [name for name in kept if name not in known]
    if unknown:
        rule = "what kernels keep are states of the plan"
        findings.append(Finding(DATAFLOW, rule, "states", words(sorted(known)) or "nothing", words(unknown)))
    return findings


def _check_interface(state: State, plan: Plan) -> Iterator[Finding]:
    """Whether it is an input and an output, of one shape and type."""
    for side, name, values in (("input", state.input, plan.inputs), ("output", state.output, plan.outputs)):
        value = next((item for item in values if item.name == name), None)
        found = "nothing" if value is None else f"{value.dtype} {list(value.shape or ())}"
        if value is None or (value.dtype, value.extents) != (state.dtype, state.shape):
            rule = f"a state is an {side} of the model, with its shape and type"
            expected = f"{state.dtype} {list(state.shape)}"
            yield Finding(DATAFLOW, rule, f"state {state.input}, {side} {name}", expected, found)


def _check_kernel(
    state: State, before: list[tuple[Kernel, KernelInput]], after: list[tuple[Kernel, KernelOutput]]
) -> Iterator[Finding]:
    """Whether one kernel reads and writes it, with equal shardings."""
    where = f"state {state.input}"
    if len(before) != 1 or len(after) != 1 or before[0][0].name != after[0][0].name:
        rule = "one kernel reads a state and writes it"
        found = f"{count(len(before), 'reader')}, {count(len(after), 'writer')}"
        names = sorted({kernel.name for kernel, _ in (*before, *after)})
        yield Finding(
            DATAFLOW, rule, where, "one kernel that does both", f"{found}: {words(names) or 'none'}"
        )
        return
    (kernel, entry), (_, made) = before[0], after[0]
    place = f"kernel {kernel.name}, output {made.tensor}"
    if made.sharding != entry.sharding:
        rule = "a state lies after a run as it lay before"
        yield Finding(SHARDING, rule, place, str(entry.sharding), str(made.sharding))
    if entry.slots != 1 or made.slots != 1:
        rule = "a state is there once"
        yield Finding(SHARDING, rule, place, "1 slot", f"{entry.slots} and {made.slots}")
    cutting = {axis for dimension in entry.sharding.dimensions for axis in dimension.axes}
    cutting.update(REPLICAS)  # all cores along these write the same into theirs
    copying = [axis.name for axis in kernel.mesh.axes if axis.size > 1 and axis.name not in cutting]
    if copying:
        rule = "every element of a state lies on one core"
        yield Finding(
            SHARDING, rule, place, "a dimension cut along each axis", f"copies along {words(copying)}"
        )


def _check_readers(state: State, plan: Plan) -> Iterator[Finding]:
    """Whether nothing else reads or carries it."""
    names = {state.input, state.output}
    links = [link.name for link in plan.links() if link.tensor in names]
    others = [item.name for item in plan.host_operators if names.intersection(item.inputs)]
    plain = [
        kernel.name
        for kernel in plan.kernels()
        for entry in kernel.inputs
        if entry.tensor in names and not entry.state
    ]
    if links or others or plain:
        rule = "a state stays where it is"
        found = words([*(f"link {name}" for name in links), *others, *plain])
        yield Finding(DATAFLOW, rule, f"state {state.input}", "no link and no other reader", found)
