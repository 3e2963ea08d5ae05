"""What wsec does with every operator there is, read from the tables that it compiles by: the page docs/operators.md.

    python -m wsec.operator_support > docs/operators.md

Operators are those of the installed onnx and, of com.microsoft, those of the installed onnxruntime. What is said of one
holds for its usual form; what becomes of a node of a certain model, `wsec compile` says.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import onnx

from wsec.compiler.core_types import CORE_TYPES
from wsec.compiler.importer.opset import TARGET_OPSET
from wsec.compiler.importer.opset_adapters import ADAPTERS, COMPATIBLE
from wsec.compiler.kernels.registry import KINDS
from wsec.compiler.onnxruntime_session import operators_of_onnxruntime
from wsec.compiler.operators import DATA_DEPENDENT_SHAPE, ELEMENTWISE, NON_DETERMINISTIC

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import onnx_ir as ir

OLDEST_OPSET, NEWEST_OPSET = 7, 28
DOMAINS = {"": "ai.onnx", "ai.onnx.ml": "ai.onnx.ml", "com.microsoft": "com.microsoft"}
_GROUPS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("float", ("float16", "bfloat16", "float", "double")),
    ("int", ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")),
    ("int4", ("int4", "uint4")),
    ("bool", ("bool",)),
)
"""Words of the page for element types that mostly come together; types are in ONNX's words."""


@dataclass(frozen=True, slots=True)
class OperatorSupport:
    """One operator of the page.

    Attributes:
        domain: As a model writes it.
        name: Of the operator.
        versions: The opsets from and to which a node of it is accepted; empty where none is.
        handling: What becomes of it.
        types: Element types of its first input that cores hold.
    """

    domain: str
    name: str
    versions: str
    handling: str
    types: str


@dataclass(frozen=True, slots=True)
class _Schema:
    """Of an operator in its newest version: the opsets that changed it, and types in ONNX's words."""

    domain: str
    name: str
    versions: tuple[int, ...]
    deprecated: bool
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    function: bool
    bodies: bool

    @property
    def qualified_name(self) -> str:
        """As the tables of kernels and passes name it."""
        return f"{self.domain}.{self.name}" if self.domain else self.name


def list_operators() -> tuple[OperatorSupport, ...]:
    """Every operator of the three domains, by domain and name."""
    return tuple(
        OperatorSupport(
            domain=schema.domain,
            name=schema.name,
            versions=_versions(schema),
            handling=_handling(schema),
            types=_element_types(schema.inputs or schema.outputs),
        )
        for schema in _schemas()
    )


def _schemas() -> Iterator[_Schema]:
    known: dict[tuple[str, str], list[Any]] = {}
    for schema in (*onnx.defs.get_all_schemas_with_history(), *_microsoft_schemas()):
        if schema.domain in DOMAINS and schema.since_version <= NEWEST_OPSET:
            known.setdefault((schema.domain, schema.name), []).append(schema)
    order = list(DOMAINS)
    for domain, name in sorted(known, key=lambda key: (order.index(key[0]), key[1])):
        history = sorted(known[domain, name], key=lambda schema: schema.since_version)
        newest = next((schema for schema in reversed(history) if not schema.deprecated), history[-1])
        yield _Schema(
            domain,
            name,
            tuple(schema.since_version for schema in history),
            history[-1].deprecated,
            _types_of(newest, newest.inputs[:1]),
            _types_of(newest, newest.outputs[:1]),
            any(getattr(newest, name, False) for name in ("has_function", "has_context_dependent_function")),
            any(_is_graph(attribute) for attribute in newest.attributes.values()),
        )


def _is_graph(attribute: Any) -> bool:
    kind = attribute.type if hasattr(attribute, "type") else attribute._type  # noqa: SLF001 - see `_types_of`
    return str(kind).rpartition(".")[2] in {"GRAPH", "GRAPHS"}


def _microsoft_schemas() -> list[Any]:
    schemas, _ = _of_onnxruntime()
    return [schema for schema in schemas if schema.domain == "com.microsoft"]


def _types_of(schema: Any, parameters: Sequence[Any]) -> tuple[str, ...]:
    """The types that the parameters may have; onnx and onnxruntime name the same things differently."""
    allowed = {item.type_param_str: tuple(item.allowed_type_strs) for item in schema.type_constraints}
    names = (str(item.type_str) if hasattr(item, "type_str") else str(item.typeStr) for item in parameters)
    return tuple(sorted({text for name in names for text in allowed.get(name, (name,))}))


def _versions(schema: _Schema) -> str:
    """The opsets that are accepted: those from which every change up to the target opset is known to the importer."""
    if _refusal(schema):
        return ""
    if schema.domain:
        return _range(schema.versions[0], schema.versions[-1] - schema.deprecated)
    end = schema.versions[-1] if schema.deprecated else NEWEST_OPSET + 1
    accepted = [
        opset
        for opset in range(max(OLDEST_OPSET, schema.versions[0]), end)
        if all(
            (schema.name, step) in ADAPTERS or step in COMPATIBLE.get(schema.name, ())
            for step in schema.versions
            if opset < step <= TARGET_OPSET
        )
    ]
    return _range(accepted[0], accepted[-1])


def _range(first: int, last: int) -> str:
    return str(first) if first == last else f"{first} to {last}"


