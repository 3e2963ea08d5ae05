"""Records to JSON values and back."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Literal

import jsonschema
import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsec.compiler.plan import ChainStep, RouterArea
from wsec.compiler.record_json import (
    SchemaViolationError,
    from_plain,
    from_plain_by_steps,
    json_schema,
    to_plain,
    to_text,
)
from wsec.compiler.record_readers import UnfitError, reader


@dataclass(frozen=True, slots=True)
class Inner:
    """A record in a record.

    Attributes:
        side: One of two,
            on two lines.
        numbers: Any.
    """

    side: Literal["rows", "columns"]
    numbers: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Outer:
    """A record of every type that records may have."""

    name: Annotated[str, msgspec.Meta(min_length=2)]
    count: Annotated[int, msgspec.Meta(ge=1)]
    rate: Annotated[float, msgspec.Meta(gt=0)]
    on: bool
    inner: Inner | None = None
    table: dict[str, int] = field(default_factory=dict)
    anything: bool | int | float | str | tuple[int, ...] | tuple[str, ...] = 0


OUTER = Outer(
    "ab", 1, 0.5, on=True, inner=Inner("rows", (1.0, math.inf)), table={"b": 2, "a": 1}, anything=("x",)
)
PLAIN: dict[str, Any] = {
    "anything": ["x"],
    "count": 1,
    "inner": {"numbers": [1.0, {"float": "inf"}], "side": "rows"},
    "name": "ab",
    "on": True,
    "rate": 0.5,
    "table": {"a": 1, "b": 2},
}

scalars = st.one_of(st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(), st.text())
arguments = st.one_of(
    scalars,
    st.lists(st.integers(-(2**63), 2**63 - 1)).map(tuple),
    st.lists(st.floats(), min_size=1).map(tuple),
    st.lists(st.text(), min_size=1).map(tuple),
)


def test_a_record_is_written_with_sorted_keys() -> None:
    """The order of keys, in the file too, does not depend on the order of fields or of insertion."""
    plain = to_plain(OUTER)
    assert plain == PLAIN
    assert repr(plain) == repr(PLAIN)


def test_a_record_is_read_as_it_was_written() -> None:
    """Nothing is lost on the way, not even infinity."""
    assert from_plain(PLAIN, Outer) == OUTER
    assert from_plain({**PLAIN, "inner": None}, Outer) == replace(OUTER, inner=None)


@given(st.dictionaries(st.text(), arguments))
def test_any_attributes_survive_json(attributes: dict[str, Any]) -> None:
    """Every argument of an operator, with its type, comes back from the text of the file."""
    step = ChainStep("Op", (), "y", "float32", attributes)
    text = msgspec.json.encode(to_plain(step))
    again = from_plain(msgspec.json.decode(text), ChainStep)
    assert repr(again) == repr(
        replace(step, attributes={name: attributes[name] for name in sorted(attributes)})
    )


anything = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**64), 2**64) | st.floats() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["a", "side", "float", "numbers"]), inner)
    ),
    max_leaves=6,
)


@given(
    st.dictionaries(st.sampled_from([*PLAIN, "more"]), anything, max_size=3),
    st.sets(st.sampled_from(list(PLAIN))),
)
def test_the_fast_way_reads_what_the_careful_way_does(changes: dict[str, Any], dropped: set[str]) -> None:
    """Both give the same record, of the same types; what the one does not take, the other refuses."""
    value = {
        name: item for name, item in {**PLAIN, **changes}.items() if name not in dropped or name in changes
    }
    try:
        expected = from_plain_by_steps(value, Outer)
    except SchemaViolationError:
        with pytest.raises(UnfitError):
            reader(Outer)(value)
    else:
        assert repr(reader(Outer)(value)) == repr(expected)


@pytest.mark.parametrize(
    ("changes", "path", "expected", "found"),
    [
        ({"name": "a"}, "$.name", "string of at least 2 characters", '"a"'),
        ({"name": 5}, "$.name", "string", "5"),
        ({"count": 0}, "$.count", "integer of at least 1", "0"),
        ({"count": True}, "$.count", "integer", "true"),
        ({"count": 1.0}, "$.count", "integer", "1.0"),
        ({"rate": 0}, "$.rate", "number above 0", "0.0"),
        ({"rate": {"float": "much"}}, "$.rate", "number", "an object"),
        ({"on": 1}, "$.on", "boolean", "1"),
        ({"inner": 3}, "$.inner", "an object or null", "3"),
        ({"inner": {"side": "up"}}, "$.inner.side", '"rows" or "columns"', '"up"'),
        ({"inner": {"side": "rows", "numbers": [1, "2"]}}, "$.inner.numbers[1]", "number", '"2"'),
        ({"inner": {}}, "$.inner.side", '"rows" or "columns"', "nothing"),
        ({"table": [1]}, "$.table", "an object", "an array of 1"),
        ({"table": {"a": "x" * 80}}, "$.table.a", "integer", '"' + "x" * 56 + "..."),
        (
            {"anything": [1, "x"]},
            "$.anything",
            "boolean or integer or number or string or an array of integer or an array of string",
            "an array of 2",
        ),
        ({"more": 1}, "$.more", "one of anything, count, inner, name, on, rate, table", "an unknown key"),
    ],
)
def test_what_does_not_follow_the_records_is_refused(
    changes: dict[str, Any], path: str, expected: str, found: str
) -> None:
    """The violation says where it is, what would be right and what is there; the schema refuses the same."""
    value = {**PLAIN, **changes}
    with pytest.raises(SchemaViolationError) as caught:
        from_plain(value, Outer)
    violation = caught.value
    assert (violation.path, violation.expected, violation.found) == (path, expected, found)
    if path != "$.count" or found != "1.0":  # JSON Schema counts 1.0 among the integers
        assert not jsonschema.Draft202012Validator(json_schema(Outer)).is_valid(value)


def test_the_schema_describes_the_records() -> None:
    """Types, limits, required keys and the words of the docstrings are in the schema, and it accepts what is written."""
    schema = json_schema(Outer)
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(PLAIN, schema)
    assert schema["$ref"] == "#/$defs/Outer"
    assert schema["$defs"]["Outer"]["required"] == ["name", "count", "rate", "on"]
    assert schema["$defs"]["Outer"]["properties"]["count"] == {"type": "integer", "minimum": 1}
    assert schema["$defs"]["Inner"]["description"] == "A record in a record."
    assert schema["$defs"]["Inner"]["properties"]["side"] == {
        "enum": ["rows", "columns"],
        "description": "One of two, on two lines.",
    }


@pytest.mark.parametrize("value", [np.int64(3), [1], {1, 2}, b"x"])
def test_only_plain_values_are_written(value: object) -> None:
    """A numpy scalar or a list in a record is a mistake of the compiler, found where it would be written."""
    with pytest.raises(TypeError, match="is not a plain value"):
        to_plain(replace(OUTER, anything=value))  # type: ignore[arg-type] # the mistake


@given(st.lists(st.builds(RouterArea, *[st.integers(-5, 2**63 - 1)] * 4, st.lists(st.text()).map(tuple))))
def test_flat_records_take_a_line_each_and_are_read_as_others(areas: list[RouterArea]) -> None:
    """Few are read one by one, many together: both ways give them back, from one line each."""
    many = tuple(areas * 40)
    text = to_text(many)
    assert text.count("\n") == (len(many) + 1 if many else 0)
    assert json.loads(text) == to_plain(many)
    hint = tuple[RouterArea, ...]
    assert from_plain(json.loads(text), hint) == many
    assert from_plain(json.loads(to_text(tuple(areas))), hint) == tuple(areas)


def test_text_is_what_msgspec_formats() -> None:
    """But for flat records, which take one line."""
    plain = msgspec.json.format(msgspec.json.encode(to_plain(OUTER)), indent=1)
    assert to_text(OUTER) == plain.decode()
    empty = replace(OUTER, table={}, anything=())
    assert to_text(empty) == msgspec.json.format(msgspec.json.encode(to_plain(empty)), indent=1).decode()


@pytest.mark.parametrize(
    ("name", "value"),
    [("x", True), ("x", 1.0), ("y", 2**63), ("width", "1"), ("positions", ["W>E", 1]), ("positions", "W>E")],
)
def test_a_wrong_value_among_many_records_is_refused_with_its_path(name: str, value: object) -> None:
    """Reading many together is as strict as reading one."""
    plain = [to_plain(RouterArea(1, 2, 3, 4, ("W>E",))) for _ in range(50)]
    plain[17] = {**plain[17], name: value}  # type: ignore[dict-item] # a dictionary
    with pytest.raises(SchemaViolationError) as caught:
        from_plain(plain, tuple[RouterArea, ...])
    assert caught.value.path.startswith(f"$[17].{name}")


@pytest.mark.parametrize("change", ["missing", "unknown"])
def test_a_wrong_key_among_many_records_is_refused_with_its_path(change: str) -> None:
    """A missing key is not filled in, an unknown one not passed over."""
    plain: list[dict[str, object]] = [
        {"x": 1, "y": 2, "width": 3, "height": 4, "positions": ["W>E"]} for _ in range(50)
    ]
    if change == "missing":
        del plain[3]["x"]
    else:
        plain[3]["z"] = plain[3].pop("x")
    with pytest.raises(SchemaViolationError) as caught:
        from_plain(plain, tuple[RouterArea, ...])
    assert caught.value.path in {"$[3].x", "$[3].z"}
