"""Routes as core paths: every lane is walked from the words of `Route`'s docstring, apart from the router's geometry."""

from __future__ import annotations

import dataclasses
import itertools
from collections import Counter
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from wsec.compiler.errors import WsecError
from wsec.compiler.fabric.fans import PORTS
from wsec.compiler.plan import Rectangle, Route
from wsec.compiler.routing import RoutedLink, RoutingLink, route, summarize_routing
from wsec.compiler.target import load_target

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from wsec.compiler.fabric.fans import Fan

Core = tuple[int, int]
WSE2 = load_target("wse2")
WSE3 = load_target("wse3")


def cores(rectangle: Rectangle) -> list[Core]:
    """Every core of a rectangle, by rising x, then y."""
    columns = range(rectangle.x, rectangle.x + rectangle.width)
    return [(x, y) for x in columns for y in range(rectangle.y, rectangle.y + rectangle.height)]


def between(a: int, b: int) -> list[int]:
    """From a to b, both included, in either direction."""
    return list(range(a, b + 1)) if a <= b else list(range(a, b - 1, -1))


def lanes(each: Route) -> list[list[Core]]:
    """The cores of every lane in order."""
    ends = cores(each.target)
    if each.mirrored:
        ends.reverse()
    paths = []
    for lane, (start, end) in enumerate(zip(cores(each.source), ends, strict=True)):
        path = [start]
        for corner in (*turns(each, lane, start, end), end):
            path += walk(path[-1], corner)
        paths.append(path)
    return paths


def turns(each: Route, lane: int, start: Core, end: Core) -> list[Core]:
    """Where a lane turns."""
    (x, y), (to_x, to_y) = start, end
    if each.via is None:
        return [(x, to_y) if each.vertical_first else (to_x, y)]
    via = each.via + (each.lanes - 1 - lane if each.via_mirrored else lane)
    return [(x, via), (to_x, via)] if each.vertical_first else [(via, y), (via, to_y)]


def walk(start: Core, end: Core) -> list[Core]:
    """The cores of a straight leg behind the first."""
    (x, y), (to_x, to_y) = start, end
    assert x == to_x or y == to_y
    if y == to_y:
        return [(column, y) for column in between(x, to_x)[1:]]
    return [(x, row) for row in between(y, to_y)[1:]]


def is_strip(strip: Rectangle) -> bool:
    """One core thick, at least one long."""
    return min(strip.width, strip.height) == 1


def boundary(rectangle: Rectangle) -> set[Core]:
    """The outermost cores of a rectangle."""
    inner = Rectangle(rectangle.x + 1, rectangle.y + 1, rectangle.width - 2, rectangle.height - 2)
    return set(cores(rectangle)) - set(cores(inner))


def check_routes(
    links: Sequence[RoutingLink], routed: Sequence[RoutedLink], width: int, height: int, budget: int
) -> None:
    """Everything that must hold for routes whatever the links are."""
    used: dict[int, Counter[Core]] = {}
    for link, result in zip(links, routed, strict=True):
        assert result.routes
        for each in result.routes:
            assert 0 <= each.colour < budget
            assert is_strip(each.source)
            assert is_strip(each.target)
            source = link.source or Rectangle(0, 0, 1, height)
            target = link.target or Rectangle(width - 1, 0, 1, height)
            assert set(cores(each.source)) <= boundary(source)
            assert set(cores(each.target)) <= boundary(target)
            for path in lanes(each):
                assert all(0 <= x < width and 0 <= y < height for x, y in path)
                if link.source is not None:
                    assert not set(path[1:]) & (set(cores(source)) - set(cores(target)))
                if link.target is not None:
                    assert not set(path[:-1]) & (set(cores(target)) - set(cores(source)))
                used.setdefault(each.colour, Counter()).update(path)
    for counter in used.values():
        assert max(counter.values()) == 1


Port = tuple[Core, Core | str]


