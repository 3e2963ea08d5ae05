"""All circuits of a phase: what its routers hold, colour by colour."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wsec.compiler.fabric.kernel_circuits import kernel_circuits

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wsec.compiler.plan import Circuit, Exchange, Kernel, Link
    from wsec.compiler.target import Fabric


def phase_circuits(kernels: Sequence[Kernel], links: Sequence[Link], fabric: Fabric) -> tuple[Circuit, ...]:
    """The circuits inside the kernels, in their order.

    Raises:
        WsecError: WSEC342 a kernel needs more colours than are kept for kernels.
    """
    exchanges: dict[str, list[Exchange]] = {}
    for link in links:
        exchanges.setdefault(link.target, []).extend(link.exchanges)
    return tuple(
        circuit
        for kernel in kernels
        for circuit in kernel_circuits(kernel, exchanges.get(kernel.name, ()), fabric)
    )
