"""Cycles of collectives on lines of cores: how long the fabric takes, by algorithm.

The model is that of "Near-Optimal Wafer-Scale Reduce" (arXiv 2404.15888), validated there to 4 % on a WSE-2: of a
collective count its contention, energy, links, distance and depth (`CollectiveCost`). Each function gives these for one
algorithm, with the formula that comes of them where a hop takes one cycle and neighbours are one hop apart.

`words` B are those of one core, `cores` P those of a line, `spacing` the hops from one of them to the next. All may be
arrays that broadcast; one core has nothing to do and costs nothing. What instructions cost is not in here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wsec.compiler.target import Fabric

Array: TypeAlias = "NDArray[np.float64]"
Values: TypeAlias = "float | NDArray[np.float64]"

GROUPED = frozenset({"two_phase", "two_level"})
"""Algorithms whose cores form groups."""


@dataclass(frozen=True, slots=True, eq=False)
class CollectiveCost:
    """What a collective asks of the fabric.

    Attributes:
        contention: C, words through the ramp of the busiest core.
        energy: E, hops of all words together.
        links: N, links that carry them.
        distance: L, hops from the farthest core, as far as the way is not hidden behind other words.
        depth: D, steps of which each waits for the one before.
        other: The same of another way through the collective, where now this and now that one takes longer.
    """

    contention: Array
    energy: Array
    links: Array
    distance: Array
    depth: Array
    other: CollectiveCost | None = None

    def cycles(self, fabric: Fabric) -> Array:
        """T = max(C, E / N + L) + (2 T_R + 1) D, C and E / N by the words of a link in a cycle, L by the cycles of a hop.

        Of two ways the longer one.
        """
        rate = fabric.link_words_per_cycle
        streamed = self.energy / np.maximum(self.links, 1) / rate + fabric.hop_cycles * self.distance
        step = 2 * fabric.ramp_cycles + 1
        result: Array = np.maximum(self.contention / rate, streamed) + step * self.depth
        return result if self.other is None else np.maximum(result, self.other.cycles(fabric))


def _cost(
    cores: Values, *, contention: Values, energy: Values, links: Values, distance: Values, depth: Values
) -> CollectiveCost:
    """The record, all 0 where there is one core."""
    several = np.asarray(cores) > 1
    return CollectiveCost(
        contention=np.where(several, contention, 0.0),
        energy=np.where(several, energy, 0.0),
        links=np.where(several, links, 0.0),
        distance=np.where(several, distance, 0.0),
        depth=np.where(several, depth, 0.0),
    )


def _way(cores: Values, words: Values, distance: Values, depth: Values) -> CollectiveCost:
    """One way through a collective: so many words pass one link of it, behind each other."""
    return _cost(cores, contention=words, energy=words, links=1, distance=distance, depth=depth)


def flight_cycles(hops: int, fabric: Fabric) -> int:
    """Cycles of one word over that many hops, both ramps included."""
    return math.ceil(fabric.hop_cycles * hops) + 2 * fabric.ramp_cycles


def broadcast(words: Values, cores: Values, spacing: Values = 1.0) -> CollectiveCost:
    """From the first core to all others, by multicast: B + P + 2 T_R."""
    hops = spacing * (np.asarray(cores) - 1)
    return _cost(cores, contention=words, energy=words * hops, links=hops, distance=hops, depth=1)


def multicast(words: Values, hops: Values) -> CollectiveCost:
    """From one core to any number of cores, the farthest of them `hops` away: B + hops + 2 T_R + 1."""
    return _cost(2, contention=words, energy=words * hops, links=hops, distance=hops, depth=1)


def broadcast_2d(words: Values, width: Values, height: Values) -> CollectiveCost:
    """From a corner to a rectangle of M x N cores, by one multicast: B + M + N - 2 + 2 T_R + 1."""
    cores = np.asarray(width) * height
    return _cost(
        cores,
        contention=words,
        energy=words * (cores - 1),
        links=cores - 1,
        distance=np.asarray(width) + height - 2,
        depth=1,
    )


def reduce_star(words: Values, cores: Values, spacing: Values = 1.0) -> CollectiveCost:
    """All cores send to the first: B (P - 1) + 2 T_R + 2; the paper's table leaves out the hop of the last word.

    The words of a farther core are on their way while those of nearer ones come in. Where that way is longer than all words
    take, it is what counts: B + P - 1 + 2 T_R + 1.
    """
    others = np.asarray(cores) - 1
    farthest = _way(cores, words, spacing * others, 1)
    return replace(_way(cores, words * others, spacing, 1), other=farthest)


def reduce_chain(words: Values, cores: Values, spacing: Values = 1.0) -> CollectiveCost:
    """Each core adds to the stream that passes it: B + (2 T_R + 2) (P - 1)."""
    others = np.asarray(cores) - 1
    hops = spacing * others
    return _cost(cores, contention=words, energy=words * hops, links=hops, distance=hops, depth=others)


def reduce_tree(words: Values, cores: Values, spacing: Values = 1.0) -> CollectiveCost:
    """A binary tree: B log2 P + P - 1 + (2 T_R + 1) log2 P for powers of two.

    A core has received everything before it sends, so the words of all levels follow each other. The paper's table has
    max(B log2 P, B P log2 P / (2 (P - 1)) + P - 1) for the words and the way, as if levels overlapped. Other numbers of cores
    are a whole tree of m, the largest power of two, and the tree of the rest, which comes last:
    R(P) = max(R(m), R(P - m) + m + 2 T_R + 1) + B.
    """
    rest = np.maximum(np.asarray(cores, dtype=np.float64), 1)
    before = outer = np.zeros_like(rest)
    cost: CollectiveCost | None = None
    while True:
        levels = np.floor(np.log2(rest))
        whole = 2**levels
        split = whole < rest
        way = _way(cores, words * (levels + outer + split), spacing * (before + whole - 1), levels + outer)
        cost = way if cost is None else replace(way, other=cost)
        if not split.any():
            return cost
        rest = np.where(split, rest - whole, rest)
        before, outer = before + split * whole, outer + split


def reduce_in_groups(words: Values, cores: Values, group: Values, spacing: Values = 1.0) -> CollectiveCost:
    """Chains in G groups of S cores, then a chain of their first cores: C = 2 B, D = S - 1 + G - 1.

    Two-phase is S = ceil(sqrt P): depth 2 sqrt P - 2. The first core of a group adds the stream of the groups behind it when it has
    added its own group: 2 B + P - 1 - r + (2 T_R + 1) (S + G - 3), where r cores are in the last group, whose first core
    waits for none. With few words the way from the very last core is longer: B + P - 1 + (2 T_R + 1) (r + G - 2).
    """
    cores, group = np.asarray(cores, dtype=np.float64), np.asarray(group, dtype=np.float64)
    size = np.maximum(1, np.minimum(group, cores))
    groups = np.ceil(cores / size)
    last = cores - size * (groups - 1)
    twice = (groups > 1) & (size > 1)
    waiting = _way(
        cores,
        words * np.where(twice, 2, 1),
        spacing * np.where(twice, cores - 1 - last, cores - 1),
        np.where(twice, size + groups - 3, cores - 1),
    )
    return replace(waiting, other=_way(cores, words, spacing * (cores - 1), last + groups - 2))


def reduction(
    algorithm: str, words: Values, cores: Values, spacing: Values = 1.0, group: Values = 0
) -> CollectiveCost:
    """A reduction by the algorithm of that name.

    Raises:
        ValueError: There is none.
    """
    if algorithm in GROUPED:
        size = np.ceil(np.sqrt(cores)) if algorithm == "two_phase" else group
        return reduce_in_groups(words, cores, size, spacing)
    known = {"star": reduce_star, "chain": reduce_chain, "tree": reduce_tree}
    if algorithm not in known:
        raise ValueError(f"no reduction is called {algorithm}")
    return known[algorithm](words, cores, spacing)


def all_reduce_ring(words: Values, cores: Values, spacing: Values = 1.0) -> CollectiveCost:
    """Reduce-scatter and all-gather around a line and back: 2 (P - 1) B / P + 4 P - 6 + 2 (P - 1) (2 T_R + 1).

    A part is a whole number of words. A core receives and sends every word, which are two instructions on one datapath: with
    many words that takes longer, 4 (P - 1) B / P and twice the way back.
    """
    cores = np.asarray(cores, dtype=np.float64)
    steps, part = 2 * (cores - 1), np.ceil(np.asarray(words) / np.maximum(cores, 1))
    busy = _way(cores, 2 * steps * part, 2 * spacing * (cores - 2), 0)
    return replace(_way(cores, steps * part, spacing * (4 * cores - 6), steps), other=busy)


def all_reduce_cycles(
    algorithm: str, words: Values, cores: Values, fabric: Fabric, *, spacing: Values = 1.0, group: Values = 0
) -> Array:
    """A reduction and a broadcast of its result, one after the other; a ring does both."""
    if algorithm == "ring":
        return all_reduce_ring(words, cores, spacing).cycles(fabric)
    reduced = reduction(algorithm, words, cores, spacing, group).cycles(fabric)
    return reduced + broadcast(words, cores, spacing).cycles(fabric)


def reduce_2d_cycles(algorithm: str, words: Values, width: Values, height: Values, fabric: Fabric) -> Array:
    """Along every row, then along the first column: two reductions of a line."""
    along_rows = reduction(algorithm, words, width).cycles(fabric)
    return along_rows + reduction(algorithm, words, height).cycles(fabric)


def snake_reduce(words: Values, width: Values, height: Values) -> CollectiveCost:
    """A chain through all cores of a rectangle, row by row: B + (2 T_R + 2) (M N - 1)."""
    return reduce_chain(words, np.asarray(width) * height)


def scatter(words: Values, cores: Values, spacing: Values = 1.0) -> CollectiveCost:
    """The first core sends each other one its own words, the farthest first: B (P - 1) + 2 T_R + 2; as a star backwards."""
    return reduce_star(words, cores, spacing)


def gather(words: Values, cores: Values, spacing: Values = 1.0) -> CollectiveCost:
    """Every core sends its own words to the first, the nearest first: B (P - 1) + 2 T_R + 2, as a star."""
    return reduce_star(words, cores, spacing)


def all_gather(words: Values, cores: Values, spacing: Values = 1.0) -> CollectiveCost:
    """Every core sends its own words to all others, in turns: an exchange of B P words."""
    return exchange(words * np.asarray(cores), cores, spacing)


def exchange(
    words: Values, cores: Values, spacing: Values = 1.0, senders: Values | None = None
) -> CollectiveCost:
    """Cores of a segment send in turns and all others see it, `words` of all together: B + 2 (P - 1) + 2 T_R + 1.

    An inner core's turn begins when the last word of the core before it has come by: the turn goes along the line once,
    and the last word goes back to its beginning. Where only the first S cores send, the turn goes along these, and the last word back
    over them or on to the end: B + S - 1 + max(S - 1, P - S) + 2 T_R + 1. Resharding, and any words between the cores of a line.
    """
    cores = np.asarray(cores)
    sending = cores if senders is None else np.minimum(np.asarray(senders), cores)
    distance = spacing * (sending - 1 + np.maximum(sending - 1, cores - sending))
    hops = spacing * (cores - 1)
    return _cost(cores, contention=words, energy=words * hops, links=hops, distance=distance, depth=1)


def halo_exchange_cycles(words: Values, reach: Values, fabric: Fabric, spacing: Values = 1.0) -> Array:
    """Every core's `words` to all cores that are at most `reach` away: two tilings of segments of 2 * reach, after each other.

    Each of two neighbours so near lie in one segment of one of the tilings or of the other. The second exchange begins at the
    cores in the middle of the segments of the first, where the last word comes by `reach` cores before it is at the beginning.
    """
    reach = np.asarray(reach)
    return 2 * all_gather(words, 2 * reach, spacing).cycles(fabric) - fabric.hop_cycles * spacing * reach


def shift(words: Values, cores: Values) -> CollectiveCost:
    """Each core to the next, the last one back to the first, as in Cannon's algorithm: B + P - 1 + 2 T_R + 1.

    A core sends and receives every word, two instructions on one datapath: 2 B + P - 2 where that takes longer.
    """
    hops = np.asarray(cores) - 1.0
    return replace(_way(cores, words, hops, 1), other=_way(cores, 2 * np.asarray(words), hops - 1, 0))


def interleaved_shift(words: Values, cores: Values) -> CollectiveCost:
    """The same on a ring that goes out over every other core and back over those between: B + 2 + 2 T_R + 1, or 2 B.

    No core is more than two hops from the next (WaferLLM, arXiv 2502.04563).
    """
    hops = np.minimum(2, np.asarray(cores) - 1.0)
    return replace(_way(cores, words, hops, 1), other=_way(cores, 2 * np.asarray(words), 0, 0))


def best_group(words: float, cores: int, spacing: float, fabric: Fabric) -> int:
    """The size of groups with the fewest cycles for a two-level reduction; of equals the smallest."""
    sizes = np.arange(2, max(3, cores), dtype=np.float64)
    return int(sizes[np.argmin(reduce_in_groups(words, cores, sizes, spacing).cycles(fabric))])


def lower_bound_cycles(words: float, cores: int, fabric: Fabric) -> float:
    """No reduction on a line takes less: min over D of B E*(P, D) / (P - 1) + P - 1 + D (2 T_R + 1).

    E*(P, D) is the least energy of a tree of depth D at most that reduces one word of each of P cores.
    """
    if cores <= 1:
        return 0.0
    depth = np.arange(1, cores, dtype=np.float64)
    step = 2 * fabric.ramp_cycles + 1
    streamed = words * _least_energy(cores)[1:] / (cores - 1) / fabric.link_words_per_cycle
    return float(np.min(streamed + fabric.hop_cycles * (cores - 1) + depth * step))


@lru_cache(maxsize=8)
def _least_energy(cores: int) -> Array:
    """E*(P, D) of P cores for every depth D below P: float64 [P].

    The last word that the root adds comes from some core i, which stands for the cores from there on and is one step less
    deep: E*(P, D) = min over i of E*(i, D) + E*(P - i, D - 1) + i.
    """
    energy = np.full((cores + 1, cores), np.inf)
    energy[1] = 0
    for count in range(2, cores + 1):
        first = np.arange(1, count)
        energy[count, 1:] = np.min(energy[first, 1:] + energy[count - first, :-1] + first[:, None], axis=0)
    least: Array = energy[cores]
    return least
