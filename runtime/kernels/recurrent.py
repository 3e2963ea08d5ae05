"""LSTM, GRU and RNN, step by step: every core computes its hidden units, then all gather the state of all.

Blocks of the state are [mesh axes, d, b, h]. Reverse directions see the sequence from its end; what lies behind the end
of a shorter sequence leaves the state as it is and gives zero.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from wsec.runtime.blocks import positions
from wsec.runtime.collectives import combine
from wsec.runtime.element_types import Array, accumulator
from wsec.runtime.kernels.arguments import input_sharding, integer, integers, number, text, texts

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from wsec.compiler.plan import Kernel

    Activation = Callable[[Array], Array]


def _sigmoid(x: Array) -> Array:
    result: Array = 1 / (1 + np.exp(-x))
    return result


def _relu(x: Array) -> Array:
    return np.maximum(x, 0)


def _softsign(x: Array) -> Array:
    result: Array = x / (1 + np.abs(x))
    return result


def _softplus(x: Array) -> Array:
    return np.logaddexp(x, 0).astype(x.dtype)


_ACTIVATIONS: dict[str, Activation] = {
    "Relu": _relu,
    "Sigmoid": _sigmoid,
    "Softplus": _softplus,
    "Softsign": _softsign,
    "Tanh": np.tanh,
}


@dataclass(frozen=True, slots=True)
class _Layer:
    """The blocks of one kernel, ready to step.

    Attributes:
        kernel: Its record.
        projected: W x_t and the bias of W, [mesh axes, d, t, b, gates, h], each direction in its own order of time.
        recurrent: [mesh axes, d, j, gates * h].
        bias: That of R, [mesh axes, d, 1, gates, h].
        peepholes: [mesh axes, d, 3, h], or None.
        lengths: Steps of each sample, [mesh axes, 1, b, 1].
        reverse: True for directions from the end, [mesh axes, d].
    """

    kernel: Kernel
    projected: Array
    recurrent: Array
    bias: Array
    peepholes: Array | None
    lengths: Array
    reverse: Array


def recurrent(kernel: Kernel, blocks: Mapping[str, Array]) -> tuple[Array, ...]:
    """LSTM, GRU, RNN: `x` [t, b, i] to Y [t, d, b, h], Y_h [d, b, h] and Y_c [d, b, h], those in `outputs`."""
    layer = _layer(kernel, blocks)
    axes = len(kernel.mesh.axes)
    steps = layer.projected.shape[axes + 1]
    shape = np.broadcast_shapes(
        layer.projected[..., 0, :, 0, :].shape, *(blocks[role].shape for role in _STATES if role in blocks)
    )
    states = [_initial(blocks, role, shape, layer.projected.dtype) for role in _STATES]
    hidden, cell = states
    made = []
    step = {"LSTM": _lstm, "GRU": _gru, "RNN": _rnn}[text(kernel, "cell")]
    for time in range(steps):
        new_hidden, new_cell = step(layer, time, hidden, cell)
        active = time < layer.lengths
        hidden, cell = np.where(active, new_hidden, hidden), np.where(active, new_cell, cell)
        made.append(np.where(active, hidden, 0))
    sequence = _in_time(layer, np.stack(made, axis=axes + 1), axes)
    results = (np.moveaxis(sequence, axes + 1, axes), hidden, cell)
    dtype = blocks["x"].dtype
    return tuple(results[index].astype(dtype, copy=False) for index in integers(kernel, "outputs"))


_STATES = ("initial_h", "initial_c")


def _initial(
    blocks: Mapping[str, Array], role: str, shape: tuple[int, ...], dtype: np.dtype[np.generic]
) -> Array:
    if role not in blocks:
        return np.zeros(shape, dtype=dtype)
    return np.broadcast_to(blocks[role].astype(dtype, copy=False), shape)


def _layer(kernel: Kernel, blocks: Mapping[str, Array]) -> _Layer:
    mesh, axes = kernel.mesh, len(kernel.mesh.axes)
    wide = accumulator(blocks["x"].dtype)
    x, w, r = (blocks[role].astype(wide, copy=False) for role in ("x", "w", "r"))
    direction = text(kernel, "direction")
    numbers_of = positions(input_sharding(kernel, "w").dimensions[0], mesh)
    reverse = np.full_like(numbers_of, direction == "reverse", dtype=np.bool_) | (
        (numbers_of == 1) & (direction == "bidirectional")
    )
    steps = x.shape[axes]
    lengths = (
        blocks["lengths"] if "lengths" in blocks else np.full((1,) * axes + x.shape[axes + 1 : -1], steps)
    )
    gates, units = w.shape[axes + 1], w.shape[axes + 2]
    bias = np.zeros((1,) * axes + (1, 2, gates, units), dtype=wide)
    if "bias" in blocks:
        bias = blocks["bias"].astype(wide, copy=False)
    ordered = _ordered(x, lengths, reverse, axes)
    flat = ordered.reshape(*ordered.shape[: axes + 1], -1, x.shape[-1])
    products = flat @ np.swapaxes(w.reshape(*w.shape[: axes + 1], gates * units, -1), -1, -2)
    along = input_sharding(kernel, "x").dimensions[2].axes
    products = combine(products, mesh, along, np.add, kernel.collectives)
    projected = products.reshape(*products.shape[: axes + 1], steps, -1, gates, units)
    return _Layer(
        kernel=kernel,
        projected=projected + bias[..., 0, :, :][..., None, None, :, :],
        recurrent=np.swapaxes(r.reshape(*r.shape[: axes + 1], gates * units, -1), -1, -2),
        bias=bias[..., 1, :, :][..., None, :, :],
        peepholes=blocks["peepholes"].astype(wide, copy=False) if "peepholes" in blocks else None,
        lengths=lengths[..., None, :, None],
        reverse=reverse,
    )


def _order(lengths: Array, reverse: Array, steps: int) -> Array:
    """Which step each direction sees when, [mesh axes, d, t, b]; its own inverse."""
    time = np.arange(steps)[:, None]
    ends = lengths[..., None, None, :]
    return np.where(reverse[..., None, None] & (time < ends), ends - 1 - time, time)


def _ordered(x: Array, lengths: Array, reverse: Array, axes: int) -> Array:
    """`x` [mesh axes, t, b, i] as each direction sees it, [mesh axes, d, t, b, i]."""
    order = _order(lengths, reverse, x.shape[axes])[..., None]
    wide = np.broadcast_to(
        x[..., None, :, :, :], np.broadcast_shapes(order.shape, np.expand_dims(x, axes).shape)
    )
    return np.take_along_axis(wide, np.broadcast_to(order, (*wide.shape[:-1], 1)), axis=axes + 1)


def _in_time(layer: _Layer, sequence: Array, axes: int) -> Array:
    """Results [mesh axes, d, t, b, h] from the order of each direction to that of time."""
    order = _order(layer.lengths[..., 0, :, 0], layer.reverse, sequence.shape[axes + 1])[..., None]
    return np.take_along_axis(sequence, np.broadcast_to(order, (*sequence.shape[:-1], 1)), axis=axes + 1)


def _gathered(layer: _Layer, state: Array) -> Array:
    """The state of all hidden units, [mesh axes without h, d, b, hidden], on every core."""
    mesh = layer.kernel.mesh
    _, _, held, summed = input_sharding(layer.kernel, "r").dimensions
    if not held.axes:
        return state[..., : summed.extent]
    position = mesh.index(held.axes[0])
    parts = np.broadcast_to(
        state, (*state.shape[:position], mesh.shape[position], *state.shape[position + 1 :])
    )
    side_by_side = np.moveaxis(parts, position, -2)
    joined = side_by_side.reshape(*side_by_side.shape[:-2], -1)
    return np.expand_dims(joined, position)[..., : summed.extent]


def _summed(layer: _Layer, state: Array) -> Array:
    """What of the whole state each core multiplies, [mesh axes, d, b, j]: its own part where `j` is cut."""
    mesh = layer.kernel.mesh
    dimension = input_sharding(layer.kernel, "r").dimensions[3]
    if not dimension.axes:
        return state
    position, size = mesh.index(dimension.axes[0]), mesh.size(dimension.axes[0])
    padded = np.zeros((*state.shape[:-1], size * dimension.block), dtype=state.dtype)
    padded[..., : dimension.extent] = state
    parts = np.moveaxis(padded.reshape(*state.shape[:-1], size, dimension.block), -2, position)
    return np.squeeze(parts, axis=position + 1)


def _products(layer: _Layer, state: Array) -> Array:
    """R h, [mesh axes, d, b, gates, h]."""
    axes = input_sharding(layer.kernel, "r").dimensions[3].axes
    partial = _summed(layer, _gathered(layer, state)) @ layer.recurrent
    products = combine(partial, layer.kernel.mesh, axes, np.add, layer.kernel.collectives)
    gates, units = layer.bias.shape[-2:]
    return products.reshape(*products.shape[:-1], gates, units)


def _activated(layer: _Layer, which: int, x: Array) -> Array:
    """Clipped, then through the activation `which` of each direction."""
    clip = number(layer.kernel, "clip")
    if clip:
        x = np.clip(x, -clip, clip)
    return _through(layer, which, x)


def _through(layer: _Layer, which: int, x: Array) -> Array:
    names = texts(layer.kernel, "activations")
    directions = 2 if text(layer.kernel, "direction") == "bidirectional" else 1
    per_direction = len(names) // directions
    first, last = names[which], names[(directions - 1) * per_direction + which]
    result = _ACTIVATIONS[first](x)
    if first == last:
        return result
    return np.where(layer.reverse[..., None, None], _ACTIVATIONS[last](x), result)


def _lstm(layer: _Layer, time: int, hidden: Array, cell: Array) -> tuple[Array, Array]:
    """Gates in the order input, output, forget, cell; peepholes in the order input, output, forget."""
    gates = _now(layer, time) + _products(layer, hidden) + layer.bias
    at_input, at_output, at_forget, candidate = (gates[..., index, :] for index in range(4))
    if layer.peepholes is not None:
        at_input = at_input + layer.peepholes[..., None, 0, :] * cell
        at_forget = at_forget + layer.peepholes[..., None, 2, :] * cell
    let_in = _activated(layer, 0, at_input)
    kept = 1 - let_in if integer(layer.kernel, "input_forget") else _activated(layer, 0, at_forget)
    new_cell = kept * cell + let_in * _activated(layer, 1, candidate)
    if layer.peepholes is not None:
        at_output = at_output + layer.peepholes[..., None, 1, :] * new_cell
    return _activated(layer, 0, at_output) * _through(layer, 2, new_cell), new_cell


def _gru(layer: _Layer, time: int, hidden: Array, cell: Array) -> tuple[Array, Array]:
    """Gates in the order update, reset, hidden; a reset before the product exchanges the state a second time."""
    now = _now(layer, time)
    products = _products(layer, hidden) + layer.bias
    update = _activated(layer, 0, (now + products)[..., 0, :])
    reset = _activated(layer, 0, (now + products)[..., 1, :])
    if integer(layer.kernel, "linear_before_reset"):
        candidate = now[..., 2, :] + reset * products[..., 2, :]
    else:
        candidate = now[..., 2, :] + (_products(layer, reset * hidden) + layer.bias)[..., 2, :]
    return (1 - update) * _activated(layer, 1, candidate) + update * hidden, cell


def _rnn(layer: _Layer, time: int, hidden: Array, cell: Array) -> tuple[Array, Array]:
    gates = _now(layer, time) + _products(layer, hidden) + layer.bias
    return _activated(layer, 0, gates[..., 0, :]), cell


def _now(layer: _Layer, time: int) -> Array:
    """W x_t of each direction, [mesh axes, d, b, gates, h]."""
    return layer.projected[..., time, :, :, :]
