"""Readers of plain JSON values, made once for each type: the fast way to records whose values follow their types.

A reader accepts what `record_json.from_plain` accepts and gives the same record; of anything else it only says that it does not fit,
and the general way finds out where and why.
"""

from __future__ import annotations

import dataclasses
import functools
import types
import typing
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

if TYPE_CHECKING:
    import msgspec

Reader = Callable[[Any], Any]

INTEGER_LIMIT: Final = 1 << 63  # what arrays of integers hold
NON_FINITE: Final = ("inf", "-inf", "nan")
_MANY: Final = 32  # records in a row from which they are read together


class UnfitError(ValueError):
    """A value that does not follow its type, or may not: nothing is said of it."""


@functools.cache
def reader(hint: Any) -> Reader:
    """The function that makes a value of type `hint` of a plain one, and raises `UnfitError` where it cannot."""
    origin = typing.get_origin(hint)
    if dataclasses.is_dataclass(hint):
        return _record(typing.cast("type", hint))
    if origin in _MAKERS:
        return _MAKERS[origin](hint)
    return {int: _integer, float: _number}.get(hint) or _exactly(hint)


@functools.cache
def hints_of(kind: type) -> dict[str, Any]:
    """The type of each field of a record, in order."""
    hints = typing.get_type_hints(kind, include_extras=True)
    return {field.name: hints[field.name] for field in dataclasses.fields(kind)}


@functools.cache
def required_of(kind: type) -> tuple[str, ...]:
    """The fields of a record that have no default."""
    return tuple(
        field.name
        for field in dataclasses.fields(kind)
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    )


@functools.cache
def is_flat(kind: Any) -> bool:
    """Whether a type is a record of nothing but whole numbers and tuples of text, without a default."""
    if not dataclasses.is_dataclass(kind):
        return False
    record = typing.cast("type", kind)
    flat = all(hint in (int, tuple[str, ...]) for hint in hints_of(record).values())
    return flat and len(required_of(record)) == len(hints_of(record))


def _record(kind: type) -> Reader:
    readers = {name: reader(hint) for name, hint in hints_of(kind).items()}
    in_order = tuple(readers.items())
    required, count = frozenset(required_of(kind)), len(readers)

    def read(value: Any) -> Any:
        if type(value) is not dict:
            raise UnfitError
        try:
            if len(value) == count:
                return kind(*[read_field(value[name]) for name, read_field in in_order])
            if not required <= value.keys():
                raise UnfitError
            return kind(**{name: readers[name](item) for name, item in value.items()})
        except KeyError:
            raise UnfitError from None

    return read


def _items(kind: Any) -> Reader:
    if kind in {int, str}:
        return _scalars(kind)
    read_item, flat = reader(kind), is_flat(kind)

    def read(value: Any) -> tuple[Any, ...]:
        if type(value) is not list:
            raise UnfitError
        if flat and len(value) >= _MANY:
            return _flat_records(value, kind)
        return tuple([read_item(item) for item in value])

    return read


def _scalars(kind: type) -> Reader:
    def read(value: Any) -> tuple[Any, ...]:
        if type(value) is not list or not set(map(type, value)) <= {kind}:
            raise UnfitError
        if kind is int and not _are_of_64_bits(value):
            raise UnfitError
        return tuple(value)

    return read


def _are_of_64_bits(numbers: list[int]) -> bool:
    return not numbers or (min(numbers) >= -INTEGER_LIMIT and max(numbers) < INTEGER_LIMIT)


def _flat_records(items: list[Any], kind: Any) -> tuple[Any, ...]:
    """Many records of whole numbers and tuples of text, a column at a time."""
    hints = hints_of(kind)
    if set(map(type, items)) != {dict} or set(map(len, items)) != {len(hints)}:
        raise UnfitError
    columns: list[list[Any]] = []
    for name, hint in hints.items():
        column = [item.get(name) for item in items]
        if hint is int:
            if set(map(type, column)) != {int} or not _are_of_64_bits(column):
                raise UnfitError
        else:
            if set(map(type, column)) != {list} or any(
                type(text) is not str for row in column for text in row
            ):
                raise UnfitError
            column = list(map(tuple, column))
        columns.append(column)
    return tuple(map(kind, *columns))


def _table(read_item: Reader) -> Reader:
    def read(value: Any) -> dict[str, Any]:
        if type(value) is not dict:
            raise UnfitError
        return {key: read_item(item) for key, item in value.items()}

    return read


def _any_of(members: tuple[Reader, ...]) -> Reader:
    def read(value: Any) -> Any:
        for member in members:
            try:
                return member(value)
            except UnfitError:
                continue
        raise UnfitError

    return read


def _choice(choices: tuple[Any, ...]) -> Reader:
    known = {(type(choice), choice) for choice in choices}

    def read(value: Any) -> Any:
        if type(value) not in {str, int, bool} or (type(value), value) not in known:
            raise UnfitError
        return value

    return read


def _within(read_value: Reader, meta: msgspec.Meta) -> Reader:
    ge, gt, least = meta.ge, meta.gt, meta.min_length

    def read(value: Any) -> Any:
        found = read_value(value)
        if (
            (ge is not None and found < ge)
            or (gt is not None and not found > gt)
            or (least is not None and len(found) < least)
        ):
            raise UnfitError
        return found

    return read


def _integer(value: Any) -> int:
    if type(value) is not int or not -INTEGER_LIMIT <= value < INTEGER_LIMIT:
        raise UnfitError
    return value


def _number(value: Any) -> float:
    if type(value) is float:
        return value
    if type(value) is int and -INTEGER_LIMIT <= value < INTEGER_LIMIT:
        return float(value)
    if type(value) is dict and list(value) == ["float"] and value["float"] in NON_FINITE:
        return float(value["float"])
    raise UnfitError


def _exactly(kind: type) -> Reader:
    """Text, truth values and nothing."""

    def read(value: Any) -> Any:
        if type(value) is not kind:
            raise UnfitError
        return value

    return read


_MAKERS: Final[dict[Any, Callable[[Any], Reader]]] = {
    Annotated: lambda hint: _within(reader(hint.__origin__), hint.__metadata__[0]),
    types.UnionType: lambda hint: _any_of(tuple(map(reader, typing.get_args(hint)))),
    typing.Union: lambda hint: _any_of(tuple(map(reader, typing.get_args(hint)))),
    tuple: lambda hint: _items(hint.__args__[0]),
    dict: lambda hint: _table(reader(hint.__args__[1])),
    Literal: lambda hint: _choice(typing.get_args(hint)),
}
