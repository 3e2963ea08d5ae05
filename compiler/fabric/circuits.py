"""All circuits of a phase: what its routers hold, colour by colour."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wsec.compiler.fabric.kernel_circuits import kernel_circuits
from wsec.compiler.fabric.link_circuits import link_circuits

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wsec.compiler.fabric.link_fans import LinkFans
    from wsec.compiler.plan import Circuit, Exchange, Kernel, Link
    from wsec.compiler.target import Fabric


def phase_circuits(
    kernels: Sequence[Kernel], links: Sequence[Link], fans: Sequence[LinkFans], fabric: Fabric
) -> tuple[Circuit, ...]:
    """The circuits of the links, then those inside the kernels, each in their order.

    Args:
        kernels: Of the phase.
        links: Of the phase, with their routes and exchanges; ends that are not among the kernels are the host's.
        fans: Of each link.
        fabric: Gives the colours.

    Raises:
        WsecError: WSEC342 a kernel needs more colours than are kept for kernels.
    """
    places = {kernel.name: kernel.rectangle for kernel in kernels}
    exchanges: dict[str, list[Exchange]] = {}
    for link in links:
        exchanges.setdefault(link.target, []).extend(link.exchanges)
    between = [
        circuit
        for link, each in zip(links, fans, strict=True)
        for circuit in link_circuits(
            link.name, link.routes, places.get(link.source), places.get(link.target), each
        )
    ]
    inside = [
        circuit
        for kernel in kernels
        for circuit in kernel_circuits(kernel, exchanges.get(kernel.name, ()), fabric)
    ]
    return (*between, *inside)
