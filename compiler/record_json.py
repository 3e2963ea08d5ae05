"""Frozen records to plain JSON values and back, strictly, and the JSON Schema that both follow.

The dataclasses are the only declaration. Reading accepts exactly what writing gives: an unknown key, a missing one or
a value of another type is refused with its path. A float that JSON has no number for is written as
`{"float": "inf"}`, `"-inf"` or `"nan"`, so nothing is lost on the way. Integers have 64 bits at most.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
import math
import re
import types
import typing
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec

from wsec.compiler.record_readers import (
    INTEGER_LIMIT,
    NON_FINITE,
    UnfitError,
    hints_of,
    is_flat,
    reader,
    required_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

SCHEMA_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_SCALARS = {bool: "boolean", int: "integer", float: "number", str: "string"}


@dataclasses.dataclass(eq=False)
class SchemaViolationError(ValueError):
    """A plain value that does not follow the records: where, what would, and what is there."""

    path: str
    expected: str
    found: str


def to_plain(value: object) -> object:
    """The record as dictionaries with sorted keys, lists and scalars.

    Raises:
        TypeError: A value is neither a record nor a plain one, such as an array or a numpy scalar.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = sorted(field.name for field in dataclasses.fields(value))
        return {name: to_plain(getattr(value, name)) for name in names}
    if type(value) is dict:
        return {name: to_plain(value[name]) for name in sorted(value)}
    if type(value) is tuple:
        return [to_plain(item) for item in value]
    if type(value) is float and not math.isfinite(value):
        return {"float": str(value)}
    if value is None or type(value) in _SCALARS:
        return value
    raise TypeError(f"{type(value).__name__} is not a plain value: {value!r}")


def to_text(value: object) -> str:
    """The JSON text of a record: keys sorted, one value a line; a flat record, `is_flat`, takes one line.

    Raises:
        TypeError: As `to_plain`.
    """
    parts: list[str] = []
    _write(value, "\n", parts)
    return "".join(parts)


def _write(value: object, margin: str, parts: list[str]) -> None:
    """Append the text of a value; `margin` begins the line that it stands on."""
    inner = margin + " "
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        if is_flat(type(value)):
            parts.append(_encoded(to_plain(value)))
            return
        fields = sorted(field.name for field in dataclasses.fields(value))
        items = [(name, getattr(value, name)) for name in fields]
    elif type(value) is dict:
        items = sorted(value.items())
    elif type(value) is tuple and value:
        for number, item in enumerate(value):
            parts.append(("," if number else "[") + inner)
            _write(item, inner, parts)
        parts.append(margin + "]")
        return
    else:
        plain = to_plain(value)
        if type(plain) is not dict:
            parts.append(_encoded(plain))
            return
        items = list(plain.items())  # a number that JSON has none for
    for number, (name, item) in enumerate(items):
        parts.append(f"{',' if number else '{'}{inner}{_encoded(name)}: ")
        _write(item, inner, parts)
    parts.append(margin + "}" if items else "{}")


def _encoded(plain: object) -> str:
    return msgspec.json.encode(plain).decode()


def from_plain(value: object, hint: Any) -> Any:
    """The record, or scalar, of type `hint` that `value` describes.

    Raises:
        SchemaViolationError: The value does not follow the type; says at which path.
    """
    try:
        return reader(hint)(value)
    except UnfitError:
        return from_plain_by_steps(value, hint)


def from_plain_by_steps(value: object, hint: Any, path: str = "$") -> Any:
    """Likewise, step by step, so that it can be said what does not follow.

    Raises:
        SchemaViolationError: The value does not follow the type; says at which path.
    """
    origin = typing.get_origin(hint)
    if dataclasses.is_dataclass(hint):
        return _record(value, hint, path)
    if origin is Annotated:
        return _within(from_plain_by_steps(value, hint.__origin__, path), hint, path)
    if origin in {types.UnionType, typing.Union}:
        return _any_of(value, hint, path)
    if origin is tuple:
        return _items(value, hint, path)
    if origin is dict:
        table = _typed(value, dict, hint, path)
        return {
            key: from_plain_by_steps(item, hint.__args__[1], f"{path}.{key}") for key, item in table.items()
        }
    return _scalar(value, hint, path)


def json_schema(kind: type) -> dict[str, Any]:
    """The JSON Schema (2020-12) of a record; the classes it is made of are under `$defs`."""
    definitions: dict[str, Any] = {}
    root = _schema_of(kind, definitions)
    return {
        "$schema": SCHEMA_DIALECT,
        **root,
        "$defs": {name: definitions[name] for name in sorted(definitions)},
    }


def _record(value: object, kind: Any, path: str) -> Any:
    table = _typed(value, dict, kind, path)
    hints = hints_of(kind)
    for name in table:
        if name not in hints:
            raise SchemaViolationError(
                f"{path}.{name}", f"one of {', '.join(sorted(hints))}", "an unknown key"
            )
    for name in required_of(kind):
        if name not in table:
            raise SchemaViolationError(f"{path}.{name}", _words(hints[name]), "nothing")
    return kind(
        **{name: from_plain_by_steps(item, hints[name], f"{path}.{name}") for name, item in table.items()}
    )


def _items(value: object, hint: Any, path: str) -> tuple[Any, ...]:
    items, kind = _typed(value, list, hint, path), hint.__args__[0]
    return tuple(from_plain_by_steps(item, kind, f"{path}[{i}]") for i, item in enumerate(items))


