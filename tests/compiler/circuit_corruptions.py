"""Ways to spoil the circuits of a good plan, and the code of a finding that each must lead to.

Each works on any plan whose first phase has what it spoils, and raises LookupError where there is nothing of the kind.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from wsec.compiler.plan import HOST, Circuit, Link, Phase, Plan, RouterArea

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

Areas = tuple[RouterArea, ...]


class CircuitCorruption(NamedTuple):
    """A name, what makes a bad plan of a good one, and a code that must be among its findings."""

    name: str
    apply: Callable[[Plan], Plan]
    code: str


def _on_phase(plan: Plan, change: Callable[[Phase], Phase]) -> Plan:
    wafer = plan.wafers[0]
    changed = replace(wafer, phases=(change(wafer.phases[0]), *wafer.phases[1:]))
    return replace(plan, wafers=(changed, *plan.wafers[1:]))


def _first(purpose: str, fits: Callable[[RouterArea], bool], phase: Phase) -> tuple[int, int]:
    for number, circuit in enumerate(phase.circuits):
        if circuit.purpose == purpose:
            for place, area in enumerate(circuit.areas):
                if fits(area):
                    return number, place
    raise LookupError("the plan has nothing of the kind")


def _circuit(purpose: str, **changes: object) -> Callable[[Plan], Plan]:
    """Changes entries of the first circuit of a purpose."""

    def change(phase: Phase) -> Phase:
        number, _ = _first(purpose, lambda _: True, phase)
        circuits = list(phase.circuits)
        circuits[number] = replace(circuits[number], **changes)  # type: ignore[arg-type] # names are the caller's
        return replace(phase, circuits=tuple(circuits))

    return lambda plan: _on_phase(plan, change)


def _areas(
    purpose: str, fits: Callable[[RouterArea], bool], change: Callable[[RouterArea], Iterable[RouterArea]]
) -> Callable[[Plan], Plan]:
    """Replaces the first fitting area of the circuits of a purpose."""

    def of_phase(phase: Phase) -> Phase:
        number, place = _first(purpose, fits, phase)
        circuits = list(phase.circuits)
        areas = circuits[number].areas
        new = (*areas[:place], *change(areas[place]), *areas[place + 1 :])
        circuits[number] = replace(circuits[number], areas=new)
        return replace(phase, circuits=tuple(circuits))

    return lambda plan: _on_phase(plan, of_phase)


def _positions(purpose: str, change: Callable[[tuple[str, ...]], tuple[str, ...]]) -> Callable[[Plan], Plan]:
    """Changes the positions of the first area that does not stay the same."""
    return _areas(
        purpose,
        lambda area: change(area.positions) != area.positions,
        lambda area: (replace(area, positions=change(area.positions)),),
    )


def _without_ramp(positions: tuple[str, ...]) -> tuple[str, ...]:
    """A leaf is passed by."""
    (position, *more) = positions
    if more or position[0] == "R" or "R" not in position or len(position) < 4:
        return positions
    return (position.replace("R", ""),)


def _one_core(areas: Callable[[RouterArea], RouterArea]) -> Callable[[RouterArea], Areas]:
    """Changes the first core of an area alone."""

    def change(area: RouterArea) -> Areas:
        first = areas(replace(area, width=1, height=1))
        right = replace(area, x=area.x + 1, width=area.width - 1, height=1)
        below = replace(area, y=area.y + 1, height=area.height - 1)
        return tuple(each for each in (first, right, below) if each.width and each.height)

    return change


def _links(change: Callable[[Link], Link], fits: Callable[[Link], bool]) -> Callable[[Plan], Plan]:
    """Changes the first fitting link."""

    def of_phase(phase: Phase) -> Phase:
        links = list(phase.links)
        for number, link in enumerate(links):
            if fits(link):
                links[number] = change(link)
                return replace(phase, links=tuple(links))
        raise LookupError("the plan has nothing of the kind")

    return lambda plan: _on_phase(plan, of_phase)


def _circuits(change: Callable[[tuple[Circuit, ...]], tuple[Circuit, ...]]) -> Callable[[Plan], Plan]:
    return lambda plan: _on_phase(plan, lambda phase: replace(phase, circuits=change(phase.circuits)))


def _without(purpose: str) -> Callable[[Plan], Plan]:
    def change(phase: Phase) -> Phase:
        number, _ = _first(purpose, lambda _: True, phase)
        return replace(phase, circuits=(*phase.circuits[:number], *phase.circuits[number + 1 :]))

    return lambda plan: _on_phase(plan, change)


def _ring(plan: Plan) -> Plan:
    """Four routers in a circle, on a colour that the first link has to itself."""

    def change(phase: Phase) -> Phase:
        number, _ = _first("link", lambda _: True, phase)
        circuit = phase.circuits[number]
        own = {
            (x, y)
            for each in phase.circuits
            if each.colour == circuit.colour
            for area in each.areas
            for x in range(area.x, area.x + area.width)
            for y in range(area.y, area.y + area.height)
        }
        x, y = next(
            (x, y)
            for y in range(plan.region_height - 1)
            for x in range(plan.region_width - 1)
            if own.isdisjoint({(x, y), (x + 1, y), (x, y + 1), (x + 1, y + 1)})
        )
        ring = tuple(
            RouterArea(*place, 1, 1, (position,))
            for place, position in (
                ((x, y), "S>E"),
                ((x + 1, y), "W>S"),
                ((x + 1, y + 1), "N>W"),
                ((x, y + 1), "E>N"),
            )
        )
        circuits = list(phase.circuits)
        circuits[number] = replace(circuit, areas=circuit.areas + ring)
        return replace(phase, circuits=tuple(circuits))

    return _on_phase(plan, change)


def _waits_in_turn(plan: Plan) -> Plan:
    """Two neighbours, each of which passes the other's words on only after its own has been taken."""

    def change(phase: Phase) -> Phase:
        circuits = list(phase.circuits)
        number, _ = _first("exchange", lambda _: True, phase)
        circuit = circuits[number]
        turned = tuple(replace(area, positions=area.positions[::-1]) for area in circuit.areas)
        circuits[number] = replace(circuit, areas=turned)
        return replace(phase, circuits=tuple(circuits))

    return _on_phase(plan, change)


