"""Moves of single kernels between neighbouring parts: out of parts that are too full, then for fewer words across.

Passes after Fiduccia and Mattheyses, "A Linear-Time Heuristic for Improving Network Partitions" (DAC 1982): each kernel
moves once at most, the best move first even where it is a step back, and the pass keeps its best prefix. A kernel
moves only where no net would go backwards and no part is left empty.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from wsec.compiler.schedule.problem import areas_within

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from wsec.compiler.schedule.problem import PartitionNet, PartitionProblem

_PATIENCE: Final = 64  # moves of a pass after its best prefix
_PASSES: Final = 16
_EXACT: Final = 1e-9  # excess below this is a rounding error of sums of shares
_WAYS: Final = (1, -1)

Value = tuple[float, int]
"""What a partition is worth: by how much parts and crossings are too full, as shares, and the words across."""


def improve(problem: PartitionProblem, part: Sequence[int], interval: int) -> tuple[list[int], Value]:
    """The partition after moves that make it fit the interval, or fit it with fewer words across, and its worth.

    Args:
        problem: The kernels.
        part: Of each kernel; no net goes backwards, no part is empty.
        interval: In cycles.
    """
    moves = _Moves(problem, part, interval)
    best = moves.value
    for _ in range(_PASSES):
        moves.run_pass()
        if moves.value >= best:
            break
        best = moves.value
    return moves.part.tolist(), moves.value


class _Moves:
    """A partition that changes, with what each move would do to it.

    `words[way][kernel]` is what a move adds to the words across, one part on or one back; `allowed` says whether it may.
    """

    def __init__(self, problem: PartitionProblem, part: Sequence[int], interval: int) -> None:
        count = len(problem.kernels)
        self.part = np.array(part, dtype=np.int64)
        self._areas = areas_within(problem.kernels, interval)
        self._capacity = problem.capacity
        self._word_limit = interval / problem.cycles_per_word if problem.cycles_per_word else np.inf
        self._from: list[list[PartitionNet]] = [[] for _ in range(count)]
        self._into: list[list[PartitionNet]] = [[] for _ in range(count)]
        for net in problem.nets:
            self._from[net.source].append(net)
            for target in dict.fromkeys(net.targets):
                self._into[target].append(net)
        self._loads = np.bincount(self.part, weights=self._areas, minlength=problem.parts).astype(np.int64)
        self._members = np.bincount(self.part, minlength=problem.parts)
        self._across = crossing_words(problem, self.part)
        self._words = {way: np.zeros(count, dtype=np.int64) for way in _WAYS}
        self._allowed = {way: np.zeros(count, dtype=np.bool_) for way in _WAYS}
        for kernel in range(count):
            self._refresh(kernel)

    @property
    def value(self) -> Value:
        """What the partition is worth now."""
        excess = float(self._over(self._loads).sum() + self._too_many(self._across).sum())
        return (excess if excess > _EXACT else 0.0), int(self._across.sum())

    def run_pass(self) -> None:
        """One pass; the partition is never worth less after it."""
        free = np.ones(len(self.part), dtype=np.bool_)
        done: list[tuple[int, int]] = []
        best, kept = self.value, 0
        while len(done) - kept < _PATIENCE:
            move = self._best_move(free)
            if move is None:
                break
            self._make(*move)
            free[move[0]] = False
            done.append(move)
            if self.value < best:
                best, kept = self.value, len(done)
        for kernel, way in reversed(done[kept:]):
            self._make(kernel, -way)

    def _best_move(self, free: NDArray[np.bool_]) -> tuple[int, int] | None:
        """The kernel and way of the move that leaves least excess, then fewest words; the first of equals."""
        found: list[tuple[float, int, int, int]] = []
        for way in _WAYS:
            able = np.flatnonzero(self._allowed[way] & free)
            able = able[self._members[self.part[able]] > 1]
            if len(able):
                excess, words = self._excess_added(able, way), self._words[way][able]
                first = np.lexsort((able, words, np.round(excess, 9)))[0]
                found.append((round(float(excess[first]), 9), int(words[first]), int(able[first]), way))
        return None if not found else min(found)[2:]

    def _excess_added(self, kernels: NDArray[np.int64], way: int) -> NDArray[np.float64]:
        here, areas = self.part[kernels], self._areas[kernels]
        there = here + way
        boundary = np.minimum(here, there)
        added = self._over(self._loads[here] - areas) - self._over(self._loads[here])
        added += self._over(self._loads[there] + areas) - self._over(self._loads[there])
        across = self._across[boundary]
        return added + self._too_many(across + self._words[way][kernels]) - self._too_many(across)

    def _over(self, loads: NDArray[np.int64]) -> NDArray[np.float64]:
        over: NDArray[np.float64] = np.maximum(loads - self._capacity, 0) / self._capacity
        return over

    def _too_many(self, words: NDArray[np.int64]) -> NDArray[np.float64]:
        if np.isinf(self._word_limit):
            return np.zeros(words.shape)
        over: NDArray[np.float64] = np.maximum(words - self._word_limit, 0) / max(self._word_limit, 1.0)
        return over

    def _make(self, kernel: int, way: int) -> None:
        here = int(self.part[kernel])
        self._across[min(here, here + way)] += self._words[way][kernel]
        self.part[kernel] += way
        for part, sign in ((here, -1), (here + way, 1)):
            self._loads[part] += sign * self._areas[kernel]
            self._members[part] += sign
        touched = [kernel]
        for net in (*self._from[kernel], *self._into[kernel]):
            touched += [net.source, *net.targets]
        for each in dict.fromkeys(touched):
            self._refresh(each)

    def _refresh(self, kernel: int) -> None:
        """Compute anew what moves of a kernel may do and would do."""
        here = int(self.part[kernel])
        sent, read = self._from[kernel], self._into[kernel]
        first = min(
            (int(self.part[target]) for net in sent for target in net.targets), default=len(self._loads)
        )
        last = max((int(self.part[net.source]) for net in read), default=-1)
        self._allowed[1][kernel] = here + 1 < len(self._loads) and first > here
        self._allowed[-1][kernel] = here > 0 and last < here
        of_sent = sum(net.words for net in sent)
        furthest = [(net.words, self._furthest(net, kernel)) for net in read]
        self._words[1][kernel] = sum(words for words, at in furthest if at <= here) - of_sent
        self._words[-1][kernel] = of_sent - sum(words for words, at in furthest if at < here)

    def _furthest(self, net: PartitionNet, but: int) -> int:
        """The last part that reads a net, but for one of its readers; the part of its source where no other does."""
        others = (int(self.part[target]) for target in net.targets if target != but)
        return max(others, default=int(self.part[net.source]))


def crossing_words(problem: PartitionProblem, part: NDArray[np.int64]) -> NDArray[np.int64]:
    """Words of a sample between each part and the next, [parts - 1]; each net crosses up to its furthest reader."""
    steps = np.zeros(problem.parts, dtype=np.int64)
    for net in problem.nets:
        steps[part[net.source]] += net.words
        steps[part[list(net.targets)].max()] -= net.words
    return np.cumsum(steps)[:-1]