def _any_of(value: object, hint: Any, path: str) -> Any:
    for member in typing.get_args(hint):
        try:
            return from_plain_by_steps(value, member, path)
        except SchemaViolationError:
            if dataclasses.is_dataclass(member) and isinstance(value, dict):
                raise
    raise SchemaViolationError(path, _words(hint), _shown(value))


def _typed(value: object, wanted: type, hint: Any, path: str) -> Any:
    if type(value) is not wanted:
        raise SchemaViolationError(path, _words(hint), _shown(value))
    return value


def _scalar(value: object, hint: Any, path: str) -> object:
    if type(value) is int and not -INTEGER_LIMIT <= value < INTEGER_LIMIT:
        raise SchemaViolationError(
            path, f"{_words(hint)} of at most 64 bits", f"one of {value.bit_length()} bits"
        )
    if typing.get_origin(hint) is Literal:
        fits = value in typing.get_args(hint)
    elif hint is float:
        if type(value) is dict and list(value) == ["float"] and value["float"] in NON_FINITE:
            return float(value["float"])
        fits = type(value) in {int, float}
        value = float(typing.cast("float", value)) if fits else value
    else:
        fits = type(value) is hint or (hint is types.NoneType and value is None)
    if not fits:
        raise SchemaViolationError(path, _words(hint), _shown(value))
    return value


def _within(value: Any, hint: Any, path: str) -> object:
    (meta,) = hint.__metadata__
    if (
        (meta.ge is not None and value < meta.ge)
        or (meta.gt is not None and not value > meta.gt)
        or (meta.min_length is not None and len(value) < meta.min_length)
    ):
        raise SchemaViolationError(path, _words(hint), _shown(value))
    return value


def _words(hint: Any) -> str:
    origin = typing.get_origin(hint)
    if origin is Annotated:
        return _words(hint.__origin__) + "".join(f" {words}" for words in _limits(hint.__metadata__[0]))
    if origin in {types.UnionType, typing.Union}:
        return " or ".join(_words(member) for member in typing.get_args(hint))
    if origin is tuple:
        return f"an array of {_words(hint.__args__[0])}"
    if origin is Literal:
        return " or ".join(f'"{choice}"' for choice in typing.get_args(hint))
    if origin is dict or dataclasses.is_dataclass(hint):
        return "an object"
    return "null" if hint is types.NoneType else _SCALARS[hint]


def _limits(meta: msgspec.Meta) -> Iterator[str]:
    if meta.ge is not None:
        yield f"of at least {meta.ge}"
    if meta.gt is not None:
        yield f"above {meta.gt}"
    if meta.min_length is not None:
        yield f"of at least {meta.min_length} characters"


def _shown(value: object) -> str:
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return f"an array of {len(value)}"
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _schema_of(hint: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    members = [member for member in typing.get_args(hint) if member is not Ellipsis]
    match typing.get_origin(hint):
        case origin if origin is Annotated:
            schema = {**_schema_of(members[0], definitions), **_limits_schema(members[1])}
        case origin if origin in {types.UnionType, typing.Union}:
            schema = {"anyOf": [_schema_of(member, definitions) for member in members]}
        case origin if origin is tuple:
            schema = {"type": "array", "items": _schema_of(members[0], definitions)}
        case origin if origin is dict:
            schema = {"type": "object", "additionalProperties": _schema_of(members[1], definitions)}
        case origin if origin is Literal:
            schema = {"enum": members}
        case _:
            schema = _plain_schema(hint, definitions)
    return schema


def _plain_schema(hint: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    if dataclasses.is_dataclass(hint):
        return _record_schema(typing.cast("type", hint), definitions)
    if hint is float:
        return {"anyOf": [{"type": "number"}, _NON_FINITE_SCHEMA]}
    return {"type": "null" if hint is types.NoneType else _SCALARS[hint]}


_NON_FINITE_SCHEMA = {
    "type": "object",
    "properties": {"float": {"enum": list(NON_FINITE)}},
    "required": ["float"],
    "additionalProperties": False,
}


def _limits_schema(meta: msgspec.Meta) -> dict[str, Any]:
    limits = {"minimum": meta.ge, "exclusiveMinimum": meta.gt, "minLength": meta.min_length}
    return {key: limit for key, limit in limits.items() if limit is not None}


def _record_schema(kind: type, definitions: dict[str, Any]) -> dict[str, Any]:
    if kind.__name__ not in definitions:
        definitions[kind.__name__] = {}  # holds the place while the fields are described
        summary, fields = _descriptions(kind)
        properties = {
            name: {
                **_schema_of(hint, definitions),
                **({"description": fields[name]} if name in fields else {}),
            }
            for name, hint in hints_of(kind).items()
        }
        definitions[kind.__name__] = {
            "description": summary,
            "type": "object",
            "properties": properties,
            "required": list(required_of(kind)),
            "additionalProperties": False,
        }
    return {"$ref": f"#/$defs/{kind.__name__}"}


def _descriptions(kind: type) -> tuple[str, dict[str, str]]:
    """The text of a class docstring before its Attributes section, and the text of each attribute."""
    summary, _, attributes = (inspect.getdoc(kind) or "").partition("\n\nAttributes:\n")
    entries = re.findall(r"^    (\w+): (.*(?:\n {8}.*)*)", attributes, flags=re.MULTILINE)
    return _one_line(summary), {name: _one_line(text) for name, text in entries}


def _one_line(text: str) -> str:
    return " ".join(text.split())
