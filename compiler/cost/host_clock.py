"""When tensors reach the host and leave it again, for a plan with host operators between kernels.

The words of a transfer take their time on the host's link, at the rate of the target. What the host then computes takes
none here: nothing is known of that machine, and the estimate says so.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from wsec.compiler.plan import HOST

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wsec.compiler.plan import HostOperator, Link
    from wsec.compiler.target import Target


def host_link_cycles(words: int, target: Target) -> int:
    """Cycles in which so many words pass the host's link, one direction of it."""
    bits = 8 * target.fabric.word_bytes * words
    return math.ceil(bits / target.host.bits_per_second * target.clock_hz)


def host_words(links: Sequence[Link]) -> tuple[int, int]:
    """Words of a sample on their way in and out: each tensor once, however many kernels read it."""
    ways_in = {link.tensor: link.words for link in links if link.source == HOST}
    ways_out = {link.tensor: link.words for link in links if link.target == HOST}
    return sum(ways_in.values()), sum(ways_out.values())


class HostClock:
    """Is told what arrives and says when host operators have their results. Linear in what they read.

    Without a target, transfers are instant.
    """

    def __init__(
        self, operators: Sequence[HostOperator], links: Sequence[Link] = (), target: Target | None = None
    ) -> None:
        self._target = target
        self._ready: dict[str, int] = {}
        awaited = {value.name for operator in operators for value in operator.outputs}
        awaited |= {link.tensor for link in links if link.target == HOST}
        self._outputs = [[value.name for value in operator.outputs] for operator in operators]
        self._begin = [0] * len(operators)
        self._waiting = [awaited.intersection(operator.inputs) for operator in operators]
        self._readers: dict[str, list[int]] = {}
        for index, operator in enumerate(operators):
            for name in operator.inputs:
                self._readers.setdefault(name, []).append(index)
        for names in [self._outputs[index] for index, waiting in enumerate(self._waiting) if not waiting]:
            for name in names:
                self._have(name, 0)

    def receive(self, tensor: str, words: int, at: int) -> None:
        """The last word of the tensor left the wafer `at` this cycle."""
        self._have(tensor, at + self._transfer(words) if tensor in self._readers else at)

    def sends(self, tensor: str, words: int) -> int:
        """When the tensor begins to enter the wafer; inputs of the model are there from the beginning."""
        ready = self._ready.get(tensor, 0)
        return ready + self._transfer(words) if ready else 0

    def _transfer(self, words: int) -> int:
        return 0 if self._target is None else host_link_cycles(words, self._target)

    def _have(self, tensor: str, at: int) -> None:
        arrived = [(tensor, at)]
        while arrived:
            name, when = arrived.pop()
            self._ready[name] = when
            for index in self._readers.get(name, ()):
                self._waiting[index].discard(name)
                self._begin[index] = max(self._begin[index], when)
                if not self._waiting[index]:
                    arrived += [(output, self._begin[index]) for output in self._outputs[index]]
