"""Fused attention: softmax of products of query and key, times the values, block by block (docs/kernels.md)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from wsec.runtime.blocks import positions
from wsec.runtime.collectives import combine
from wsec.runtime.contraction import Operand, contract
from wsec.runtime.element_types import Array, accumulator, element_type
from wsec.runtime.elementwise import apply_step
from wsec.runtime.kernels.arguments import input_sharding, texts
from wsec.runtime.kernels.products import contract_on_mesh

if TYPE_CHECKING:
    from collections.abc import Mapping

    from wsec.compiler.plan import ChainStep, Kernel


def attention(kernel: Kernel, blocks: Mapping[str, Array]) -> Array | tuple[Array, ...]:
    """The steps of the body, in order: `q`, `k`, `v` as their arguments name the dimensions, to those of `out`.

    Where there are states, they stand behind the result as the steps have written them, in the order of the argument `states`.
    """
    return run_body(AttentionBody(kernel), blocks)


def run_body(reader: AttentionBody, blocks: Mapping[str, Array]) -> Array | tuple[Array, ...]:
    """What a reader makes of the steps; behind it the states."""
    kernel = reader.kernel
    wires = _run_steps(reader, blocks)
    result = _given(kernel, wires, kernel.body[-1].output)
    if "states" not in kernel.arguments:
        return result
    return result, *(_given(kernel, wires, name) for name in texts(kernel, "states"))


def _run_steps(reader: AttentionBody, blocks: Mapping[str, Array]) -> dict[str, Array]:
    """What each step gives, and what the steps read.

    Scores are [mesh axes, b0 ..., m, t]. What stays inside the kernel is kept in single precision at least: narrow floats
    are rounded once, where they leave it.
    """
    wires = dict(blocks)
    for step in reader.kernel.body:
        wide = replace(step, dtype=accumulator(element_type(step.dtype)).name)
        wires[step.output] = reader.apply(wide, [wires[name] if name else None for name in step.inputs])
    return wires


def _given(kernel: Kernel, wires: Mapping[str, Array], name: str) -> Array:
    """What a step gives, in its own element type."""
    dtype = next(step.dtype for step in kernel.body if step.output == name)
    return wires[name].astype(element_type(dtype), copy=False)


def _aligned(operand: Array | None, rank: int, axes: int) -> Array | None:
    """A scalar's blocks, of whatever rank, as they broadcast to blocks of `rank`, `axes` of them of the mesh."""
    if operand is None or operand.ndim == rank:
        return operand
    return operand.reshape(*operand.shape[:axes], *(1,) * (rank - axes))


class AttentionBody:
    """Applies the steps of one kernel's body; knows which product it is at, and the sink once it came by."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.names = tuple(f"mesh {axis.name}" for axis in kernel.mesh.axes)
        self.q, self.k, self.v, self.out = (texts(kernel, name) for name in ("q", "k", "v", "out"))
        loops = {*self.q, *self.k, *self.v, *self.out} - {"", "m", "n", "h", "d", "t"}
        self.features = tuple(name for name in ("h", "d") if name in self.q)
        self.scores = (*sorted(loops, key=lambda name: int(name[1:])), "m", "t")
        self.there = self._keys_that_are_there()
        self.normalised = False
        self.sink: Array | None = None

    def apply(self, step: ChainStep, operands: list[Array | None]) -> Array:
        """What a step gives. Raises ValueError where an operand is missing or the operator is no step."""
        given = [operand for operand in operands if operand is not None]
        if step.operator == "MatMul" and step.inputs[0][:1] == "u":  # new rows of a state, at their positions
            wide = element_type(step.dtype)
            return np.matmul(*(operand.astype(wide, copy=False) for operand in given))
        if step.operator == "MatMul":
            left, right = given
            result = self.weighted(left, right) if self.normalised else self.products(left, right)
            return result.astype(element_type(step.dtype), copy=False)
        if step.operator == "Softmax":
            return self.softmax(given[0]).astype(element_type(step.dtype), copy=False)
        if step.operator == "Concat":
            first = step.inputs[0] != "sink"
            self.sink = given[1] if first else given[0]
            return given[0] if first else given[1]
        if step.operator == "Slice":
            return given[0]
        own = [operand for name, operand in zip(step.inputs, operands, strict=True) if name[:1] != "m"]
        rank = max(operand.ndim for operand in own if operand is not None)
        return self.step(step, [_aligned(operand, rank, len(self.names)) for operand in operands])

    def step(self, step: ChainStep, operands: list[Array | None]) -> Array:
        """What an element-wise step gives."""
        return apply_step(step, operands)

    def products(self, q: Array, k: Array) -> Array:
        """The scores, of which each core has a part of every sum where the features are cut."""
        left, right = Operand(q, (*self.names, *self.q)), Operand(k, (*self.names, *self.k))
        mesh = self.kernel.mesh
        scores = contract(left, right, self.features, (*self.names, *self.scores))
        if "mesh d" not in self.names:
            return scores
        total = combine(scores, mesh, ["d"], np.add, self.kernel.collectives)
        return np.broadcast_to(total, scores.shape)

    def softmax(self, scores: Array) -> Array:
        """Over the keys of all cores, those of the sink included, of which nothing else is kept."""
        self.normalised = True
        wide = accumulator(scores.dtype)
        values = scores.astype(wide, copy=False)
        if self.there is not None:
            values = np.where(self.there, values, wide.type(-np.inf))
        mesh = self.kernel.mesh
        axes = [axis.name for axis in mesh.axes if axis.name == "t"]
        sink = None if self.sink is None else self.sink.astype(wide, copy=False)
        greatest = combine(
            values.max(axis=-1, keepdims=True), mesh, axes, np.maximum, self.kernel.collectives
        )
        if sink is not None:
            greatest = np.maximum(greatest, sink.max(axis=-1, keepdims=True))
        powers = np.exp(values - greatest)
        total = combine(powers.sum(axis=-1, keepdims=True), mesh, axes, np.add, self.kernel.collectives)
        if sink is not None:
            total = total + np.exp(sink - greatest).sum(axis=-1, keepdims=True)
        probabilities: Array = powers / total
        return probabilities

    def weighted(self, probabilities: Array, v: Array) -> Array:
        """The values, weighted with the probabilities."""
        if self.there is not None:
            probabilities = np.where(self.there, probabilities, probabilities.dtype.type(0))
        return contract_on_mesh(self.kernel, (probabilities, self.scores), (v, self.v), self.out)

    def _keys_that_are_there(self) -> Array | None:
        """True for keys inside the extent, [mesh axes, 1 ..., t]; None where all are."""
        if "t" not in self.k:
            return None
        held = input_sharding(self.kernel, "k").dimensions[self.k.index("t")]
        inside = positions(held, self.kernel.mesh) < held.extent
        if inside.all():
            return None
        there: Array = inside.reshape(*inside.shape[:-1], *(1 for _ in self.scores[:-1]), inside.shape[-1])
        return there
