"""Checks the KV cache of a decoder where the model declares it: before inference overrules what is declared.

Keys and values are inputs `past_key_values.*`, outputs `present.*` and operands of GroupQueryAttention, [batch, heads,
positions, head size]. Tensors of other names or ranks are no cache that this module knows, and it says nothing of them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wsec.compiler.errors import WsecError
from wsec.compiler.importer.shapes import static_shape

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import onnx_ir as ir

_PAST = re.compile(r"past_key_values\.(?P<place>.+)\.(?P<part>key|value)")
_FEATURES = ("batch", "heads", "positions", "head size")
_SHOWN = 4
_DISAGREE = "the KV cache of the model does not agree with itself"
_PLAIN = (
    "mend what built the model; --states none compiles caches of several forms as plain inputs and outputs"
)


@dataclass(frozen=True, slots=True)
class _Cache:
    """Keys or values of a layer, before a run and, where the model has it, behind it."""

    layer: str
    part: str
    past: ir.Value
    present: ir.Value | None


def check_caches(model: ir.Model) -> None:
    """Compare what the model declares of its caches.

    Raises:
        WsecError: WSEC150 a present is not what its past is, WSEC151 keys and values, or layers, disagree.
    """
    outputs = {value.name: value for value in model.graph.outputs}
    caches = [
        _Cache(found["place"], found["part"], value, outputs.get(f"present.{found['place']}.{found['part']}"))
        for value in model.graph.inputs
        if (found := _PAST.fullmatch(value.name or "")) and len(static_shape(value) or ()) == len(_FEATURES)
    ]
    rows = _new_rows(model)
    wrong = [line for cache in caches for line in _against_present(cache, rows)]
    if wrong:
        expected = "equal element types and shapes, or positions that grow by the new tokens"
        raise _error("WSEC150", "a KV cache is not behind a run what it was before", expected, wrong, _PLAIN)
    wrong = [*_key_against_value(caches), *_against_first(caches)]
    if wrong:
        expected = "one batch, number of heads, capacity and element type for keys and values of all layers"
        raise _error("WSEC151", _DISAGREE, expected, wrong, _PLAIN)


def check_cache_operands(model: ir.Model) -> None:
    """Compare each GroupQueryAttention with the cache that it reads.

    Raises:
        WsecError: WSEC152 heads, head size, batch or element type are not those of its queries and attributes, or keys and
            values have other positions.
    """
    wrong = [
        line
        for index, node in enumerate(model.graph)
        if (node.domain, node.op_type) == ("com.microsoft", "GroupQueryAttention")
        for line in _against_node(node, f"node {index} {node.name!r}")
    ]
    if wrong:
        expected = "past keys and values [batch, kv_num_heads, positions, head size] of the type of the queries, as many positions of both"
        hint = "give the cache the heads and the head size of the operator, as exporters do"
        raise _error("WSEC152", "a KV cache does not fit the attention that reads it", expected, wrong, hint)


def _error(code: str, what: str, expected: str, wrong: Sequence[tuple[str, str]], hint: str) -> WsecError:
    rest = [f"and {len(wrong) - _SHOWN} more"] if len(wrong) > _SHOWN else []
    return WsecError(
        code,
        what,
        where="\n".join([*(where for where, _ in wrong[:_SHOWN]), *rest]),
        expected=expected,
        found="\n".join(found for _, found in wrong[:_SHOWN]),
        hint=hint,
    )


def _shape(value: ir.Value) -> tuple[int, ...]:
    return static_shape(value) or ()


def _shown(value: ir.Value) -> str:
    dtype = "no type" if value.dtype is None else value.dtype.name.lower()
    return f"{value.name} {dtype} {list(_shape(value))}"


def _new_rows(model: ir.Model) -> int | None:
    """New tokens of a run, where the model says so by the names of its inputs."""
    for value in model.graph.inputs:
        shape = _shape(value)
        if value.name in {"input_ids", "inputs_embeds"} and len(shape) > 1:
            return shape[1]
    return None


def _against_present(cache: _Cache, rows: int | None) -> Iterator[tuple[str, str]]:
    past, present = cache.past, cache.present
    if present is None or len(_shape(present)) != len(_FEATURES):
        return
    before, behind = _shape(past), _shape(present)
    grows = behind[2] - before[2]
    fits = grows >= 0 and (grows in {0, rows} or rows is None)
    alike = (*before[:2], before[3]) == (*behind[:2], behind[3])
    typed = past.dtype == present.dtype or present.dtype is None
    if not (fits and alike and typed):
        yield f"input {past.name}", f"{_shown(past)}, {_shown(present)}"


def _key_against_value(caches: Sequence[_Cache]) -> Iterator[tuple[str, str]]:
    """Keys and values of a layer: of equal heads and positions; features may be fewer in one of them."""
    keys = {cache.layer: cache.past for cache in caches if cache.part == "key"}
    for cache in caches:
        key = keys.get(cache.layer)
        if cache.part == "value" and key is not None:
            yield from _unlike(key, cache.past, (0, 1, 2))


def _against_first(caches: Sequence[_Cache]) -> Iterator[tuple[str, str]]:
    """Layers: the keys of each as those of the first, and likewise the values."""
    for part in ("key", "value"):
        own = [cache.past for cache in caches if cache.part == part]
        for other in own[1:]:
            yield from _unlike(own[0], other, (0, 1, 2, 3))


def _unlike(first: ir.Value, other: ir.Value, axes: Sequence[int]) -> Iterator[tuple[str, str]]:
    different = [_FEATURES[axis] for axis in axes if _shape(first)[axis] != _shape(other)[axis]]
    different += [] if first.dtype == other.dtype else ["element type"]
    if different:
        yield f"input {other.name}: {', '.join(different)}", f"{_shown(first)}, {_shown(other)}"


def _against_node(node: ir.Node, where: str) -> Iterator[tuple[str, str]]:
    attributes = node.attributes
    if not {"num_heads", "kv_num_heads"} <= set(attributes) or len(node.inputs) < 5:
        return
    heads, groups = attributes["num_heads"].as_int(), attributes["kv_num_heads"].as_int()
    query = node.inputs[0]
    shape = () if query is None else _shape(query)
    packed = node.inputs[1] is None
    if query is None or len(shape) != 3 or heads < 1:
        return
    size = shape[2] // (heads + 2 * groups if packed else heads)
    key, values = node.inputs[3:5]
    if key is not None and values is not None and _positions(key) != _positions(values):
        yield where, f"{_shown(key)}, {_shown(values)}: other positions"
    for value in node.inputs[3:5]:
        past = () if value is None else _shape(value)
        if value is None or len(past) != len(_FEATURES):
            continue
        fits = (past[0], past[1], past[3]) == (shape[0], groups, size)
        if not fits or (value.dtype != query.dtype and not _quantised(node)):
            wanted = f"kv_num_heads {groups}, head size {size}, queries {_shown(query)}"
            yield where, f"{_shown(value)}; {wanted}"


def _positions(cache: ir.Value) -> tuple[int, ...]:
    return _shape(cache)[2:3] if len(_shape(cache)) == len(_FEATURES) else ()


def _quantised(node: ir.Node) -> bool:
    """Whether keys or values are stored in codes, of another type than the queries."""
    kinds = [
        node.attributes[name].as_string()
        for name in ("k_quant_type", "v_quant_type")
        if name in node.attributes
    ]
    return any(kind not in {"", "NONE"} for kind in kinds)