def link_ports(link: RoutingLink, result: RoutedLink) -> Counter[Port]:
    """Words of a link through every port, counted word by core: up the gather tree, along the lane, down the spread tree."""
    found: Counter[Port] = Counter()
    paths = [path for each in result.routes for path in lanes(each)]
    assert result.fans is not None
    gather, held, spread = result.fans.gather, result.fans.held, result.fans.spread
    carried = [0] * len(paths)
    if link.source is not None:
        assert gather is not None
        assert held is not None
        for (x, y), words in zip(cores(link.source), held.T.ravel().tolist(), strict=True):
            lane, path = climb(gather, link.source, (x, y))
            assert path[-1] == paths[lane][0]
            carried[lane] += words
            count(found, [((x, y), "sent"), *itertools.pairwise(path)], words)
    elif link.target is not None:
        assert spread is not None
        size = link.target.width * link.target.height
        groups = Counter(spread.lane.ravel().tolist())
        carried = [-(-link.words * groups[lane] // size) for lane in range(len(paths))]
    else:
        carried = [-(-link.words // len(paths))] * len(paths)
    for path, words in zip(paths, carried, strict=True):
        ways: list[Port] = list(itertools.pairwise(path))
        ways += [(path[0], "from host")] if link.source is None else []
        ways += [(path[-1], "to host")] if link.target is None else []
        count(found, ways, words)
    if link.target is not None:
        assert spread is not None
        for core in cores(link.target):
            lane, path = climb(spread, link.target, core)
            assert path[-1] == paths[lane][-1]
            down: list[Port] = [(path[1], core)] if len(path) > 1 else []
            count(found, [(core, "received"), *down], carried[lane])
    return found


def count(found: Counter[Port], ways: Iterable[Port], words: int) -> None:
    """Add words to ports; a port without words is not used."""
    for port in ways if words else ():
        found[port] += words


def climb(fan: Fan, place: Rectangle, core: Core) -> tuple[int, list[Core]]:
    """The lane of a core, and the cores from it to the root."""
    path = [core]
    while True:
        x, y = path[-1]
        at = y - place.y, x - place.x
        if fan.order[at] == 0:
            return int(fan.lane[at]), path
        right, down = {"N": (0, -1), "E": (1, 0), "S": (0, 1), "W": (-1, 0)}[PORTS[fan.parent[at]]]
        path.append((x + right, y + down))


def longest(link: RoutingLink, result: RoutedLink) -> int:
    """Hops of the longest way of a word."""
    assert result.fans is not None
    paths = [path for each in result.routes for path in lanes(each)]
    hops = [len(path) - 1 for path in paths]
    for place, fan in ((link.source, result.fans.gather), (link.target, result.fans.spread)):
        if place is not None and fan is not None:
            sends = [True] * (place.width * place.height)
            if place is link.source and result.fans.held is not None:
                sends = (result.fans.held.T.ravel() > 0).tolist()
            deepest = [0] * len(paths)
            for core, used in zip(cores(place), sends, strict=True):
                lane, path = climb(fan, place, core)
                deepest[lane] = max(deepest[lane], used * (len(path) - 1))
            hops = [there + here for there, here in zip(hops, deepest, strict=True)]
    return max(hops)


@st.composite
def floorplans(draw: st.DrawFn) -> tuple[int, int, list[Rectangle]]:
    """A region cut into disjoint rectangles by guillotine cuts, each of which may then shrink."""
    width, height = draw(st.integers(1, 24)), draw(st.integers(1, 24))
    pieces = [Rectangle(0, 0, width, height)]
    for _ in range(draw(st.integers(0, 10))):
        piece = pieces.pop(draw(st.integers(0, len(pieces) - 1)))
        if draw(st.booleans()) and piece.width > 1:
            cut = draw(st.integers(1, piece.width - 1))
            pieces.append(Rectangle(piece.x, piece.y, cut, piece.height))
            pieces.append(Rectangle(piece.x + cut, piece.y, piece.width - cut, piece.height))
        elif piece.height > 1:
            cut = draw(st.integers(1, piece.height - 1))
            pieces.append(Rectangle(piece.x, piece.y, piece.width, cut))
            pieces.append(Rectangle(piece.x, piece.y + cut, piece.width, piece.height - cut))
        else:
            pieces.append(piece)
    return width, height, [draw(shrunk(piece)) for piece in pieces]


@st.composite
def shrunk(draw: st.DrawFn, piece: Rectangle) -> Rectangle:
    """A rectangle inside another."""
    left, top = draw(st.integers(0, (piece.width - 1) // 2)), draw(st.integers(0, (piece.height - 1) // 2))
    width = draw(st.integers(1, piece.width - left))
    height = draw(st.integers(1, piece.height - top))
    return Rectangle(piece.x + left, piece.y + top, width, height)


@st.composite
def problems(draw: st.DrawFn) -> tuple[int, int, list[RoutingLink]]:
    """A floorplan and up to ten links between its rectangles and the host."""
    width, height, rectangles = draw(floorplans())
    host_or_kernel = st.sampled_from([None, *rectangles])
    pairs = st.tuples(host_or_kernel, host_or_kernel).filter(
        lambda pair: pair[0] is None or pair[0] != pair[1]
    )
    words = st.integers(0, 5000)
    drawn = draw(st.lists(st.tuples(pairs, words), max_size=10))
    links = [RoutingLink(f"l{i}", a, b, n) for i, ((a, b), n) in enumerate(drawn)]
    return width, height, links


@settings(max_examples=250, deadline=None)
@given(problems(), st.integers(1, 2000))
def test_lanes_join_their_rectangles_and_keep_colours_apart(
    problem: tuple[int, int, list[RoutingLink]], interval: int
) -> None:
    """Whatever the floorplan: lanes run between the right boundaries, and one colour never meets itself."""
    width, height, links = problem
    routed = route(links, width=width, height=height, target=WSE2, interval=interval)
    check_routes(links, routed, width, height, budget=13)


@settings(max_examples=150, deadline=None)
@given(problems(), st.integers(1, 2000), st.integers(1, 4))
def test_scarce_colours_give_legal_routes_or_an_error(
    problem: tuple[int, int, list[RoutingLink]], interval: int, budget: int
) -> None:
    """Repair changes routes after they were coloured; what comes out is still legal, or WSEC340 says it is not."""
    width, height, links = problem
    fabric = WSE2.fabric
    colours = fabric.reserved_colours + fabric.kernel_colours + budget
    target = dataclasses.replace(WSE2, fabric=dataclasses.replace(fabric, colours=colours))
    try:
        routed = route(links, width=width, height=height, target=target, interval=interval)
    except WsecError as error:
        failure = error.code
    else:
        check_routes(links, routed, width, height, budget)
        return
    assert failure == "WSEC340"
    assert len(links) > budget


@settings(max_examples=150, deadline=None)
@given(problems(), st.integers(1, 2000))
def test_cycles_and_intervals_are_those_of_the_busiest_port(
    problem: tuple[int, int, list[RoutingLink]], interval: int
) -> None:
    """Cycles account for the ports shared with other links, for the longest way and for both ramps."""
    width, height, links = problem
    routed = route(links, width=width, height=height, target=WSE3, interval=interval)
    uses = [link_ports(link, result) for link, result in zip(links, routed, strict=True)]
    words = sum(uses, Counter())
    for link, result, own in zip(links, routed, uses, strict=True):
        peak = max((words[port] for port in own), default=0)
        assert result.interval == peak
        # A hop takes 2 cycles on WSE-3, and so does a ramp.
        assert result.cycles == peak + 2 * longest(link, result) + 2 * 2


def used(link: RoutingLink, result: RoutedLink) -> list[tuple[int, int]]:
    """Every core of the kernels at both ends once, and those between them once for each route."""
    ground = {
        (x, y)
        for end in (link.source, link.target)
        if end
        for y in range(end.y, end.y + end.height)
        for x in range(end.x, end.x + end.width)
    }
    passed = [core for each in result.routes for path in lanes(each) for core in set(path) - ground]
    return [*ground, *passed]


@settings(max_examples=150, deadline=None)
@given(problems(), st.integers(1, 2000))
def test_summary_counts_what_the_lanes_use(
    problem: tuple[int, int, list[RoutingLink]], interval: int
) -> None:
    """The summary agrees with counting lane by lane and core by core."""
    width, height, links = problem
    routed = route(links, width=width, height=height, target=WSE2, interval=interval)
    summary = summarize_routing(links, routed, width=width, height=height)
    routes = [each for result in routed for each in result.routes]
    through = Counter(core for link, result in zip(links, routed, strict=True) for core in used(link, result))
    assert summary.colours_used == len({each.colour for each in routes})
    assert summary.colour_bound == max(through.values(), default=0)
    assert summary.colour_bound <= summary.colours_used
    words = sum((link_ports(link, result) for link, result in zip(links, routed, strict=True)), Counter())
    assert summary.max_link_words == max(words.values(), default=0)
    ways = [longest(link, result) for link, result in zip(links, routed, strict=True)]
    assert summary.longest_path == max(ways, default=0)


@settings(max_examples=30, deadline=None)
@given(problems())
def test_routing_again_gives_the_same_routes(problem: tuple[int, int, list[RoutingLink]]) -> None:
    """A plan is reproducible byte for byte, so its routes must be."""
    width, height, links = problem
    first = route(links, width=width, height=height, target=WSE2, interval=100)
    assert first == route(links, width=width, height=height, target=WSE2, interval=100)
