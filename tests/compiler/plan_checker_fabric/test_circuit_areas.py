"""Areas of circuits by themselves and side by side: each thing that is wrong with one is found, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from legal_plans import network_plan

from wsec.compiler.plan import Circuit, Plan, RouterArea, Wafer
from wsec.compiler.plan_checker.fabric.circuits import check_fabric

if TYPE_CHECKING:
    from wsec.compiler.plan_checker.findings import Finding

NAME = "x to conv.x"
WHERE = f"circuit of link {NAME}, colour 0"
ROWS = (
    RouterArea(0, 0, 2, 2, ("W>E",)),
    RouterArea(2, 0, 3, 2, ("W>ER",)),
    RouterArea(5, 0, 1, 2, ("W>R",)),
)


def plan_of(*circuits: Circuit) -> Plan:
    """The legal plan with these circuits, on a machine whose host keeps three colours."""
    plan = network_plan()
    (phase,) = plan.wafers[0].phases
    target = replace(plan.target, fabric=replace(plan.target.fabric, reserved_colours=3))
    return replace(plan, target=target, wafers=(Wafer((replace(phase, circuits=circuits),)),))


def circuit_findings(*circuits: Circuit) -> list[Finding]:
    """What is found on circuits themselves, not on where their streams lead."""
    return [item for item in check_fabric(plan_of(*circuits)) if item.code == "WSEC554"]


def findings(*areas: RouterArea, colour: int = 0, purpose: str = "link", name: str = NAME) -> list[str]:
    """What is found on the areas, but that other links have no circuit."""
    circuit = Circuit(colour, purpose, name, areas)  # type: ignore[arg-type] # tests name what does not exist
    found = circuit_findings(circuit)
    return [str(item) for item in found if not (item.expected == "a circuit" and item.found == "none")]


def test_areas_that_join_have_no_findings() -> None:
    """Two rows of routers from the edge of the region, where the host is, into the rectangle."""
    assert findings(*ROWS) == []


@pytest.mark.parametrize(
    "area",
    [
        RouterArea(15, 0, 2, 1, ("W>E",)),
        RouterArea(-1, 0, 2, 1, ("W>E",)),
        RouterArea(0, 14, 1, 3, ("W>E",)),
        RouterArea(3, 3, 0, 1, ("W>E",)),
    ],
    ids=["right", "left", "below", "no cores"],
)
def test_routers_outside(area: RouterArea) -> None:
    """An area reaches over a side of the region, or has no cores."""
    place = f"{area.width}x{area.height} cores at x={area.x}, y={area.y}"
    assert findings(area) == [
        f"WSEC554 {WHERE}: routers lie inside the region; expected inside 16x16 cores, found {place}"
    ]


@pytest.mark.parametrize(
    ("positions", "message"),
    [
        ((), "a switch has one to four positions; expected 1 to 4 positions, found 0 positions"),
        (
            ("R>E", "N>E", "S>E", "W>E", "E>W"),
            "a switch has one to four positions; expected 1 to 4 positions, found 5 positions",
        ),
        (
            ("E",),
            "a position says where words come from and where they go; expected a port of NESWR, `>` and the ports that words go to, found 'E'",
        ),
        (
            ("W>",),
            "a position says where words come from and where they go; expected a port of NESWR, `>` and the ports that words go to, found 'W>'",
        ),
        (
            ("W>X",),
            "a position says where words come from and where they go; expected a port of NESWR, `>` and the ports that words go to, found 'W>X'",
        ),
        (
            ("W>EE",),
            "a position names each port that words go to once; expected different ports, found W>EE",
        ),
        (
            ("W>EW",),
            "no position sends words back to where they came from; expected ports other than W, found W>EW",
        ),
        (
            ("R>ER",),
            "no position sends words back to where they came from; expected ports other than R, found R>ER",
        ),
    ],
)
def test_positions_that_mean_nothing(positions: tuple[str, ...], message: str) -> None:
    """Positions of a switch are refused by the rule that they break."""
    assert findings(RouterArea(0, 0, 1, 1, positions)) == [f"WSEC554 {WHERE}: {message}"]


def test_two_settings_of_a_colour() -> None:
    """Cores in two areas are counted, and the first is named."""
    (found,) = findings(*ROWS, RouterArea(4, 1, 2, 3, ("W>R",)))
    assert found == (
        f"WSEC554 {WHERE}: a core has one setting of a colour; "
        "expected no core in two areas, found 2 cores in two, the first at x=4, y=1"
    )


def test_two_circuits_of_a_colour() -> None:
    """Two links of one colour on a core."""
    other = Circuit(0, "link", "y to product.a", (RouterArea(1, 1, 1, 1, ("R>E",)),))
    found = [item for item in circuit_findings(Circuit(0, "link", NAME, ROWS), other) if item.found != "none"]
    assert [str(item) for item in found] == [
        (
            f"WSEC554 {WHERE}, and circuit of link y to product.a, colour 0: a core has one setting of a colour; "
            "expected no core in two areas, found 1 core in two, the first at x=1, y=1"
        )
    ]


@pytest.mark.parametrize("colour", [-1, 13, 15, 24])
def test_colour_of_another_use(colour: int) -> None:
    """Links keep off the colours of kernels and of the host."""
    assert (
        f"WSEC554 circuit of link {NAME}, colour {colour}: the colour is one of those for links, or for kernels; "
        f"expected a colour from 0 to 12, found colour {colour}" in findings(*ROWS, colour=colour)
    )


@pytest.mark.parametrize("colour", [0, 12, 21, 23])
def test_kernel_on_a_colour_of_another_use(colour: int) -> None:
    """Kernels keep off the colours of links and of the host."""
    assert any(
        item.endswith(f"expected a colour from 13 to 20, found colour {colour}")
        for item in findings(*ROWS, colour=colour, purpose="reduce", name="conv")
    )


@pytest.mark.parametrize(
    ("purpose", "name"),
    [("link", "nothing"), ("link", "y to sum.e1"), ("reduce", "nothing"), ("exchange", "conv")],
)
def test_circuit_that_nothing_uses(purpose: str, name: str) -> None:
    """A link or kernel that is not there, or that has no route of the colour, and no exchange or collective."""
    found = findings(*ROWS, purpose=purpose, name=name)
    assert (
        "a circuit serves a link, an exchange or a collective of its phase; expected one that the plan has"
        in found[-1]
    )


def test_circuits_that_are_missing() -> None:
    """Each link without a circuit is named, as soon as the phase has circuits."""
    found = circuit_findings(Circuit(0, "link", NAME, ROWS))
    assert [item.where for item in found] == [
        "link y to product.a, colour 0",
        "link p to sum.e0, colour 0",
        "link y to sum.e1, colour 1",
        "link out to host, colour 0",
    ]


@pytest.mark.parametrize(
    ("areas", "message"),
    [
        (
            ROWS[:2],
            "a router gives words only to who takes them; expected a router of the circuit at x=5, y=0 that takes words from W, as the one at x=4, y=0 gives them to E, found no setting; 1 more such",
        ),
        (
            ROWS[1:],
            "a router takes words only from where some come; expected a router of the circuit at x=1, y=0 that gives words to E, as the one at x=2, y=0 takes them from W, found no setting; 1 more such",
        ),
        (
            (ROWS[0], ROWS[1], RouterArea(5, 0, 1, 1, ("W>R",)), RouterArea(5, 1, 1, 1, ("R>S",))),
            "a router gives words only to who takes them; expected a router of the circuit at x=5, y=1 that takes words from W, as the one at x=4, y=1 gives them to E, found R>S; 1 more such",
        ),
        (
            (RouterArea(0, 0, 1, 1, ("R>N",)),),
            "a router gives words only to who takes them; expected a router of the circuit at x=0, y=-1 that takes words from S, as the one at x=0, y=0 gives them to N, found the edge of the region",
        ),
        (
            (RouterArea(0, 0, 2, 1, ("E>R",)), RouterArea(2, 0, 1, 1, ("R>W",))),
            "a router takes words only from where some come; expected a router of the circuit at x=1, y=0 that gives words to W, as the one at x=0, y=0 takes them from E, found E>R",
        ),
    ],
    ids=["not taken", "not given", "turned", "over the edge", "inside an area"],
)
def test_loose_ends(areas: tuple[RouterArea, ...], message: str) -> None:
    """What a router gives is taken by its neighbour, and what it takes is given, inside areas too."""
    assert findings(*areas) == [f"WSEC554 {WHERE}: {message}"]


def test_what_leads_into_another_circuit() -> None:
    """A neighbour that takes the words for another link is no neighbour."""
    other = Circuit(0, "link", "y to product.a", ROWS[2:])
    found = [
        item for item in circuit_findings(Circuit(0, "link", NAME, ROWS[:2]), other) if item.found != "none"
    ]
    assert [item.found for item in found] == [
        "W>R, circuit of link y to product.a, colour 0; 1 more such",
        f"W>ER, {WHERE}; 1 more such",
    ]


def test_host_at_the_sides() -> None:
    """Words come from the west at the first column, and leave to the east at the last."""
    assert findings(RouterArea(0, 3, 16, 1, ("W>E",))) == []
    turned = findings(RouterArea(0, 3, 16, 1, ("E>W",)))
    assert [item.rsplit(", found ", 1)[1] for item in turned] == ["the edge of the region"] * 2
