"""Sums and maxima over the cores along a mesh axis, in the order in which the fabric combines them.

The cores along an axis form a chain: the one with the highest index sends its value to its neighbour, which combines
it with its own and passes the result on, down to index 0 (docs/kernels.md). Several axes are combined one after the
other, the last of the mesh first: its cores are nearest to each other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from wsec.compiler.sharding import Mesh
    from wsec.runtime.element_types import Array


def combine(
    blocks: Array, mesh: Mesh, axes: Iterable[str], operation: Callable[[Array, Array], Array]
) -> Array:
    """The blocks combined along the mesh axes `axes`, which then have size 1: what the cores at index 0 hold.

    Args:
        blocks: [mesh axes, block dimensions].
        mesh: The cores.
        axes: Names of mesh axes, in any order.
        operation: Combines a core's own value, on the left, with the one that its neighbour sent.
    """
    for position in sorted((mesh.index(name) for name in axes), reverse=True):
        partials = _chain_of(blocks, position, mesh.shape[position])
        result = partials[-1]
        for own in partials[-2::-1]:
            result = operation(own, result)
        blocks = np.expand_dims(result, position)
    return blocks


def _chain_of(blocks: Array, position: int, size: int) -> Array:
    """The partial results along one mesh axis, that axis first; equal ones are counted as often as there are cores."""
    first = np.moveaxis(blocks, position, 0)
    chain: Array = np.broadcast_to(first, (size, *first.shape[1:]))
    return chain
