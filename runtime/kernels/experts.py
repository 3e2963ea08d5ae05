"""A mixture of experts: only the experts that some row chose are computed, on the cores that hold them (docs/kernels.md)."""

from __future__ import annotations

from operator import add
from typing import TYPE_CHECKING

import numpy as np

from wsec.runtime.blocks import along, positions
from wsec.runtime.collectives import combine
from wsec.runtime.contraction import Operand, contract
from wsec.runtime.kernels.arguments import input_sharding, integer, number, output_sharding, text
from wsec.runtime.kernels.products import contract_on_mesh
from wsec.runtime.kernels.quantization import dequantised
from wsec.runtime.local_reads import take

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from wsec.compiler.plan import Kernel
    from wsec.runtime.element_types import Array, DType

_GELU_SLOPE, _GELU_CUBE = 0.7978845608028654, 0.044715  # sqrt(2 / pi); Hendrycks and Gimpel, arXiv 1606.08415


def experts(kernel: Kernel, blocks: Mapping[str, Array]) -> Array:
    """`x` [rows, h], `router` [rows, experts], matrices by expert, to [rows, h]; sums in single precision.

    Every core has the logits of its rows, and computes those of its experts that one of all rows chose.
    """
    mesh = kernel.mesh
    names = tuple(f"mesh {axis.name}" for axis in mesh.axes)
    x = blocks["x"]
    rows = tuple(f"row {index}" for index in range(x.ndim - len(mesh.axes) - 1))
    gates, slots = _chosen(kernel, blocks["router"])
    held = _Experts(kernel, blocks, slots)
    factors = [held.products(x, (*names, *rows, "h"), role) for role in ("w1", "w3") if role in blocks]
    weighted = _activated(kernel, factors) * gates[..., None]
    valid = positions(input_sharding(kernel, "w2").dimensions[2], mesh)
    inside = valid < input_sharding(kernel, "w2").dimensions[2].extent
    if not inside.all():
        weighted = np.where(inside.reshape(along(inside.shape, len(rows) + 1, len(rows) + 2)), weighted, 0)
    second = (held.matrix("w2"), ("e", "h", "i"))
    total = contract_on_mesh(kernel, (weighted, (*rows, "e", "i")), second, (*rows, "h"))
    bias = held.bias("w2")
    if bias is not None:
        first, other = Operand(gates, (*names, *rows, "e")), Operand(bias, (*names, "e", "h"))
        partial = contract(first, other, ["e"], (*names, *rows, "h"))
        over = [axis for axis in output_sharding(kernel).root if axis == "e"]
        total = total + combine(partial, mesh, over, add, kernel.collectives)
    return total.astype(x.dtype, copy=False)


def experts_fill(_kernel: Kernel, role: str, dtype: DType) -> Any:
    """Weights outside the extents are zero, whose scale may be of a type that has no zero."""
    return 1 if role.endswith("_scale") and dtype.itemsize == 1 else 0


def _chosen(kernel: Kernel, logits: Array) -> tuple[Array, Array]:
    """The weight that each row gives to the experts of each core that compute, and which of its block these are.

    Returns:
        [mesh axes, rows, slots] in single precision, zero where a row did not choose the expert; local positions
        [mesh axes, slots], as many for each core as the core with most chosen experts has.
    """
    mesh, axes = kernel.mesh, len(kernel.mesh.axes)
    wide = logits.astype(np.float32)
    powers = np.exp(wide - wide.max(axis=-1, keepdims=True))
    count = integer(kernel, "chosen")
    ranked = np.argsort(-wide, axis=-1, kind="stable")[..., :count]
    best = np.take_along_axis(powers / powers.sum(axis=-1, keepdims=True), ranked, axis=-1)
    if integer(kernel, "normalized"):
        best = best / best.sum(axis=-1, keepdims=True)
    gates = np.zeros_like(wide)
    np.put_along_axis(gates, ranked, best, axis=-1)
    held = input_sharding(kernel, "w1").dimensions[0]
    place = positions(held, mesh)
    inside = place < held.extent
    there = np.zeros_like(wide, dtype=np.bool_)
    np.put_along_axis(there, ranked, values=True, axis=-1)
    by_some_row: Array = np.logical_or.reduce(there.reshape(-1, there.shape[-1]), axis=0)
    used = inside & by_some_row[np.minimum(place, held.extent - 1)]
    most = max(1, int(used.sum(axis=-1).max()))
    slots = np.argsort(~used, axis=-1, kind="stable")[..., :most]
    computing = np.take_along_axis(place, slots, axis=-1)
    weights = take(gates, gates.ndim - 1, np.minimum(computing, held.extent - 1), axes)
    kept = np.take_along_axis(used, slots, axis=-1)
    return np.where(
        kept.reshape(along(kept.shape, gates.ndim - axes - 1, gates.ndim - axes)), weights, 0
    ), slots


