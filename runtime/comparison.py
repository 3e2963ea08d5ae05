"""Two arrays that should be equal, and how far they are apart in terms of what the numbers range over."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from wsec.compiler.plan import TEXT
from wsec.runtime.element_types import is_floating

if TYPE_CHECKING:
    from collections.abc import Iterable

    from wsec.runtime.element_types import Array

TOLERANCES = {
    "float64": 1e-9,
    "float32": 1e-4,
    "float16": 1e-2,
    "bfloat16": 5e-2,
    "quantum": 1e-2,
}
"""Greatest error by element type, as a share of the range; types that are not here must be equal.

"quantum" stands for numbers that were rounded to one of 256 on their way: a sum that onnxruntime rounds in floats, and the
plan adds exactly, may fall on the other side of a half. Bytes may then be one apart.
"""

QUANTUM = "quantum"

_EPSILONS = {
    "float64": 2.0**-52,
    "float32": 2.0**-23,
    "float16": 2.0**-10,
    "bfloat16": 2.0**-7,
    QUANTUM: 2.0**-8,
}
_ROUNDINGS = 4
_RELAXED = 100


@dataclass(frozen=True, slots=True)
class Comparison:
    """How far a result is from what was expected.

    Attributes:
        name: Of the tensor.
        dtype: Of the tensor.
        max_absolute_error: Largest difference of two elements; infinite where one is not finite and the other differs.
        max_relative_error: The same over the range: from the least to the greatest expected value, zero included.
        tolerance: Largest relative error that passes.
        passed: Whether it is kept.
    """

    name: str
    dtype: str
    max_absolute_error: float
    max_relative_error: float
    tolerance: float
    passed: bool


def narrowest_float(dtypes: Iterable[str]) -> str:
    """The least exact of the floating types among `dtypes`; empty where there is none."""
    return max((dtype for dtype in dtypes if dtype in TOLERANCES), key=TOLERANCES.__getitem__, default="")


def compare_values(name: str, found: Any, expected: Any, computed_in: str = "") -> Comparison:
    """As `compare`, for whatever a model may give: sequences element by element, maps value by value, None only with None."""
    if isinstance(expected, dict) and isinstance(found, dict):
        if list(found) != list(expected):
            return _other(name, "map")
        found, expected = list(found.values()), list(expected.values())
    if isinstance(expected, list) and isinstance(found, list):
        if len(found) != len(expected):
            return _other(name, "sequence")
        pairs = zip(found, expected, strict=True)
        parts = [compare_values(name, one, other, computed_in) for one, other in pairs]
        return _worst(name, parts)
    if expected is None and found is None:
        return Comparison(name, "none", 0.0, 0.0, 0.0, passed=True)
    if any(item is None or isinstance(item, list | dict) for item in (found, expected)):
        return _other(name, type(found).__name__)
    return compare(name, np.asarray(found), np.asarray(expected), computed_in)


def _other(name: str, dtype: str) -> Comparison:
    """Two values that differ in kind, length or keys."""
    return Comparison(name, dtype, np.inf, np.inf, 0.0, passed=False)


def _worst(name: str, parts: list[Comparison]) -> Comparison:
    """One comparison of a sequence: the greatest errors of its elements, held to the tolerance of the first."""
    return Comparison(
        name,
        "sequence",
        max((part.max_absolute_error for part in parts), default=0.0),
        max((part.max_relative_error for part in parts), default=0.0),
        parts[0].tolerance if parts else 0.0,
        passed=all(part.passed for part in parts),
    )


def compare(name: str, found: Array, expected: Array, computed_in: str = "") -> Comparison:
    """The comparison of two arrays; NaN equals NaN and an infinity equals itself, at the same place.

    Floats that were computed in a narrower type (`computed_in`) are held to the tolerance of that type.

    Where the range is so small that its share is less than four roundings of a number near 1, these pass, up to a
    hundred times the tolerance: onnxruntime's own sigmoid is no more exact.
    """
    exact_to = narrowest_float((expected.dtype.name, computed_in))
    tolerance = TOLERANCES[exact_to] if expected.dtype.name in TOLERANCES else 0.0
    if found.shape != expected.shape or found.dtype != expected.dtype:
        return Comparison(name, found.dtype.name, np.inf, np.inf, tolerance, passed=False)
    if not is_floating(expected.dtype):
        quanta = 1 if computed_in == QUANTUM and expected.dtype.itemsize == 1 else 0
        return _compare_exactly(name, found, expected, quanta)
    left, right = found.astype(np.float64), expected.astype(np.float64)
    same = (left == right) | (np.isnan(left) & np.isnan(right))
    with np.errstate(invalid="ignore"):
        differences = np.where(same, 0.0, np.abs(left - right))
    absolute = float(np.max(np.where(np.isnan(differences), np.inf, differences), initial=0.0))
    finite = right[np.isfinite(right)]
    span = float(np.max(finite, initial=0.0) - np.min(finite, initial=0.0))
    relative = absolute / span if span > 0 else absolute
    rounding = _ROUNDINGS * _EPSILONS[exact_to]
    passed = relative <= tolerance or (absolute <= rounding and relative <= _RELAXED * tolerance)
    return Comparison(name, expected.dtype.name, absolute, relative, tolerance, passed)


def _compare_exactly(name: str, found: Array, expected: Array, quanta: int) -> Comparison:
    equal = bool(np.array_equal(found, expected))
    if equal or expected.dtype.kind not in "iub":
        error = 0.0 if equal else np.inf
        dtype = TEXT if expected.dtype.kind == "O" else expected.dtype.name
        return Comparison(name, dtype, error, error, 0.0, equal)
    difference = float(np.max(np.abs(found.astype(np.float64) - expected.astype(np.float64))))
    span = float(expected.max(initial=0)) - float(expected.min(initial=0))
    relative = difference / span if span > 0 else difference
    return Comparison(name, expected.dtype.name, difference, relative, 0.0, passed=difference <= quanta)
