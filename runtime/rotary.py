"""The rotation of pairs of features by angles that are known: RotaryEmbedding as a kernel that is cut along batch, heads and positions."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import onnx

from wsec.runtime.blocks import gather, scatter

if TYPE_CHECKING:
    from collections.abc import Mapping

    from wsec.compiler.plan import Kernel
    from wsec.runtime.element_types import Array
    from wsec.runtime.lowered_model import LoweredModel

_RANK = 4  # [batch, heads, positions, features]


@dataclass(frozen=True, slots=True)
class Rotation:
    """How features are rotated.

    Attributes:
        pairs: How many pairs.
        interleaved: Whether a pair is two neighbours; else one of the first half and one of the second.
        halves: Whether the kernel sees the features as two halves, of which positions may be cut.
    """

    pairs: int
    interleaved: bool
    halves: bool = False


def rotation_of(kernel: Kernel, model: LoweredModel) -> Rotation | None:
    """Of a batched kernel that rotates [batch, heads, positions, features] by rows of tables; None for any other."""
    if kernel.kind != "batched" or [item.role for item in kernel.inputs[:3]] != ["in0", "in1", "in2"]:
        return None
    (node,) = model.nodes(kernel.operators[:1])
    shape = kernel.inputs[0].sharding.shape
    if (node.domain, node.op_type, len(node.input)) != ("", "RotaryEmbedding", 3):
        return None
    halves = "pairs" in kernel.arguments and shape[_RANK - 1] == 2
    if len(shape) != _RANK + halves:
        return None
    given = {item.name: onnx.helper.get_attribute_value(item) for item in node.attribute}
    pairs = (int(given.get("rotary_embedding_dim", 0)) or math.prod(shape[_RANK - 1 :])) // 2
    return Rotation(pairs, bool(given.get("interleaved", 0)), halves)


def rotate_blocks(kernel: Kernel, blocks: Mapping[str, Array], rotation: Rotation) -> Array:
    """In the order of the core program: `a * cos - b * sin` and `a * sin + b * cos` of each pair, products rounded before the sum."""
    by_role = {item.role: item for item in kernel.inputs}
    x, cosines, sines = (
        np.asarray(gather(blocks[role], by_role[role].sharding, kernel.mesh))
        for role in ("in0", "in1", "in2")
    )
    cosines, sines = (table[:, None] for table in (cosines, sines))
    x = x.reshape(*x.shape[: _RANK - 1], -1)
    first, second = slices(rotation)
    result = x.copy()
    result[..., first] = x[..., first] * cosines - x[..., second] * sines
    result[..., second] = x[..., first] * sines + x[..., second] * cosines
    return scatter(result, kernel.outputs[0].sharding, kernel.mesh, 0)


def slices(rotation: Rotation) -> tuple[slice, slice]:
    """Where the first and the second features of all pairs lie."""
    if rotation.interleaved:
        return slice(0, 2 * rotation.pairs, 2), slice(1, 2 * rotation.pairs, 2)
    return slice(0, rotation.pairs), slice(rotation.pairs, 2 * rotation.pairs)