def _dealt(link: Link) -> bool:
    return bool(link.exchanges) and link.source != HOST


def _few_queues(**changes: int) -> Callable[[Plan], Plan]:
    return lambda plan: replace(
        plan, target=replace(plan.target, fabric=replace(plan.target.fabric, **changes))
    )


_ANY = lambda area: True  # noqa: ARG005, E731 # reads as a word where it is used

CIRCUIT_CORRUPTIONS = (
    CircuitCorruption(
        "area right of the region", _areas("link", _ANY, lambda area: (replace(area, x=10**6),)), "WSEC554"
    ),
    CircuitCorruption(
        "area above the region", _areas("link", _ANY, lambda area: (replace(area, y=-1),)), "WSEC554"
    ),
    CircuitCorruption(
        "area without cores", _areas("link", _ANY, lambda area: (replace(area, width=0),)), "WSEC554"
    ),
    CircuitCorruption("no positions", _positions("link", lambda _: ()), "WSEC554"),
    CircuitCorruption(
        "five positions", _positions("link", lambda _: ("R>E", "N>E", "S>E", "W>E", "R>S")), "WSEC554"
    ),
    CircuitCorruption("no such port", _positions("link", lambda _: ("W>Q",)), "WSEC554"),
    CircuitCorruption("back to where it came from", _positions("link", lambda _: ("W>WR",)), "WSEC554"),
    CircuitCorruption("colour over budget", _circuit("link", colour=99), "WSEC554"),
    CircuitCorruption(
        "colour of kernels",
        lambda plan: _circuit("link", colour=plan.target.fabric.link_colours)(plan),
        "WSEC554",
    ),
    CircuitCorruption("kernel on a colour of links", _circuit("exchange", colour=0), "WSEC554"),
    CircuitCorruption(
        "reserved colour",
        lambda plan: _circuit("exchange", colour=plan.target.fabric.colours - 1)(
            _few_queues(reserved_colours=3)(plan)
        ),
        "WSEC554",
    ),
    CircuitCorruption("segments of a link", _circuit("link", segment=3), "WSEC554"),
    CircuitCorruption("circuit of another link", _circuit("link", name="nothing"), "WSEC554"),
    CircuitCorruption("circuit of another kernel", _circuit("reduce", name="nothing"), "WSEC554"),
    CircuitCorruption("circuit of a link dropped", _without("link"), "WSEC554"),
    CircuitCorruption("circuit of an exchange dropped", _without("exchange"), "WSEC554"),
    CircuitCorruption("reduction dropped", _without("reduce"), "WSEC554"),
    CircuitCorruption("no circuits at all", _circuits(lambda _: ()), "WSEC554"),
    CircuitCorruption("all circuits twice", _circuits(lambda circuits: circuits * 2), "WSEC554"),
    CircuitCorruption("area dropped", _areas("link", _ANY, lambda _: ()), "WSEC554"),
    CircuitCorruption(
        "area on its neighbour",
        _areas(
            "link", lambda area: area.x > 0, lambda area: (replace(area, x=area.x - 1, width=area.width + 1),)
        ),
        "WSEC554",
    ),
    CircuitCorruption(
        "port swapped",
        _positions("link", lambda positions: ("W>N",) if positions == ("W>E",) else positions),
        "WSEC554",
    ),
    CircuitCorruption("wrong segment", _circuit("exchange", segment=2, offset=1), "WSEC554"),
    CircuitCorruption("exchange along the other side", _circuit("exchange", axis="diagonal"), "WSEC554"),
    CircuitCorruption("leaf missing", _positions("link", _without_ramp), "WSEC555"),
    CircuitCorruption(
        "source missing",
        _positions(
            "link",
            lambda positions: positions[1:] if positions[0][:2] == "R>" and len(positions) > 1 else positions,
        ),
        "WSEC555",
    ),
    CircuitCorruption(
        "source where nothing is held",
        _areas(
            "link",
            lambda area: area.positions == ("W>E",),
            _one_core(lambda area: replace(area, positions=("R>E", "W>E"))),
        ),
        "WSEC555",
    ),
    CircuitCorruption("turns in another order", _waits_in_turn, "WSEC555"),
    CircuitCorruption(
        "core takes its turn first",
        _positions(
            "exchange",
            lambda positions: (
                (positions[1], positions[0], positions[2]) if len(positions) == 3 else positions
            ),
        ),
        "WSEC555",
    ),
    CircuitCorruption(
        "part sent past its parent",
        _positions(
            "reduce",
            lambda positions: tuple(
                each.replace(">R", ">W") if each[0] == "E" else each for each in positions
            ),
        ),
        "WSEC554",
    ),
    CircuitCorruption(
        "routes shifted",
        _links(
            lambda link: replace(
                link,
                routes=tuple(
                    replace(
                        route,
                        mirrored=not route.mirrored,
                        source=replace(route.source, y=route.source.y + 1),
                        target=replace(route.target, y=route.target.y + 1),
                    )
                    for route in link.routes
                ),
            ),
            lambda link: link.source != HOST,
        ),
        "WSEC555",
    ),
    CircuitCorruption("routers in a circle", _ring, "WSEC557"),
    CircuitCorruption(
        "exchanges that mean nothing",
        _links(
            lambda link: replace(
                link, exchanges=tuple(replace(each, offset=each.segment) for each in link.exchanges)
            ),
            _dealt,
        ),
        "WSEC556",
    ),
    CircuitCorruption(
        "exchanges dropped", _links(lambda link: replace(link, exchanges=()), _dealt), "WSEC556"
    ),
    CircuitCorruption(
        "dealt words taken as they pass",
        _links(lambda link: replace(link, exchanges=(), direct=True), _dealt),
        "WSEC556",
    ),
    CircuitCorruption(
        "direct to the host",
        _links(lambda link: replace(link, direct=True), lambda link: link.target == HOST),
        "WSEC556",
    ),
    CircuitCorruption(
        "interval of a link understated",
        _links(lambda link: replace(link, interval=1), lambda link: link.words > 1),
        "WSEC559",
    ),
    CircuitCorruption("few input queues", _few_queues(input_queues=1), "WSEC558"),
    CircuitCorruption("few output queues", _few_queues(output_queues=1), "WSEC558"),
)