class _Experts:
    """The matrices of the experts that compute on each core, [mesh axes, slots, ...]."""

    def __init__(self, kernel: Kernel, blocks: Mapping[str, Array], slots: Array) -> None:
        self.kernel = kernel
        self.blocks = blocks
        self.slots = slots
        self.names = tuple(f"mesh {axis.name}" for axis in kernel.mesh.axes)

    def matrix(self, role: str) -> Array:
        """A matrix, dequantised where its codes are held."""
        parameters = (self.of_slots(f"{role}_{name}") for name in ("zero", "scale"))
        found = take(self.blocks[role], len(self.names), self.slots, len(self.names))
        return dequantised(self.kernel, role, found, *parameters).astype(np.float32, copy=False)

    def bias(self, role: str) -> Array | None:
        """The bias of a matrix in single precision, the shares of the cores that add one each put together."""
        found = self.of_slots(f"{role}_bias")
        if found is None:
            return None
        return self._together(role, found).astype(np.float32, copy=False)

    def _together(self, role: str, shares: Array) -> Array:
        """Blocks of a bias, of which cores along the loop that its matrix is summed over may hold [parts of the block, share]."""
        sharding, mesh, axes = input_sharding(self.kernel, f"{role}_bias"), self.kernel.mesh, len(self.names)
        if len(sharding.dimensions) < len(input_sharding(self.kernel, role).dimensions):
            return shares
        at = 2 if role == "w1" and text(self.kernel, "joined") == "halves" else 1
        size, summed = sharding.dimensions[at + 1].extent, "i" if role == "w2" else "h"
        cut = [place for place, axis in enumerate(mesh.axes) if axis.name == summed]
        if cut:
            shares = np.expand_dims(np.moveaxis(shares, cut[0], axes + at), cut[0])
        else:
            shares = np.expand_dims(shares, axes + at + 1)
        shape = shares.shape
        whole = shares.reshape(*shape[: axes + at], -1, *shape[axes + at + 3 :])
        return whole[(slice(None),) * (axes + at) + (slice(size),)]

    def of_slots(self, role: str) -> Array | None:
        """The blocks of an operand for the experts that compute; None where the kernel has none."""
        values, axes = self.blocks.get(role), len(self.names)
        if values is None or values.shape[axes] == 1:
            return values
        return take(values, axes, self.slots, axes)

    def products(self, x: Array, labels: tuple[str, ...], role: str) -> Array:
        """The rows times the matrix plus its bias, [mesh axes, rows, slots, columns of the matrix]: on all cores along h."""
        mesh, rows = self.kernel.mesh, labels[len(self.names) : -1]
        matrix = self.matrix(role)
        inner = tuple(f"inner {index}" for index in range(matrix.ndim - len(self.names) - 2))
        first = Operand(x.astype(np.float32, copy=False), labels)
        second = Operand(matrix, (*self.names, "e", *inner, "h"))
        partial = contract(first, second, ["h"], (*self.names, *rows, "e", *inner))
        over = [axis.name for axis in mesh.axes if axis.name == "h"]
        total = combine(partial, mesh, over, add, self.kernel.collectives)
        bias = self.bias(role)
        if bias is None:
            return total
        axes = len(self.names)
        return total + bias.reshape(*bias.shape[:axes], *(1,) * len(rows), *bias.shape[axes:])


def _activated(kernel: Kernel, factors: list[Array]) -> Array:
    """The activation of the inner products, times their second factor where they have one."""
    name, joined = text(kernel, "activation"), text(kernel, "joined")
    if joined == "pairs":
        factors = [factors[0][..., 0], factors[0][..., 1]]
    elif joined == "halves":
        factors = [factors[0][..., 0, :], factors[0][..., 1, :]]
    if name == "swiglu":
        return _swiglu(kernel, *factors)
    result = _ACTIVATIONS[name](factors[0])
    return result * factors[1] if len(factors) > 1 else result


def _swiglu(kernel: Kernel, gate: Array, up: Array) -> Array:
    limit = number(kernel, "limit") if integer(kernel, "limited") else np.inf
    behind = bool(integer(kernel, "limited_behind"))
    bounded = gate if behind else np.minimum(gate, np.float32(limit))
    swish = bounded / (1 + np.exp(-np.float32(number(kernel, "alpha")) * bounded))
    if behind:
        swish = np.minimum(swish, np.float32(limit))
    raised: Array = np.clip(up, -limit, limit) + np.float32(number(kernel, "beta"))
    result: Array = swish * raised
    return result


def _gelu(x: Array) -> Array:
    """By tanh, as onnxruntime computes it here."""
    slope, cube = np.float32(_GELU_SLOPE), np.float32(_GELU_CUBE)
    result: Array = np.float32(0.5) * x * (1 + np.tanh(slope * (x + cube * x * x * x)))
    return result


def _silu(x: Array) -> Array:
    result: Array = x / (1 + np.exp(-x))
    return result


_ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "gelu": _gelu,
    "geglu": _gelu,
    "identity": lambda x: x,
    "relu": lambda x: np.maximum(x, np.float32(0)),
    "relu2": lambda x: np.square(np.maximum(x, np.float32(0))),
    "silu": _silu,
}
