"""What circuits are for: each serves a link or kernel of its phase, on a colour of that use, and none is missing."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from wsec.compiler.plan_checker.fabric.areas import circuit_name
from wsec.compiler.plan_checker.findings import CIRCUIT, Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wsec.compiler.plan import Circuit, Exchange, Kernel, Phase
    from wsec.compiler.target import Fabric

_ALONG: Final = {"columns": "rows", "rows": "columns"}
"""Words between cores of an axis that is laid on columns go along the rows."""

Use = tuple[str, str, str, int, int]
"""Purpose, name, axis, segment and offset; of a link, its colour in the place of the segment."""


def check_purposes(phase: Phase, fabric: Fabric) -> Iterator[Finding]:
    """Findings on what circuits are for, and on their colours."""
    for circuit in phase.circuits:
        yield from _check_colour(circuit, fabric)
    wanted = dict(_uses(phase))
    present = Counter(_use(circuit) for circuit in phase.circuits)
    for circuit in phase.circuits:
        if _use(circuit) not in wanted:
            rule = "a circuit serves a link, an exchange or a collective of its phase"
            yield Finding(
                CIRCUIT, rule, circuit_name(circuit), "one that the plan has", "nothing of the kind"
            )
        if circuit.purpose == "link" and circuit.segment:
            rule = "circuits of links have no segments"
            yield Finding(CIRCUIT, rule, circuit_name(circuit), "segment 0", f"segment {circuit.segment}")
    for use, name in wanted.items():
        if not present[use]:
            rule = "each link, exchange and collective has its circuit"
            yield Finding(CIRCUIT, rule, name, "a circuit", "none")
        elif present[use] > 1 and use[0] in {"link", "exchange"}:
            rule = "a link has one circuit of each colour, an exchange has one"
            yield Finding(CIRCUIT, rule, name, "1 circuit", f"{present[use]} circuits")


def exchanges_of(kernel: Kernel, phase: Phase) -> dict[Exchange, None]:
    """The exchanges of all that comes to a kernel, each once."""
    links = (link for link in phase.links if link.target == kernel.name)
    return dict.fromkeys(exchange for link in links for exchange in link.exchanges)


def meets(exchange: Exchange, kernel: Kernel) -> bool:
    """Whether any segment of the exchange has two cores."""
    length = kernel.rectangle.width if exchange.along == "rows" else kernel.rectangle.height
    return min(exchange.segment, length) > 1


def _check_colour(circuit: Circuit, fabric: Fabric) -> Iterator[Finding]:
    usable = fabric.colours - fabric.reserved_colours
    links = usable - fabric.kernel_colours
    first, end = (0, links) if circuit.purpose == "link" else (links, usable)
    if not first <= circuit.colour < end:
        rule = "the colour is one of those for links, or for kernels"
        expected = f"a colour from {first} to {end - 1}"
        yield Finding(CIRCUIT, rule, circuit_name(circuit), expected, f"colour {circuit.colour}")


def _use(circuit: Circuit) -> Use:
    if circuit.purpose == "link":
        return circuit.purpose, circuit.name, circuit.axis, circuit.colour, circuit.offset
    return circuit.purpose, circuit.name, circuit.axis, circuit.segment, circuit.offset


def _uses(phase: Phase) -> Iterator[tuple[Use, str]]:
    for link in phase.links:
        for colour in sorted({route.colour for route in link.routes}):
            yield ("link", link.name, "", colour, 0), f"link {link.name}, colour {colour}"
    for kernel in phase.kernels:
        name = f"kernel {kernel.name}"
        for exchange in exchanges_of(kernel, phase):
            if meets(exchange, kernel):
                where = (
                    f"{name}, exchange along {exchange.along} by {exchange.segment} from {exchange.offset}"
                )
                yield ("exchange", kernel.name, exchange.along, exchange.segment, exchange.offset), where
        sides = {axis.name: _ALONG[axis.side] for axis in kernel.mesh.axes if axis.size > 1}
        for collective in kernel.collectives:
            along = sides.get(collective.axis)
            if along is None:
                continue
            where = f"{name}, {{}} along {along}"
            yield ("reduce", kernel.name, along, 0, 0), where.format("reduce")
            if collective.kind == "all_reduce" and collective.algorithm != "ring":
                yield ("broadcast", kernel.name, along, 0, 0), where.format("broadcast")
