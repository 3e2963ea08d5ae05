"""The contract of docs/fabric.md on delivery, word by word in plain Python: what faster code is compared with."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

import numpy as np

from wsec.compiler.sharding import block_indices

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from delivery_examples import Core, Words

    from wsec.compiler.plan import Exchange
    from wsec.compiler.sharding import DimensionSharding, Mesh, Sharding

Dealt = dict["Core", list[int]]


def blocks_of_cores(mesh: Mesh, sharding: Sharding) -> dict[Core, Words]:
    """The number of the block of each core, by dimension."""
    shape = mesh.height, mesh.width
    numbers = [np.broadcast_to(block_indices(each, mesh), shape) for each in sharding.dimensions]
    return {core: tuple(int(number[core]) for number in numbers) for core in np.ndindex(*shape)}


def _range(dimension: DimensionSharding, number: int) -> range:
    start = (number * dimension.step + dimension.offset) // dimension.divisor
    return range(max(start, 0), min(start + dimension.block, dimension.extent))


def _owner(dimension: DimensionSharding, numbers: Sequence[int], element: int) -> int | None:
    containing = [number for number in numbers if element in _range(dimension, number)]

    def distance(number: int) -> int:
        start = (number * dimension.step + dimension.offset) // dimension.divisor
        return abs(2 * element + 1 - (2 * start + dimension.block))

    return min(containing, key=distance, default=None)


class DeliveryReference:
    """One consumer: what its cores need and own."""

    def __init__(self, mesh: Mesh, sharding: Sharding) -> None:
        self.blocks = blocks_of_cores(mesh, sharding)
        self.shape = mesh.height, mesh.width
        self.indices = list(np.ndindex(*sharding.shape))
        numbers = [sorted({block[at] for block in self.blocks.values()}) for at in range(len(sharding.shape))]
        self.needs: dict[Core, set[int]] = {}
        for core, block in self.blocks.items():
            ranges = [_range(each, number) for each, number in zip(sharding.dimensions, block, strict=True)]
            self.needs[core] = {
                word
                for word, index in enumerate(self.indices)
                if all(at in extent for at, extent in zip(index, ranges, strict=True))
            }
        per_dimension = [
            [_owner(each, numbers[at], element) for element in range(each.extent)]
            for at, each in enumerate(sharding.dimensions)
        ]
        self.owner_block = [
            tuple(per_dimension[at][element] for at, element in enumerate(index)) for index in self.indices
        ]

    def owners(self, word: int) -> list[Core]:
        """The cores whose block is that to which the word belongs, in row-major order."""
        return [core for core, block in self.blocks.items() if block == self.owner_block[word]]

    def _on(self, side: int) -> Callable[[int], list[Core]]:
        """For each word all cores in the rows (0) or columns (1) of its owners."""

        def cores(word: int) -> list[Core]:
            lines = {core[side] for core in self.owners(word)}
            return [core for core in self.blocks if core[side] in lines]

        return cores

    def landed(
        self, groups: Sequence[Words], streams: Sequence[Words], final: str, *, from_host: bool
    ) -> Dealt:
        """The words dealt to each core, in order."""
        if from_host:
            everywhere = tuple((0,) * self.shape[1] for _ in range(self.shape[0]))
            return self.landed(everywhere, [tuple(range(len(self.indices)))], final, from_host=False)
        side = 0 if final == "rows" else 1
        dealt: Dealt = defaultdict(list)
        for lane, stream in enumerate(streams):
            group = [core for core in self.blocks if groups[core[0]][core[1]] == lane]
            place: dict[int, Core] = {}
            left = [word for word in stream if self.owners(word)]
            most = 2 * -(-len(left) // max(len(group), 1))
            for cores_of in (self.owners, self._on(1 - side), self._on(side), lambda _: list(self.blocks)):
                same: dict[tuple[Core, ...], list[int]] = defaultdict(list)
                for word in left:
                    same[tuple(cores_of(word))].append(word)
                for reached, words in same.items():
                    cores = [core for core in group if core in reached]
                    if len(words) <= most * len(cores):
                        place |= {
                            word: cores[number * len(cores) // len(words)]
                            for number, word in enumerate(words)
                        }
                left = [word for word in left if word not in place]
            assert not left
            for word in stream:
                if word in place:
                    dealt[place[word]].append(word)
        return dict(dealt)

    def exchanged(
        self, dealt: Mapping[Core, Sequence[int]], exchanges: Sequence[Exchange]
    ) -> tuple[list[dict[Core, Words]], dict[Core, set[int]], dict[Core, set[int]]]:
        """For each exchange what each core sends; what waits at each core; what each core has in the end."""
        final = exchanges[-1].along if exchanges else "rows"
        early = [each for each in exchanges if each.along != final]
        late = [each for each in exchanges if each.along == final]
        line = 0 if final == "rows" else 1
        line_needs = {
            core: set().union(*(self.needs[other] for other in self.needs if other[line] == core[line]))
            for core in self.needs
        }
        own = {core: set(dealt.get(core, ())) for core in self.needs}
        waiting, sent = self._side(own, line_needs, early)
        if early:
            waiting = {core: words & line_needs[core] for core, words in waiting.items()}
        ended, sent_late = self._side(waiting, self.needs, late)
        return sent + sent_late, waiting, ended

    def _side(
        self, own: dict[Core, set[int]], needs: dict[Core, set[int]], exchanges: Sequence[Exchange]
    ) -> tuple[dict[Core, set[int]], list[dict[Core, Words]]]:
        held = {core: set(words) for core, words in own.items()}
        brought: dict[tuple[Core, int], set[Core]] = defaultdict(set)
        everything = []
        for exchange in exchanges:
            sends: dict[Core, Words] = {}
            for core, words in own.items():
                others = [other for other in own if other != core and _together(core, other, exchange)]
                new = [
                    word
                    for word in sorted(words)
                    if any(word in needs[other] and other not in brought[core, word] for other in others)
                ]
                for word in new:
                    for other in others:
                        if word in needs[other]:
                            held[other].add(word)
                            brought[core, word].add(other)
                if new:
                    sends[core] = tuple(new)
            everything.append(sends)
        return held, everything


def _together(core: Core, other: Core, exchange: Exchange) -> bool:
    """Whether two cores are in one segment of one line."""
    along, across = (1, 0) if exchange.along == "rows" else (0, 1)
    shift = (exchange.segment - exchange.offset) % exchange.segment
    return (
        core[across] == other[across]
        and (core[along] + shift) // exchange.segment == (other[along] + shift) // exchange.segment
    )
