"""Says everything that is wrong with a nested table, given the dataclass it should become.

The dataclass is the only declaration: its fields name the keys, `msgspec.Meta` on every plain type gives the range, and a
field's `keys` metadata the keys of a free table. One finding is one line that names key, value and what is allowed.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import sys
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec


@dataclass(frozen=True, slots=True)
class SumRule:
    """The values under the dotted keys `terms` must add up to at most `limit`'s; to less than it when strict."""

    terms: tuple[str, ...]
    limit: str
    strict: bool


def lint_table(data: Mapping[str, object], kind: type, prefix: str = "") -> Iterator[str]:
    """Yields a line for each unknown, missing, mistyped or out-of-range entry of `data`, in the order of `kind`."""
    hints = typing.get_type_hints(kind, include_extras=True)
    known = [entry.name for entry in dataclasses.fields(kind)]
    yield from _unknown_keys(data, known, prefix)
    for entry in dataclasses.fields(kind):
        key = prefix + entry.name
        if entry.name in data:
            yield from _lint_value(data[entry.name], hints[entry.name], key, entry.metadata.get("keys", ()))
        elif entry.default is dataclasses.MISSING:
            yield f"{key}: missing, needs {_allowed(hints[entry.name])}"


def lint_sums(data: Mapping[str, object], rules: Sequence[SumRule]) -> Iterator[str]:
    """Yields a line for each broken rule; a rule on entries that are missing or no integers says nothing."""
    for rule in rules:
        terms = [_look_up(data, key) for key in rule.terms]
        limit = _look_up(data, rule.limit)
        if limit is None or None in terms:
            continue
        total = sum(term for term in terms if term is not None)
        if total > limit or (rule.strict and total == limit):
            bound = "less than" if rule.strict else "at most"
            sums = " + ".join(f"{key} = {term}" for key, term in zip(rule.terms, terms, strict=True))
            yield f"{sums}: {bound} {rule.limit} = {limit} is allowed"


def _lint_value(value: object, hint: Any, key: str, keys: Sequence[str]) -> Iterator[str]:
    kind, meta = _without_extras(hint)
    if dataclasses.is_dataclass(kind):
        if isinstance(value, Mapping):
            yield from lint_table(value, typing.cast("type", kind), prefix=f"{key}.")
        else:
            yield f"{key} = {_as_toml(value)}: {_allowed(hint)} is allowed"
    elif typing.get_origin(kind) is dict:
        yield from _lint_free_table(value, typing.get_args(kind)[1], key, keys)
    elif not _is_of(value, kind) or not _in_range(value, meta):
        yield f"{key} = {_as_toml(value)}: {_allowed(hint)} is allowed"


def _lint_free_table(value: object, hint: Any, key: str, keys: Sequence[str]) -> Iterator[str]:
    if not isinstance(value, Mapping):
        yield f"{key} = {_as_toml(value)}: a table is allowed"
        return
    yield from _unknown_keys(value, keys, f"{key}.")
    for name in keys:
        if name in value:
            yield from _lint_value(value[name], hint, f"{key}.{name}", ())
        else:
            yield f"{key}.{name}: missing, needs {_allowed(hint)}"


def _unknown_keys(data: Mapping[str, object], known: Sequence[str], prefix: str) -> Iterator[str]:
    for name in data:
        if name not in known:
            nearest = difflib.get_close_matches(name, known, n=1)
            meant = f"did you mean {nearest[0]}?" if nearest else f"known are {', '.join(known)}"
            yield f"{prefix}{name}: unknown key, {meant}"


def _without_extras(hint: Any) -> tuple[Any, msgspec.Meta]:
    """The bare type and its range, without `Annotated` and `| None`."""
    if typing.get_origin(hint) in {types.UnionType, typing.Union}:
        hint = next(part for part in typing.get_args(hint) if part is not types.NoneType)
    if typing.get_origin(hint) is Annotated:
        kind, meta = typing.get_args(hint)
        return kind, meta
    return hint, msgspec.Meta()


def _is_of(value: object, kind: type) -> bool:
    if kind is float:
        return type(value) in {int, float} and abs(typing.cast("float", value)) <= sys.float_info.max
    return type(value) is kind


def _in_range(value: Any, meta: msgspec.Meta) -> bool:
    return (
        (meta.ge is None or value >= meta.ge)
        and (meta.le is None or value <= meta.le)
        and (meta.gt is None or value > meta.gt)
        and (meta.min_length is None or len(value) >= meta.min_length)
    )


def _allowed(hint: Any) -> str:
    kind, meta = _without_extras(hint)
    if dataclasses.is_dataclass(kind) or typing.get_origin(kind) is dict:
        return "a table"
    noun = {int: "a whole number", float: "a number", str: "a text"}[kind]
    if meta.min_length:
        return f"{noun} that is not empty"
    if meta.gt is not None:
        return f"{noun} above {meta.gt}"
    return f"{noun} from {meta.ge} to {meta.le}"


def _as_toml(value: object) -> str:
    if isinstance(value, bool | str):
        return json.dumps(value)
    if isinstance(value, int | float):
        return repr(value)
    return f"a {'table' if isinstance(value, Mapping) else type(value).__name__}"


def _look_up(data: Mapping[str, object], dotted: str) -> int | None:
    value: object = data
    for name in dotted.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value if type(value) is int else None
