"""Inputs of a model: checked against what the plan says, or made from a seed."""

from __future__ import annotations

import difflib
import math
from typing import TYPE_CHECKING

import numpy as np

from wsec.compiler.errors import WsecError
from wsec.compiler.plan import TEXT, Value
from wsec.runtime.element_types import element_type, is_floating
from wsec.runtime.schedule import make_schedule

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from wsec.compiler.plan import Kernel, Plan
    from wsec.runtime.element_types import Array, Held


_SEQUENCE = 2  # elements of a random sequence


def check_inputs(values: Sequence[Value], inputs: Mapping[str, Held]) -> None:
    """Nothing, where every input is there with its shape and type.

    Raises:
        WsecError: WSEC560 missing or unknown names, WSEC561 other shapes or types; each lists all of them.
    """
    names = [value.name for value in values]
    missing = [name for name in names if name not in inputs]
    unknown = [name for name in inputs if name not in names]
    if missing or unknown:
        raise _wrong_names(values, missing, unknown)
    wrong = [value for value in values if not _fits(value, inputs[value.name])]
    if wrong:
        raise WsecError(
            code="WSEC561",
            what="an input has another shape or type than the plan was compiled for",
            where=", ".join(value.name for value in wrong),
            expected="\n".join(_described(value) for value in wrong),
            found="\n".join(_described(_value_of(value, inputs[value.name])) for value in wrong),
            hint="change the data, or compile again with the shape as --dim",
        )


def as_held(value: Value, given: Held) -> Held:
    """An input as the host holds it: text in arrays of objects, sequences as lists of arrays."""
    if value.container != "tensor":
        return given
    return np.asarray(given, dtype=object) if value.dtype == TEXT else np.asarray(given)


def _fits(value: Value, given: Held) -> bool:
    if "sequence" in value.container and isinstance(given, list):
        return all(_fits_tensor(value, item) for item in given)
    if value.container.startswith("optional"):
        return given is None or (value.container == "optional" and _fits_tensor(value, given))
    return value.container == "tensor" and _fits_tensor(value, given)


def _fits_tensor(value: Value, given: Held) -> bool:
    array = np.asarray(given)
    typed = _is_text(array) if value.dtype == TEXT else array.dtype == element_type(value.dtype)
    if value.shape is None:
        return typed
    extents = zip(value.shape, array.shape, strict=False)
    return typed and len(value.shape) == array.ndim and all(e in {None, found} for e, found in extents)


def _is_text(array: Array) -> bool:
    return array.dtype.kind == "U" or (
        array.dtype.kind == "O" and all(isinstance(item, str) for item in array.reshape(-1))
    )


def _value_of(value: Value, given: Held) -> Value:
    """What was given, in the words of a record."""
    if isinstance(given, list):
        kinds = dict.fromkeys((item.dtype.name, item.shape) for item in map(np.asarray, given))
        dtype, shape = next(iter(kinds)) if len(kinds) == 1 else (f"{len(kinds)} types of elements", None)
        return Value(value.name, dtype, shape, "sequence")
    if given is None:
        return Value(value.name, "nothing", None)
    array = np.asarray(given)
    return Value(value.name, array.dtype.name, array.shape)


def make_inputs(plan: Plan, seed: int = 0) -> dict[str, Held]:
    """Random inputs that any model can take, the same for the same seed.

    Floats are normally distributed, truth values even, texts are digits, sequences have two elements. Whole numbers are 0 or 1, or, where the input indexes tables
    or is compared with lists of constants, any index that these have.
    """
    return draw_inputs(plan.inputs, _index_limits(plan), seed)


def draw_inputs(values: Sequence[Value], limits: Mapping[str, int], seed: int) -> dict[str, Held]:
    """Random inputs for these values, in their order; whole numbers are below `limits`, or 0 and 1 without one."""
    generator = np.random.default_rng(seed)
    return {value.name: _random(value, limits.get(value.name, 2), generator) for value in values}


