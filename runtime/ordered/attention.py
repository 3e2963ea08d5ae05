"""Fused attention in the order of the core programs."""

from __future__ import annotations

from operator import add
from typing import TYPE_CHECKING

import numpy as np

from wsec.runtime.collectives import combine
from wsec.runtime.kernels.attention import AttentionBody, run_body
from wsec.runtime.ordered.contraction import contract_in_order, sum_of_products
from wsec.runtime.ordered.elementwise import apply_step_in_order
from wsec.runtime.ordered.operations import exp, maximum, reduce_in_order

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from wsec.compiler.plan import ChainStep, Kernel
    from wsec.runtime.element_types import Array


def attention(kernel: Kernel, blocks: Mapping[str, Array]) -> Array | tuple[Array, ...]:
    """Products from 0 on by rising d and t; maximum, sum and the sink's share by rising t; then the reciprocal of the sum."""
    return run_body(_OrderedBody(kernel), blocks)


class _OrderedBody(AttentionBody):
    """Applies the steps in order."""

    def products(self, q: Array, k: Array) -> Array:
        """From 0 on, by rising features; then over the cores that have parts of them."""
        scores = sum_of_products(len(self.names), (q, self.q), (k, self.k), self.features, self.scores)
        if "mesh d" not in self.names:
            return scores
        total = combine(scores, self.kernel.mesh, ["d"], add, self.kernel.collectives)
        return np.broadcast_to(total, scores.shape)

    def softmax(self, scores: Array) -> Array:
        """Keys that are not there get minus infinity added."""
        self.normalised = True
        values = scores
        if self.there is not None:
            values = values + np.where(self.there, scores.dtype.type(0), scores.dtype.type(-np.inf))
        last = values.ndim - 1
        greatest = self._over_cores(reduce_in_order(values, (last,), maximum, -np.inf), maximum)
        if self.sink is not None:
            greatest = maximum(greatest, reduce_in_order(self.sink, (last,), maximum, -np.inf))
        powers = exp(values - greatest)
        total = self._over_cores(reduce_in_order(powers, (last,), add, 0), add)
        if self.sink is not None:
            total = total + reduce_in_order(exp(self.sink - greatest), (last,), add, 0)
        probabilities: Array = powers * (total.dtype.type(1) / total)
        return probabilities

    def _over_cores(self, rows: Array, operation: Callable[[Array, Array], Array]) -> Array:
        """A statistic of rows [mesh axes, b0 ..., m, 1] over the keys of all cores; each turn of the rows by itself."""
        mesh, count = self.kernel.mesh, rows.shape[-2]
        size = -(-count // self.kernel.turns.get("m", 1))
        axes = [axis.name for axis in mesh.axes if axis.name == "t"]
        turns = [
            combine(rows[..., first : first + size, :], mesh, axes, operation, self.kernel.collectives)
            for first in range(0, count, size)
        ]
        return np.concatenate(turns, axis=-2)

    def weighted(self, probabilities: Array, v: Array) -> Array:
        """From 0 on, by rising t; values of keys that are not there are zero."""
        return contract_in_order(self.kernel, (probabilities, self.scores), (v, self.v), ("t",), self.out)

    def step(self, step: ChainStep, operands: list[Array | None]) -> Array:
        """By the formula of the operator."""
        return apply_step_in_order(step, operands)
