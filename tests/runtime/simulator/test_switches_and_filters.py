"""Streams that gather words by switch positions and deal them out by filters: what numpy says arrives, at any timing."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
import pytest
from fabric_programs import hop, line, program
from hypothesis import given, settings
from hypothesis import strategies as st

from wsec.compiler.errors import WsecError
from wsec.runtime.simulator.instructions import (
    CoreProgram,
    ProgramArea,
    Receive,
    ReceiveListed,
    Send,
    WordLists,
)
from wsec.runtime.simulator.routes import Port, Route, SwitchPosition
from wsec.runtime.simulator.simulation import Outcome, Simulation, SimulationResult
from wsec.runtime.simulator.switching import RampFilters, SwitchTurns
from wsec.runtime.simulator.timing import FabricTiming

STEPS = {Port.NORTH: (0, -1), Port.EAST: (1, 0), Port.SOUTH: (0, 1), Port.WEST: (-1, 0)}


def switched(x: int, y: int, colour: int, *positions: tuple[Port, tuple[Port, ...]]) -> Route:
    """A setting of several positions on one core."""
    return Route(x, y, 1, 1, colour, tuple(SwitchPosition(*position) for position in positions))


def turns(*rows: tuple[int, int, int, int]) -> SwitchTurns:
    """From rows of core, colour, position and words."""
    return SwitchTurns(*np.array(rows, np.int64).reshape(-1, 4).T)


def filters(*rows: tuple[int, int, int, int]) -> RampFilters:
    """From rows of core, colour, words to skip and to take."""
    return RampFilters(*np.array(rows, np.int64).reshape(-1, 4).T)


GATHER = (
    hop(0, 0, 0, Port.RAMP, Port.EAST),
    switched(1, 0, 0, (Port.RAMP, (Port.EAST,)), (Port.WEST, (Port.EAST,))),
    hop(2, 0, 0, Port.WEST, Port.RAMP),
)
"""Core 1 sends to core 2, then lets pass what core 0 sends."""


def test_a_switch_lets_pass_turn_after_turn() -> None:
    """Own words first, then those from the west, twice, in the cycles of one stream without a gap."""
    programs = (
        program(0, 0, Send(0, 6, 0)),
        program(1, 0, Send(0, 4, 0)),
        program(2, 0, Receive(0, 10, 0)),
    )
    simulation = Simulation(GATHER, programs, width=3, height=1, turns=turns((1, 0, 0, 2), (1, 0, 1, 3)))
    simulation.memory(0, 0)[:6] = np.arange(6)
    simulation.memory(1, 0)[:4] = 10 + np.arange(4)
    result = simulation.run_to_end()
    assert simulation.memory(2, 0)[:10].tolist() == [10, 11, 0, 1, 2, 12, 13, 3, 4, 5]
    assert result.cycles == 10 + 1 + 5  # as if all were sent by core 1
    assert result.switch_stalls[0].tolist() == [0, result.switch_stalls[0, 1], 0]
    assert result.switch_stalls[0, 1] > 0
    assert result.link_words[0, 1].tolist() == [0, 10, 0, 0, 0]


def test_turns_of_no_words_are_left_out() -> None:
    """A core that has nothing to send holds nobody up; one all of whose turns are empty lets nothing pass."""
    programs = (program(0, 0, Send(0, 6, 0)), program(2, 0, Receive(0, 6, 0)))
    empty = turns((1, 0, 0, 0), (1, 0, 1, 3), (1, 0, 0, 0))
    assert Simulation(GATHER, programs, width=3, height=1, turns=empty).run_to_end().cycles == 6 + 2 + 5
    shut = Simulation(GATHER, programs, width=3, height=1, turns=turns((1, 0, 0, 0), (1, 0, 1, 0)))
    with pytest.raises(WsecError) as raised:
        shut.run_to_end()
    assert "            router (1, 0) lets no word of colour 0 pass" in str(raised.value).splitlines()


def test_one_input_goes_to_other_outputs_by_turns() -> None:
    """Two words to the core, three on to the east, of one stream from the west."""
    routes = (
        hop(0, 0, 0, Port.RAMP, Port.EAST),
        switched(1, 0, 0, (Port.WEST, (Port.RAMP,)), (Port.WEST, (Port.EAST,))),
        hop(2, 0, 0, Port.WEST, Port.RAMP),
    )
    programs = (
        program(0, 0, Send(0, 10, 0)),
        program(1, 0, Receive(0, 4, 0)),
        program(2, 0, Receive(0, 6, 0)),
    )
    simulation = Simulation(routes, programs, width=3, height=1, turns=turns((1, 0, 0, 2), (1, 0, 1, 3)))
    simulation.memory(0, 0)[:10] = np.arange(10)
    simulation.run_to_end()
    assert simulation.memory(1, 0)[:4].tolist() == [0, 1, 5, 6]
    assert simulation.memory(2, 0)[:6].tolist() == [2, 3, 4, 7, 8, 9]


def test_filters_deal_a_stream_out_and_cost_the_engines_nothing() -> None:
    """Twelve words to three cores, two each in turns; the last is done when a stream that nobody filters would be."""
    programs = (program(0, 0, Send(0, 12, 0)), *(program(x, 0, Receive(0, 4, 0)) for x in (1, 2, 3)))
    dealt = filters((1, 0, 0, 2), (1, 0, 4, 0), (2, 0, 2, 2), (2, 0, 2, 0), (3, 0, 4, 2))
    simulation = Simulation(line(4), programs, width=4, height=1, filters=dealt)
    simulation.memory(0, 0)[:12] = np.arange(12)
    result = simulation.run_to_end()
    assert [simulation.memory(x, 0)[:4].tolist() for x in (1, 2, 3)] == [
        [0, 1, 6, 7],
        [2, 3, 8, 9],
        [4, 5, 10, 11],
    ]
    assert result.cycles == 12 + 3 + 5
    assert result.link_words[0, :, Port.RAMP].tolist() == [0, 4, 4, 4]


def test_words_that_are_dropped_pass_a_core_that_takes_nothing() -> None:
    """The way into core 1 is full for ever, yet the words behind those that it should take pass it."""
    programs = (program(0, 0, Send(0, 40, 0)), program(2, 0, Receive(0, 40, 0)))
    some = filters((1, 0, 0, 5), (1, 0, 35, 0))
    simulation = Simulation(line(3), programs, width=3, height=1, filters=some)
    assert simulation.run().outcome is Outcome.STUCK
    assert simulation.run().words_left == 5
    assert simulation.run().finished[0, 2] == 40 + 2 + 5


@dataclass(frozen=True, slots=True)
class Tree:
    """A gather tree to a root and a spread tree from it, joined by a lane; what each core sends and takes of a round.

    Attributes:
        side: Columns and rows of either tree; the spread's lies east of the gather's.
        parents: For each core of the gather tree but the root (0, 0), the port that its words leave by.
        spread: The same of the spread tree, the port that its words come from.
        words: What each core of the gather tree sends in a round.
        own_first: Whether a core sends its own words before those from behind, or after them.
        cuts: Runs of words that a core of the spread tree drops and takes in turns, before the last.
        rounds: How often all is repeated.
    """

    side: int
    parents: tuple[Port, ...]
    spread: tuple[Port, ...]
    words: tuple[int, ...]
    own_first: tuple[bool, ...]
    cuts: tuple[tuple[int, ...], ...]
    rounds: int


@st.composite
def trees(draw: st.DrawFn) -> Tree:
    """Trees of up to 4 x 4 cores whose branches go west or north, in any way."""
    side = draw(st.integers(1, 4))
    cores = side * side

    def ports() -> tuple[Port, ...]:
        chosen = []
        for core in range(1, cores):
            y, x = divmod(core, side)
            allowed = [Port.WEST] * (x > 0) + [Port.NORTH] * (y > 0)
            chosen.append(draw(st.sampled_from(allowed)))
        return tuple(chosen)

    words = tuple(draw(st.lists(st.integers(0, 6), min_size=cores, max_size=cores)))
    if not sum(words):
        words = (1, *words[1:])
    cut = st.lists(st.integers(0, max(1, sum(words))), min_size=0, max_size=5).map(tuple)
    return Tree(
        side,
        ports(),
        ports(),
        words,
        tuple(draw(st.lists(st.booleans(), min_size=cores, max_size=cores))),
        tuple(draw(st.lists(cut, min_size=cores, max_size=cores))),
        draw(st.integers(1, 3)),
    )


def opposite(port: Port) -> Port:
    """The port of the neighbour that a port leads to."""
    return Port((port + 2) % 4)


def children(tree: Tree, ports: tuple[Port, ...], core: int) -> list[tuple[Port, int]]:
    """The neighbours that a core of a tree is the parent of, and the port towards each."""
    y, x = divmod(core, tree.side)
    found = []
    for port in (Port.EAST, Port.SOUTH):
        dx, dy = STEPS[port]
        child = (y + dy) * tree.side + x + dx
        if x + dx < tree.side and y + dy < tree.side and ports[child - 1] == opposite(port):
            found.append((port, child))
    return found


def gathered(tree: Tree, core: int) -> list[tuple[int, int]]:
    """What leaves a core in a round: the core of each word and its number there, in their order."""
    own = [(core, number) for number in range(tree.words[core])]
    behind = [word for _, child in children(tree, tree.parents, core) for word in gathered(tree, child)]
    return own + behind if tree.own_first[core] else behind + own


def gather_setting(tree: Tree, core: int, out: Port) -> tuple[list[SwitchPosition], list[int]]:
    """The positions of a core of the gather tree, and the words of each in a round."""
    own = [(SwitchPosition(Port.RAMP, (out,)), tree.words[core])]
    behind = [
        (SwitchPosition(port, (out,)), len(gathered(tree, child)))
        for port, child in children(tree, tree.parents, core)
    ]
    both = own + behind if tree.own_first[core] else behind + own
    return [position for position, _ in both], [words for _, words in both]


def runs_of(tree: Tree, core: int) -> list[tuple[int, int]]:
    """Skip and take of a core of the spread tree, all words of a round."""
    total = sum(tree.words)
    edges = [0, *sorted(min(cut, total) for cut in tree.cuts[core]), total]
    sizes = list(np.diff(edges)) + [0] * (len(edges) % 2 == 0)
    return [(int(skip), int(take)) for skip, take in zip(sizes[::2], sizes[1::2], strict=True)]


def simulate_tree(tree: Tree, timing: FabricTiming, threads: int) -> tuple[Simulation, SimulationResult]:
    """The gather tree turned so that its root is at its east, the lane, and the spread tree."""
    side, cores = tree.side, tree.side**2
    width = 2 * side + 1
    routes, programs, turn_rows, filter_rows = [], [], [], []
    mirrored = {Port.EAST: Port.WEST, Port.WEST: Port.EAST}
    for core in range(cores):
        y, x = divmod(core, side)
        # The gather tree is mirrored: its root is at column side - 1, and branches come from the west.
        at = y * width + side - 1 - x
        out = tree.parents[core - 1] if core else Port.WEST
        positions, words = gather_setting(tree, core, out)
        positions = [
            SwitchPosition(
                mirrored.get(position.source, position.source),
                tuple(mirrored.get(port, port) for port in position.outputs),
            )
            for position in positions
        ]
        routes.append(Route(side - 1 - x, y, 1, 1, 0, tuple(positions)))
        turn_rows += [(at, 0, position, count) for position, count in enumerate(words) if len(words) > 1]
        sent = tree.words[core]
        send = tuple(Send(0, sent, sent * number) for number in range(tree.rounds) if sent)
        programs.append(ProgramArea(side - 1 - x, y, 1, 1, CoreProgram(send), sent * tree.rounds))
        source = tree.spread[core - 1] if core else Port.WEST
        outputs = [port for port, _ in children(tree, tree.spread, core)]
        routes.append(hop(side + 1 + x, y, 0, source, *outputs, Port.RAMP))
        runs = runs_of(tree, core)
        filter_rows += [(y * width + side + 1 + x, 0, skip, take) for skip, take in runs]
        taken = tree.rounds * sum(take for _, take in runs)
        backwards = WordLists(np.array([0, taken]), np.arange(taken, dtype=np.int32)[::-1])
        receive = CoreProgram((ReceiveListed(0, 0),))
        programs.append(ProgramArea(side + 1 + x, y, 1, 1, receive, taken, (backwards,)))
    routes.append(hop(side, 0, 0, Port.WEST, Port.EAST))
    simulation = Simulation(
        routes,
        programs,
        width=width,
        height=side,
        fabric=timing,
        turns=turns(*turn_rows),
        filters=filters(*filter_rows),
        threads=threads,
    )
    for core in range(cores):
        y, x = divmod(core, side)
        simulation.memory(side - 1 - x, y)[:] = 1000 * core + np.arange(tree.words[core] * tree.rounds)
    return simulation, simulation.run(100_000)


@settings(deadline=None, max_examples=60)
@given(trees(), st.integers(1, 2), st.integers(0, 3), st.integers(1, 5), st.sampled_from([1, 2]))
def test_trees_gather_and_deal_out_what_numpy_says(
    tree: Tree, hop_cycles: int, ramp_cycles: int, queue_words: int, threads: int
) -> None:
    """Any trees, turns and filters, any latency, any depth of the queues, one thread or two."""
    timing = FabricTiming(hop_cycles, ramp_cycles, queue_words)
    simulation, result = simulate_tree(tree, timing, threads)
    assert result.outcome is Outcome.FINISHED
    assert result.words_left == 0
    stream = [
        1000 * core + number + round_number * tree.words[core]
        for round_number in range(tree.rounds)
        for core, number in gathered(tree, 0)
    ]
    for core in range(tree.side**2):
        y, x = divmod(core, tree.side)
        takes = [taken for runs in runs_of(tree, core) for taken in (False,) * runs[0] + (True,) * runs[1]]
        expected = np.array(stream, np.float32)[np.tile(np.array(takes, np.bool_), tree.rounds)]
        assert (simulation.memory(tree.side + 1 + x, y)[::-1] == expected).all()


@settings(deadline=None, max_examples=10)
@given(trees(), st.integers(1, 5))
def test_threads_change_nothing_of_switches_and_filters(tree: Tree, queue_words: int) -> None:
    """Neither cycles nor what waited where."""
    (_, one), (_, two) = (simulate_tree(tree, FabricTiming(1, 2, queue_words), threads) for threads in (1, 2))
    for field in dataclasses.fields(SimulationResult):
        assert np.array_equal(getattr(two, field.name), getattr(one, field.name)), field.name


def refused(
    *routes: Route, moves: SwitchTurns | None = None, taken: RampFilters | None = None
) -> tuple[str, str, str]:
    """Where, expected and found of the refusal."""
    with pytest.raises(WsecError) as raised:
        Simulation(routes, (), width=3, height=1, turns=moves, filters=taken)
    assert raised.value.code == "WSEC591"
    return raised.value.where, raised.value.expected, raised.value.found


@pytest.mark.parametrize(
    ("moves", "where", "expected", "found"),
    [
        (
            None,
            "core (1, 0), colour 0",
            "turns that say when the switch goes on",
            "2 positions without turns",
        ),
        (
            turns((1, 0, 2, 3)),
            "core (1, 0), colour 0",
            "turns at positions from 0 to 1",
            "one at position 2",
        ),
        (
            turns((1, 0, 0, 3), (1, 0, 1, -3)),
            "core (1, 0), colour 0",
            "turns and filters of 0 to 2147483647 words",
            "-3 words",
        ),
        (
            turns((1, 0, 0, 3), (1, 7, 1, 3)),
            "core (1, 0), colour 7",
            "turns and filters of colours that have a route there",
            "no route of this colour",
        ),
    ],
)
def test_turns_that_do_not_fit_the_routes(
    moves: SwitchTurns | None, where: str, expected: str, found: str
) -> None:
    """A switch of several positions has turns, at these positions, of sensible numbers of words."""
    assert refused(*GATHER, moves=moves) == (where, expected, found)


def test_filters_that_do_not_fit_the_routes() -> None:
    """A filter is where words come into a core, and not empty."""
    assert refused(*line(3), taken=filters((0, 0, 1, 1))) == (
        "core (0, 0), colour 0",
        "a filter where words come into the core",
        "none come there",
    )
    assert refused(*line(3), taken=filters((1, 0, 0, 0))) == (
        "core (1, 0), colour 0",
        "a filter that takes or drops words",
        "one of 0 words",
    )


def test_inputs_of_all_positions_are_fed_and_taken() -> None:
    """A position that waits for words from a side where none come, and one that sends where none are taken."""
    unfed = switched(1, 0, 0, (Port.RAMP, (Port.EAST,)), (Port.NORTH, (Port.EAST,)))
    assert refused(unfed, hop(2, 0, 0, Port.WEST, Port.RAMP), moves=turns((1, 0, 0, 1)))[1:] == (
        "a neighbour in the north that sends it",
        "no route feeds it",
    )
    lost = switched(1, 0, 0, (Port.RAMP, (Port.EAST,)), (Port.RAMP, (Port.WEST,)))
    assert refused(lost, hop(2, 0, 0, Port.WEST, Port.RAMP), moves=turns((1, 0, 0, 1)))[1:] == (
        "a neighbour that takes the colour from there",
        "words leave to the west, where no route takes them",
    )
