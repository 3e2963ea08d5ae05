"""In which order kernels and host operators of a plan run, what feeds each, and when a tensor is not needed any more."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from wsec.compiler.errors import WsecError
from wsec.compiler.plan import HOST, Kernel

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from wsec.compiler.plan import HostOperator, Link, Plan

Produced = tuple[str, str]
"""A tensor and who made it: (kernel or host, tensor)."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """The order of execution, derived from the links and from what host operators read.

    Attributes:
        steps: Kernels and host operators, each after all that it reads from.
        incoming: The link that feeds (kernel, role).
        outgoing: The link that brings a tensor to the host.
        done_after: For each step in order, what nobody reads after it.
        writers: The kernel that writes a state, or a cache that stays on the wafer for a decoder, by the name of the output.
    """

    steps: tuple[Kernel | HostOperator, ...]
    incoming: dict[tuple[str, str], Link]
    outgoing: dict[str, Link]
    done_after: tuple[tuple[Produced, ...], ...]
    writers: dict[str, str] = field(default_factory=dict)

    @property
    def kernels(self) -> tuple[Kernel, ...]:
        """The kernels in the order in which they run."""
        return tuple(step for step in self.steps if isinstance(step, Kernel))


def make_schedule(plan: Plan, is_initializer: Callable[[str], bool]) -> Schedule:
    """The schedule of a plan; steps that could run at once keep the plan's order, host operators first.

    Raises:
        WsecError: WSEC564 a tensor that is needed is brought by no link or made by nobody, WSEC565 kernels wait for
            each other.
    """
    incoming, outgoing = _ends(plan)
    made = {(kernel.name, item.tensor) for kernel in plan.kernels() for item in kernel.outputs}
    on_host = _on_host(plan)
    made |= {(HOST, name) for name in on_host}
    kernels = tuple(plan.kernels())
    for kernel in kernels:
        for item in kernel.inputs:
            if not item.resident:
                _check_brought(incoming.get((kernel.name, item.role)), made, item.tensor, kernel.name)
    wanted = [name for item in plan.host_operators for name in item.inputs]
    caches = {} if plan.shared is None else {each.output: each.kernel for each in plan.shared.caches}
    updates = {*(state.output for state in plan.states), *caches}
    for name in (*wanted, *(value.name for value in plan.outputs)):
        if name not in outgoing and (name in on_host or name in updates or is_initializer(name)):
            continue
        _check_brought(outgoing.get(name), made, name, HOST)
    ordered = _in_order(plan)
    kept = {(HOST, value.name) for value in (*plan.inputs, *plan.outputs)}
    writers = {item.tensor: kernel.name for kernel in kernels for item in kernel.outputs if item.state}
    writers |= {name: kernel for name, kernel in caches.items() if (kernel, name) in made}
    kept |= {(kernel, tensor) for tensor, kernel in writers.items()}
    kept |= {(outgoing[value.name].source, value.name) for value in plan.outputs if value.name in outgoing}
    done = _done_after(ordered, kept)
    return Schedule(tuple(step for step, _ in ordered), incoming, outgoing, done, writers)


def kernels_in_order(plan: Plan) -> tuple[Kernel, ...]:
    """The kernels, each after all that it reads from, over host operators too; of links that are missing nothing is said.

    Raises:
        WsecError: WSEC565 kernels wait for each other.
    """
    return tuple(step for step, _ in _in_order(plan) if isinstance(step, Kernel))


def _ends(plan: Plan) -> tuple[dict[tuple[str, str], Link], dict[str, Link]]:
    """The links into kernels, by kernel and role, and those to the host, by tensor."""
    incoming = {(link.target, link.role): link for link in plan.links() if link.target != HOST}
    return incoming, {link.tensor: link for link in plan.links() if link.target == HOST}


def _on_host(plan: Plan) -> set[str]:
    """The tensors that begin on the host."""
    return {
        value.name
        for values in (plan.inputs, *(item.outputs for item in plan.host_operators))
        for value in values
    }


def _reads_of_kernel(kernel: Kernel, incoming: dict[tuple[str, str], Link]) -> list[Produced]:
    links = (incoming.get((kernel.name, item.role)) for item in kernel.inputs if not item.resident)
    return [(link.source, link.tensor) for link in links if link is not None]


def _reads_of_host(item: HostOperator, on_host: set[str], outgoing: dict[str, Link]) -> list[Produced]:
    return [
        (HOST, name) if name in on_host else (outgoing[name].source, name)
        for name in item.inputs
        if name in on_host or name in outgoing
    ]


def _given_by(step: Kernel | HostOperator) -> list[Produced]:
    if isinstance(step, Kernel):
        return [(step.name, item.tensor) for item in step.outputs]
    return [(HOST, value.name) for value in step.outputs]


def _check_brought(link: Link | None, made: set[Produced], tensor: str, reader: str) -> None:
    if link is not None and (link.source, link.tensor) in made:
        return
    found = (
        "no link"
        if link is None
        else f"link {link.name} with {link.tensor} from {link.source}, which makes none"
    )
    raise WsecError(
        code="WSEC564",
        what="a tensor that is needed is not brought",
        where=f"{reader}, tensor {tensor}" if reader == HOST else f"kernel {reader}, tensor {tensor}",
        expected="a link from the kernel that makes it, or from the host for an input of the model",
        found=found,
        hint="`wsec check-plan` lists what is wrong with the plan; compile the model again",
    )


_Step = tuple["Kernel | HostOperator", "list[Produced]"]


def _sources(steps: Sequence[Kernel | HostOperator], reads: Sequence[Sequence[Produced]]) -> list[set[int]]:
    """The positions of the steps that each step waits for."""
    makers: dict[object, int] = {}
    for position, step in enumerate(steps):
        names = [step.name] if isinstance(step, Kernel) else [(HOST, value.name) for value in step.outputs]
        makers.update(dict.fromkeys(names, position))
    keys = [[item if item[0] == HOST else item[0] for item in of_step] for of_step in reads]
    return [{makers[key] for key in of_step if key in makers} for of_step in keys]


def _in_order(plan: Plan) -> list[_Step]:
    """Kahn's algorithm, always taking the first step that is ready; each step with what it reads."""
    incoming, outgoing = _ends(plan)
    on_host = _on_host(plan)
    steps: tuple[Kernel | HostOperator, ...] = (*plan.host_operators, *plan.kernels())
    reads = [
        _reads_of_kernel(step, incoming)
        if isinstance(step, Kernel)
        else _reads_of_host(step, on_host, outgoing)
        for step in steps
    ]
    sources = _sources(steps, reads)
    readers: dict[int, list[int]] = {}
    for position, makers_of in enumerate(sources):
        for maker in makers_of:
            readers.setdefault(maker, []).append(position)
    ready = [position for position, makers_of in enumerate(sources) if not makers_of]
    ordered: list[_Step] = []
    while ready:
        current = heapq.heappop(ready)
        ordered.append((steps[current], reads[current]))
        for position in readers.get(current, ()):
            sources[position].discard(current)
            if not sources[position]:
                heapq.heappush(ready, position)
    if len(ordered) == len(steps):
        return ordered
    waiting = [step.name for step, makers_of in zip(steps, sources, strict=True) if makers_of]
    raise WsecError(
        code="WSEC565",
        what="kernels wait for each other",
        where=", ".join(waiting[:8]) + (", ..." if len(waiting) > 8 else ""),
        expected="links that form no circle",
        found=f"{len(waiting)} kernels that cannot begin",
        hint="`wsec check-plan` lists what is wrong with the plan; compile the model again",
    )


def _done_after(ordered: Sequence[_Step], kept: set[Produced]) -> tuple[tuple[Produced, ...], ...]:
    last: dict[Produced, int] = {}
    for position, (step, reads) in enumerate(ordered):
        last.update(dict.fromkeys((*_given_by(step), *reads), position))
    done: list[list[Produced]] = [[] for _ in ordered]
    for produced, position in last.items():
        if produced not in kept:
            done[position].append(produced)
    return tuple(tuple(items) for items in done)
