"""Binds every dimension of the model's inputs to a number.

A key is either the name of a dimension, which binds it wherever it occurs, or `input:axis`. The names `?`, the empty
name and negative sizes are anonymous: exporters write them for dimensions that have nothing to do with each other,
so only `input:axis` binds them.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import onnx_ir as ir

from wsec.compiler.errors import WsecError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_BATCH_LIKE = re.compile(r"n|b|bs|.*batch.*|unk__\d+|.*dynamicdimension\.0", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Axis:
    """One axis of one input whose size the model leaves open; `name` is None where it is anonymous."""

    input: str
    axis: int
    rank: int
    name: str | None

    @property
    def place(self) -> str:
        return f"{self.input}:{self.axis}"

    @property
    def key(self) -> str:
        return self.place if self.name is None else self.name


def bind_dimensions(model: ir.Model, dims: Mapping[str, int]) -> tuple[str, ...]:
    """Give every input a static shape, in place; returns notes on what was assumed.

    A leading dimension that looks like a batch (named so, or anonymous on an input of rank two or more) and is
    not bound becomes 1.

    Args:
        model: The model; initializers are not among its inputs.
        dims: Sizes by dimension name or by `input:axis`.

    Raises:
        WsecError: WSEC111 unbound dimensions, all of them; WSEC112 a key that is not in the model;
            WSEC113 a size that is not positive or contradicts the model or another key.
    """
    _give_ranks(model, dims)
    axes = list(_open_axes(model))
    for key, size in dims.items():
        if not isinstance(size, int) or size < 1:
            raise _bad_size(key, f"--dim {key}={size}", "a size of 1 or more, a whole number", repr(size))
    sizes = _sizes_by_place(model, axes, dims)
    notes = _assume_batch_of_one(axes, sizes)
    unbound = [axis for axis in axes if axis.place not in sizes]
    if unbound:
        raise _unbound(unbound)
    for value in model.graph.inputs:
        if value.shape is not None and isinstance(value.type, ir.TensorType):
            value.shape = ir.Shape(
                sizes.get(f"{value.name}:{axis}", dimension) for axis, dimension in enumerate(value.shape)
            )
    return notes


def _give_ranks(model: ir.Model, dims: Mapping[str, int]) -> None:
    """An input without any shape takes its rank from keys that name its axes from 0 on."""
    for value in model.graph.inputs:
        if value.shape is not None or not isinstance(value.type, ir.TensorType):
            continue
        rank = 0
        while f"{value.name}:{rank}" in dims:
            rank += 1
        if not rank:
            raise WsecError(
                "WSEC111",
                f"the input {value.name!r} has no shape",
                where=f"input {value.name!r}",
                expected="a size for each of its axes",
                found="neither a rank nor sizes in the model",
                hint=f"--dim {value.name}:0=SIZE --dim {value.name}:1=SIZE and so on, one for each axis",
            )
        value.shape = ir.Shape([None] * rank)


def _open_axes(model: ir.Model) -> Iterator[_Axis]:
    for value in model.graph.inputs:
        if value.shape is None or not isinstance(value.type, ir.TensorType):
            continue  # a sequence may have elements of any size
        for axis, dimension in enumerate(value.shape):
            if isinstance(dimension, int):
                if dimension < 0:
                    yield _Axis(str(value.name), axis, len(value.shape), None)
                continue
            name = dimension.value
            anonymous = name is None or name.strip() in {"", "?", "-1", "None"}
            yield _Axis(str(value.name), axis, len(value.shape), None if anonymous else name)


def _sizes_by_place(model: ir.Model, axes: list[_Axis], dims: Mapping[str, int]) -> dict[str, int]:
    by_place = {axis.place: axis for axis in axes}
    by_name: dict[str, list[_Axis]] = {}
    for axis in axes:
        if axis.name is not None:
            by_name.setdefault(axis.name, []).append(axis)
    sizes: dict[str, int] = {}
    reasons: dict[str, str] = {}
    for key, size in dims.items():
        if key in by_name:
            bound = by_name[key]
        elif key in by_place:
            one = by_place[key]
            bound = [one] if one.name is None else by_name[one.name]
        else:
            _check_fixed(model, axes, key, size)
            continue
        for axis in bound:
            if sizes.setdefault(axis.place, size) != size:
                earlier = reasons[axis.place]
                raise _bad_size(
                    axis.key, f"--dim {key}={size}", f"{sizes[axis.place]}, as {earlier} says", str(size)
                )
            reasons[axis.place] = f"--dim {key}={size}"
    return sizes


def _check_fixed(model: ir.Model, axes: list[_Axis], key: str, size: int) -> None:
    """A key that names no open axis: harmless where it repeats what the model says."""
    name, _, axis = key.rpartition(":")
    shapes = {str(value.name): value.shape for value in model.graph.inputs if value.shape is not None}
    if name in shapes and axis.isdecimal() and int(axis) < len(shapes[name]):
        fixed = shapes[name][int(axis)]
        if fixed == size:
            return
        raise _bad_size(key, f"--dim {key}={size}", f"{fixed}: the model fixes this axis", str(size))
    known = list(dict.fromkeys([axis.key for axis in axes] + [axis.place for axis in axes]))
    near = difflib.get_close_matches(key, known, n=3, cutoff=0.5)
    if near:
        hint = "perhaps " + " or ".join(f"--dim {name}={size}" for name in near)
    elif known:
        hint = "leave it out, or bind one of those"
    else:
        hint = "leave it out: every dimension of this model is fixed"
    raise WsecError(
        "WSEC112",
        f"the model has no dimension {key!r}",
        where=f"--dim {key}={size}",
        expected=", ".join(known) if known else "no --dim at all",
        found=key,
        hint=hint,
    )


def _bad_size(key: str, where: str, expected: str, found: str) -> WsecError:
    return WsecError(
        "WSEC113",
        f"the dimension {key!r} cannot have this size",
        where=where,
        expected=expected,
        found=found,
        hint="change the size, or leave this --dim out",
    )


def _assume_batch_of_one(axes: list[_Axis], sizes: dict[str, int]) -> tuple[str, ...]:
    notes = []
    for leading in axes:
        if leading.axis != 0 or leading.place in sizes:
            continue
        if leading.name is None:
            if leading.rank < 2:
                continue
            bound = [leading]
        elif _BATCH_LIKE.fullmatch(leading.name):
            bound = [axis for axis in axes if axis.name == leading.name]
        else:
            continue
        sizes.update((axis.place, 1) for axis in bound)
        notes.append(
            f"dimension {leading.key} taken as a batch of 1; --dim {leading.key}=SIZE sets another size"
        )
    return tuple(notes)


def _unbound(unbound: list[_Axis]) -> WsecError:
    places: dict[str, list[str]] = {}
    for axis in unbound:
        places.setdefault(axis.key, []).append(f"axis {axis.axis} of input {axis.input!r}")
    count = len(places)
    return WsecError(
        "WSEC111",
        f"{count} dimension{'s' * (count != 1)} of the model {'have' if count != 1 else 'has'} no size",
        where="\n".join(f"{key}: {', '.join(where)}" for key, where in places.items()),
        expected="a size for every dimension: a wafer is laid out for one shape",
        found=", ".join(places),
        hint=" ".join(f"--dim {_quoted(key)}=SIZE" for key in places),
    )


def _quoted(key: str) -> str:
    """As a shell takes it."""
    return key if re.fullmatch(r"[\w.:/@%+-]+", key) else "'" + key.replace("'", "'\\''") + "'"
