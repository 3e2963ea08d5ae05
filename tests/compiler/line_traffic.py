"""Kernels with nothing but a mesh and collectives, and words that walk through their circuits: a tiny untimed fabric.

Written from docs/fabric.md alone. Every message is one word that carries the names of its sender and receiver.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from wsec.compiler.plan import Collective, Cycles, Kernel, MemoryLedger, Rectangle
from wsec.compiler.sharding import Mesh, MeshAxis

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from wsec.compiler.plan import Circuit, CollectiveAlgorithm

Core = tuple[int, int]
STEPS = {"N": (0, -1), "E": (1, 0), "S": (0, 1), "W": (-1, 0)}
OPPOSITE = {"N": "S", "S": "N", "E": "W", "W": "E"}


def kernel_of(axes: Sequence[MeshAxis], collectives: Iterable[Collective], x: int = 0, y: int = 0) -> Kernel:
    """A kernel that does nothing but combine."""
    mesh = Mesh(tuple(axes))
    return Kernel(
        name="kernel",
        kind="none",
        operators=("kernel",),
        arguments={},
        split={axis.name: axis.size for axis in axes},
        rectangle=Rectangle(x, y, mesh.width, mesh.height),
        mesh=mesh,
        inputs=(),
        outputs=(),
        chain=(),
        memory=MemoryLedger(0, 0, 0, 0),
        cycles=Cycles(0, 0, 0),
        collectives=tuple(collectives),
    )


def collective(
    axis: str, algorithm: CollectiveAlgorithm, group: int = 0, *, shared: bool = False
) -> Collective:
    """A record with one word."""
    return Collective("all_reduce" if shared else "reduce", axis, algorithm, group, 1)


def settings(circuits: Iterable[Circuit]) -> dict[tuple[Core, int], tuple[str, ...]]:
    """The positions of each core and colour. Raises AssertionError where two areas of a colour meet."""
    found: dict[tuple[Core, int], tuple[str, ...]] = {}
    for circuit in circuits:
        for area in circuit.areas:
            for x in range(area.x, area.x + area.width):
                for y in range(area.y, area.y + area.height):
                    key = (x, y), circuit.colour
                    assert key not in found
                    found[key] = area.positions
    return found


@dataclass(frozen=True)
class Message:
    """A word on its way along a line, to all the targets, which lie on the line to one or both sides of the source."""

    source: Core
    targets: tuple[Core, ...]
    colour: int


def ways(message: Message, held: dict[tuple[Core, int], tuple[str, ...]]) -> dict[Core, str]:
    """The position that the message takes at every core on its way. Raises AssertionError where the settings have none."""
    x, y = message.source
    farthest: dict[str, Core] = {}
    for target in sorted(message.targets, key=lambda core: abs(core[0] - x) + abs(core[1] - y)):
        move = (target[0] > x) - (target[0] < x), (target[1] > y) - (target[1] < y)
        farthest[next(port for port, step in STEPS.items() if step == move)] = target
    taken = {message.source: _position(message, message.source, "R", set(farthest), held)}
    for out, far in farthest.items():
        core = message.source
        while core != far:
            core = core[0] + STEPS[out][0], core[1] + STEPS[out][1]
            outputs = {"R"} if core in message.targets else set[str]()
            taken[core] = _position(
                message, core, OPPOSITE[out], outputs | (set() if core == far else {out}), held
            )
    return taken


def _position(
    message: Message, core: Core, port: str, outputs: set[str], held: dict[tuple[Core, int], tuple[str, ...]]
) -> str:
    found = [each for each in held[core, message.colour] if each[0] == port and set(each[2:]) == outputs]
    assert len(found) == 1, (core, port, outputs, held[core, message.colour])
    return found[0]


@dataclass
class Router:
    """A core's router for one colour: words wait by port, positions have so many words left."""

    positions: tuple[str, ...]
    left: dict[str, int] = field(default_factory=dict)
    at: int = 0
    waiting: dict[str, deque[Message]] = field(default_factory=dict)

    def turn(self) -> str:
        """The first position that still has words to come; the last one after that."""
        while self.at < len(self.positions) - 1 and not self.left.get(self.positions[self.at]):
            self.at += 1
        return self.positions[self.at]


def deliver(messages: Sequence[Message], circuits: Iterable[Circuit]) -> list[tuple[Core, Core]]:
    """Sends all messages at once, routers going through their positions; (receiver, sender) in the order of arrival.

    Raises AssertionError where a message has no way, or waits for ever.
    """
    held = settings(circuits)
    routers: dict[tuple[Core, int], Router] = {}
    for message in messages:
        for core, position in ways(message, held).items():
            router = routers.setdefault((core, message.colour), Router(held[core, message.colour]))
            router.left[position] = router.left.get(position, 0) + 1
    for message in messages:
        routers[message.source, message.colour].waiting.setdefault("R", deque()).append(message)
    arrived: list[tuple[Core, Core]] = []
    moved = True
    while moved:
        moved = False
        for (core, colour), router in sorted(routers.items(), key=lambda item: item[0]):
            position = router.turn()
            queue = router.waiting.get(position[0])
            if not queue or not router.left.get(position):
                continue
            message = queue.popleft()
            assert ways(message, held)[core] == position, f"{message} took {position} at {core}"
            router.left[position] -= 1
            moved = True
            for port in position[2:]:
                if port == "R":
                    arrived.append((core, message.source))
                else:
                    there = core[0] + STEPS[port][0], core[1] + STEPS[port][1]
                    routers[there, colour].waiting.setdefault(OPPOSITE[port], deque()).append(message)
    assert not any(queue for router in routers.values() for queue in router.waiting.values()), (
        "words wait for ever"
    )
    return arrived
