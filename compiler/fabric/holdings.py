"""What the cores of a producer hold of a tensor that a link takes from them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from wsec.compiler.sharding import block_bounds

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wsec.compiler.plan import KernelOutput
    from wsec.compiler.sharding import Mesh, Sharding

# Bytes of the element types that cores hold; numpy has no words for some.
_ITEM_BYTES = {"bfloat16": 2, "int4": 1, "uint4": 1}


def item_bytes(dtype: str) -> int:
    """Bytes of an element of the type, as it lies on cores."""
    return _ITEM_BYTES[dtype] if dtype in _ITEM_BYTES else np.dtype(dtype).itemsize


def held_elements(sharding: Sharding, mesh: Mesh) -> NDArray[np.int64]:
    """Elements that each core sends of a tensor with this sharding, [height, width].

    Those of its block that lie inside the extents; along axes that no dimension names, only index 0 sends.
    """
    named = {name for dimension in sharding.dimensions for name in dimension.axes}
    sends = np.ones((1, 1), np.bool_)
    for axis in mesh.axes:
        if axis.name not in named:
            sends = sends & (mesh.coordinate(axis.name) == 0)
    elements = sends.astype(np.int64)
    for start, stop in block_bounds(sharding, mesh):
        elements = elements * (stop - start)
    return np.broadcast_to(elements, (mesh.height, mesh.width))


def held_words(output: KernelOutput, mesh: Mesh, word_bytes: int) -> NDArray[np.int64]:
    """Words that each core sends of an output, [height, width]: neighbours in a block share a word where they are narrow."""
    elements = held_elements(output.sharding, mesh)
    size = item_bytes(output.dtype)
    return (
        elements * math.ceil(size / word_bytes) if size >= word_bytes else -(-elements * size // word_bytes)
    )
