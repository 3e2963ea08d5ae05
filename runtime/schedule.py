"""In which order the kernels of a plan run, what feeds each, and when a tensor is not needed any more."""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wsec.compiler.errors import WsecError
from wsec.compiler.plan import HOST

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from wsec.compiler.plan import Kernel, Link, Plan

Produced = tuple[str, str]
"""A tensor and who made it: (kernel or host, tensor)."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """The order of execution, derived from the links alone.

    Attributes:
        kernels: Each after all that it reads from.
        incoming: The link that feeds (kernel, role).
        outgoing: The link that brings an output of the model to the host.
        done_after: For each kernel in order, what nobody reads after it.
    """

    kernels: tuple[Kernel, ...]
    incoming: dict[tuple[str, str], Link]
    outgoing: dict[str, Link]
    done_after: tuple[tuple[Produced, ...], ...]


def make_schedule(plan: Plan, is_initializer: Callable[[str], bool]) -> Schedule:
    """The schedule of a plan; kernels that could run at once keep the plan's order.

    Raises:
        WsecError: WSEC564 a tensor that is needed is brought by no link or made by nobody, WSEC565 kernels wait for
            each other.
    """
    incoming = {(link.target, link.role): link for link in plan.links() if link.target != HOST}
    outgoing = {link.tensor: link for link in plan.links() if link.target == HOST}
    made = {(kernel.name, item.tensor) for kernel in plan.kernels() for item in kernel.outputs}
    made |= {(HOST, value.name) for value in plan.inputs}
    kernels = tuple(plan.kernels())
    for kernel in kernels:
        for item in kernel.inputs:
            if not item.constant:
                _check_brought(incoming.get((kernel.name, item.role)), made, item.tensor, kernel.name)
    for value in plan.outputs:
        if value.name not in outgoing and ((HOST, value.name) in made or is_initializer(value.name)):
            continue
        _check_brought(outgoing.get(value.name), made, value.name, HOST)
    ordered = _in_order(kernels, incoming)
    return Schedule(ordered, incoming, outgoing, _done_after(ordered, incoming, outgoing))


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


def _in_order(kernels: tuple[Kernel, ...], incoming: dict[tuple[str, str], Link]) -> tuple[Kernel, ...]:
    """Kahn's algorithm, always taking the first kernel of the plan that is ready."""
    sources = [_sources(kernel, incoming) for kernel in kernels]
    readers: dict[str, list[int]] = {}
    for position, names in enumerate(sources):
        for name in names:
            readers.setdefault(name, []).append(position)
    ready = [position for position, names in enumerate(sources) if not names]
    ordered: list[Kernel] = []
    while ready:
        kernel = kernels[heapq.heappop(ready)]
        ordered.append(kernel)
        for position in readers.get(kernel.name, ()):
            sources[position].discard(kernel.name)
            if not sources[position]:
                heapq.heappush(ready, position)
    if len(ordered) == len(kernels):
        return tuple(ordered)
    raise kernels_wait([kernel.name for kernel, names in zip(kernels, sources, strict=True) if names])


def kernels_wait(names: Sequence[str]) -> WsecError:
    """WSEC565: the kernels of these names wait for each other."""
    return WsecError(
        code="WSEC565",
        what="kernels wait for each other",
        where=", ".join(names[:8]) + (", ..." if len(names) > 8 else ""),
        expected="links that form no circle",
        found=f"{len(names)} kernels that cannot begin",
        hint="`wsec check-plan` lists what is wrong with the plan; compile the model again",
    )


def _sources(kernel: Kernel, incoming: dict[tuple[str, str], Link]) -> set[str]:
    """The kernels whose results a kernel reads."""
    links = (incoming[kernel.name, item.role] for item in kernel.inputs if not item.constant)
    return {link.source for link in links if link.source != HOST}


def _done_after(
    ordered: tuple[Kernel, ...], incoming: dict[tuple[str, str], Link], outgoing: dict[str, Link]
) -> tuple[tuple[Produced, ...], ...]:
    kept = {(link.source, link.tensor) for link in outgoing.values()}
    last: dict[Produced, int] = {}
    for position, kernel in enumerate(ordered):
        last.update({(kernel.name, made.tensor): position for made in kernel.outputs})
        for item in kernel.inputs:
            if not item.constant:
                link = incoming[kernel.name, item.role]
                last[link.source, link.tensor] = position
    done: list[list[Produced]] = [[] for _ in ordered]
    for produced, position in last.items():
        if produced not in kept and produced[0] != HOST:
            done[position].append(produced)
    return tuple(tuple(items) for items in done)