def _random(value: Value, limit: int, generator: np.random.Generator) -> Held:
    if "sequence" in value.container:
        return [_random_tensor(value, limit, generator) for _ in range(_SEQUENCE)]
    return _random_tensor(value, limit, generator)


def _random_tensor(value: Value, limit: int, generator: np.random.Generator) -> Array:
    """A tensor; extents that the model leaves open, of elements of a sequence, are 2."""
    shape = (2,) if value.shape is None else tuple(2 if extent is None else extent for extent in value.shape)
    if value.dtype == TEXT:
        return np.asarray(generator.integers(0, 10, shape).astype(str), dtype=object)
    dtype = element_type(value.dtype)
    if is_floating(dtype) or dtype.kind == "c":
        return np.asarray(generator.standard_normal(shape), dtype=dtype)
    if dtype.kind == "b":
        return np.asarray(generator.integers(0, 2, shape), dtype=dtype)
    return np.asarray(generator.integers(0, limit, shape), dtype=dtype)


def _index_limits(plan: Plan) -> dict[str, int]:
    """How many values an index may have, for inputs that index tables or are compared with lists of constants.

    A table counts with its extent, the least where there are several; a comparison, which is how exporters write
    one-hot encodings, with the number of its constants.
    """
    origin = {value.name: value.name for value in plan.inputs}
    tables: dict[str, int] = {}
    compared: dict[str, int] = {}
    for kernel in make_schedule(plan, lambda _: True).kernels:
        moved = [item for item in kernel.inputs if not item.constant and item.tensor in origin]
        if _only_moves(kernel) and len(moved) == len(kernel.inputs) == 1:
            origin[kernel.outputs[0].tensor] = origin[moved[0].tensor]
        for item in moved:
            name, extent = origin[item.tensor], kernel.arguments.get("extent")
            if kernel.kind == "gather" and item.role == "indices" and isinstance(extent, int):
                tables[name] = min(extent, tables.get(name, extent))
            compared[name] = max(_constants_compared(kernel, item.role), compared.get(name, 2))
    return {**compared, **tables}


def _only_moves(kernel: Kernel) -> bool:
    """Whether the kernel passes on elements of its input as they are, or as another type."""
    if kernel.kind == "elementwise":
        return all(step.operator in {"Cast", "Identity"} for step in kernel.chain)
    return kernel.kind in {"expand", "reshape", "slice", "transpose"} and not kernel.chain


def _constants_compared(kernel: Kernel, role: str) -> int:
    """With how many constants the first steps of the chain compare this operand."""
    sizes = {item.role: math.prod(item.sharding.shape) for item in kernel.inputs if item.constant}
    steps = [step.inputs for step in kernel.chain if step.operator == "Equal" and role in step.inputs]
    return max((sizes.get(other, 0) for inputs in steps for other in inputs), default=0)


def _wrong_names(values: Sequence[Value], missing: Sequence[str], unknown: Sequence[str]) -> WsecError:
    found = [f"nothing for {name}" for name in missing] + [f"{name}, which is no input" for name in unknown]
    lower = {name.lower(): name for name in missing}
    nearest = [difflib.get_close_matches(name.lower(), lower, n=1) for name in unknown]
    renames = [
        f"{name} may be meant as {lower[near[0]]}"
        for name, near in zip(unknown, nearest, strict=True)
        if near
    ]
    return WsecError(
        code="WSEC560",
        what="the inputs are not those of the model",
        expected="\n".join(_described(value) for value in values),
        found="\n".join(found),
        hint="; ".join(renames) or "give every input by its name and no other",
    )


def _described(value: Value) -> str:
    """Name, what it is, and extents."""
    kind = value.dtype if value.container == "tensor" else f"{value.container} of {value.dtype}"
    if value.shape is None:
        return f"{value.name}: {kind}"
    extents = " x ".join("any" if extent is None else str(extent) for extent in value.shape)
    return f"{value.name}: {kind} {extents or 'scalar'}"
