"""Changes of the legal plan, one entry at a time, for tests of the plan checker."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from legal_plans import (
    change_dimension,
    change_input,
    change_kernel,
    change_link,
    check_without_circuits,
    network_model,
    network_plan,
)

from wsec.compiler.plan import Phase, Plan, Wafer
from wsec.compiler.sharding import cut, whole

if TYPE_CHECKING:
    from collections.abc import Callable

    from wsec.compiler.plan import Kernel, Link

HALVES = (whole(1), cut(6, 2, ("d1",)), cut(8, 4, ("d2",)), whole(8))
"""How tensors lie on the kernel `sum`."""


class Case(NamedTuple):
    """A change of the legal plan, and every finding it leads to, word for word."""

    name: str
    change: Callable[[Plan], Plan]
    findings: tuple[str, ...]


def kernel(name: str, /, **changes: object) -> Callable[[Plan], Plan]:
    """Changes entries of a kernel."""
    return lambda plan: change_kernel(plan, name, lambda kernel: replace(kernel, **changes))  # type: ignore[arg-type] # names are the caller's


def entry(name: str, role: str, /, **changes: object) -> Callable[[Plan], Plan]:
    """Changes entries of a kernel's input."""
    return lambda plan: change_kernel(plan, name, lambda kernel: change_input(kernel, role, **changes))


def dimension(name: str, role: str, position: int, **changes: object) -> Callable[[Plan], Plan]:
    """Changes a dimension of a kernel's input; of its output where the role is empty."""

    def change(kernel: Kernel) -> Kernel:
        if not role:
            sharding = change_dimension(kernel.outputs[0].sharding, position, **changes)
            return replace(kernel, outputs=(replace(kernel.outputs[0], sharding=sharding),))
        (found,) = (item for item in kernel.inputs if item.role == role)
        return change_input(kernel, role, sharding=change_dimension(found.sharding, position, **changes))

    return lambda plan: change_kernel(plan, name, change)


def output(name: str, **changes: object) -> Callable[[Plan], Plan]:
    """Changes entries of a kernel's output."""

    def change(kernel: Kernel) -> Kernel:
        return replace(kernel, outputs=(replace(kernel.outputs[0], **changes),))  # type: ignore[arg-type] # names are the caller's

    return lambda plan: change_kernel(plan, name, change)


def step(name: str, position: int, **changes: object) -> Callable[[Plan], Plan]:
    """Changes entries of a step of a chain."""

    def change(kernel: Kernel) -> Kernel:
        chain = list(kernel.chain)
        chain[position] = replace(chain[position], **changes)  # type: ignore[arg-type] # names are the caller's
        return replace(kernel, chain=tuple(chain))

    return lambda plan: change_kernel(plan, name, change)


def link(name: str, /, **changes: object) -> Callable[[Plan], Plan]:
    """Changes entries of a link."""
    return lambda plan: change_link(plan, name, lambda link: replace(link, **changes))  # type: ignore[arg-type] # names are the caller's


def route(name: str, **changes: object) -> Callable[[Plan], Plan]:
    """Changes entries of a link's route."""

    def change(link: Link) -> Link:
        return replace(link, routes=(replace(link.routes[0], **changes),))  # type: ignore[arg-type] # names are the caller's

    return lambda plan: change_link(plan, name, change)


def placement(**changes: object) -> Callable[[Plan], Plan]:
    """Changes entries of the placement summary."""
    return lambda plan: replace(plan, placement=replace(plan.placement, **changes))  # type: ignore[arg-type] # names are the caller's


def phases(change: Callable[[Phase], Phase]) -> Callable[[Plan], Plan]:
    """Changes the one phase."""
    return lambda plan: replace(plan, wafers=(Wafer((change(plan.wafers[0].phases[0]),)),))


def assert_findings(case: Case) -> None:
    """The changed plan has these findings and no others."""
    assert (
        tuple(map(str, check_without_circuits(case.change(network_plan()), network_model()))) == case.findings
    )