def _handling(schema: _Schema) -> str:
    if refusal := _refusal(schema):
        return f"refused: {refusal}"
    steps = ["rewritten by the importer"] if _is_replaced(schema) else []
    if names := _rewriters().get(schema.qualified_name):
        steps.append("rewritten by " + ", ".join(f"`{name}`" for name in names))
    kinds = [kind.name for kind in KINDS if schema.qualified_name in kind.operators]
    if schema.name in ELEMENTWISE and not schema.domain:
        kinds.insert(0, "elementwise")
    if kinds:
        return "; ".join([*steps, f"split: {', '.join(kinds)}"])
    if host := _why_on_host(schema):
        return "; ".join([*steps, f"host: {host}"])
    return "; ".join(steps) or "unsplit"


def _refusal(schema: _Schema) -> str:
    """Why no node of the operator compiles; empty where one may."""
    if schema.domain and schema.bodies:
        return "an operator of another domain than `ai.onnx` with bodies"
    if any(text.startswith("sparse") for text in (*schema.inputs, *schema.outputs)):
        return "sparse tensors"
    if not schema.domain and schema.name in NON_DETERMINISTIC:
        return "it draws random numbers"
    rewritten = schema.qualified_name in _rewriters()
    if not rewritten and not schema.function and not _runs(schema):
        return "neither onnxruntime's CPU build nor the reference of ONNX runs it"
    return ""


def _is_replaced(schema: _Schema) -> bool:
    """Whether an operator that newer opsets do not have is written as another one on the way to them."""
    return schema.deprecated and not schema.domain and (schema.name, schema.versions[-1]) in ADAPTERS


def _runs(schema: _Schema) -> bool:
    _, implemented = _of_onnxruntime()
    if (schema.domain, schema.name) in implemented or _is_replaced(schema):
        return True
    return schema.domain != "com.microsoft" and _in_reference(schema)


_of_onnxruntime = cache(operators_of_onnxruntime)


def _in_reference(schema: _Schema) -> bool:
    from onnx.reference.op_run import RuntimeContextError
    from onnx.reference.ops import load_op

    try:
        load_op(schema.domain, schema.name, schema.versions[-1])
    except (RuntimeContextError, NotImplementedError):
        return False
    return True


def _why_on_host(schema: _Schema) -> str:
    if not schema.domain and schema.name in DATA_DEPENDENT_SHAPE:
        return "the data decide the shape of its output"
    for types in (schema.inputs, schema.outputs):
        if types and not _element_types(types):
            return f"cores hold no {_other_types(types)}"
    return ""


def _other_types(types: Sequence[str]) -> str:
    """What the types are of which none is a tensor that cores hold."""
    words = {"map": "maps", "optional": "optionals", "seq": "sequences", "tensor(string": "strings"}
    return next(
        (name for word, name in words.items() if any(text.startswith(word) for text in types)), "such types"
    )


def _element_types(types: Sequence[str]) -> str:
    """Element types of the tensors among `types` that cores hold, in the words of `_GROUPS`."""
    core = {_onnx_name(dtype) for dtype in CORE_TYPES}
    found = {text[len("tensor(") : -1] for text in types if text.startswith("tensor(")} & core
    words = []
    for word, members in _GROUPS:
        present = [member for member in members if member in found]
        words += [word] if len(present) == len(members) else present
    return ", ".join(words)


def _onnx_name(dtype: ir.DataType) -> str:
    return str(dtype.name.lower())


@cache
def _rewriters() -> dict[str, list[str]]:
    """By operator, the passes of the default pipeline that say they rewrite it, in its order."""
    from wsec.passes import default_pipeline

    found: dict[str, list[str]] = {}
    for each in default_pipeline():
        for operator in each.rewrites:
            if each.name not in found.setdefault(operator, []):
                found[operator].append(each.name)
    return found


_HEAD = """# Operators

What wsec does with every operator that the installed onnx {onnx} and onnxruntime {onnxruntime} know, in opsets {oldest} to
{newest} of `ai.onnx`. This page is written by `make operators-page` from the tables that the compiler works by; a test holds
it to them.

| word | what becomes of a node |
| --- | --- |
| split | a kernel of the named kind, cut along its loops ([which they are](kernels.md)); of several kinds the first that can cut the node |
| rewritten | the named [pass](passes.md) writes it in other operators, which are split where they are listed as such |
| unsplit | one core computes it, with its data spread over others |
| host | it runs beside the wafer, on the host |
| refused | no model that holds it compiles |

Element-wise operators are also fused behind other kernels. A node whose form its kernel cannot cut is `batched` where that is
listed too, else unsplit; `wsec compile` says which and why. `fold-constants` computes what depends on no input of the model.
A tensor of strings, a sequence, an optional or a shape that the data decide moves any operator to the host.

Types are those of the first input that cores hold: *float* is float16, bfloat16, float and double; *int* is int8 to int64
and uint8 to uint64; *int4* is int4 and uint4.
"""


def write_page() -> str:
    """The page docs/operators.md."""
    from importlib.metadata import version

    lines = [
        _HEAD.format(
            onnx=version("onnx"), onnxruntime=version("onnxruntime"), oldest=OLDEST_OPSET, newest=NEWEST_OPSET
        )
    ]
    operators = list_operators()
    for domain, title in DOMAINS.items():
        lines += [
            f"## {title}",
            "",
            "| operator | opsets | what happens | types |",
            "| --- | --- | --- | --- |",
        ]
        lines += [
            f"| {each.name} | {each.versions} | {each.handling} | {each.types} |"
            for each in operators
            if each.domain == domain
        ]
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.stdout.write(write_page())
