"""Checks mixtures of experts and weights in blocks, which no schema of ONNX judges: before any pass relies on their form."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from wsec.compiler.errors import WsecError
from wsec.compiler.importer.node_checks import SHOWN
from wsec.compiler.importer.shapes import static_shape

if TYPE_CHECKING:
    from collections.abc import Iterator

    import onnx_ir as ir

_DOMAIN = "com.microsoft"
_MIXTURES = frozenset({"MoE", "QMoE"})
_BLOCK_BITS = (2, 4, 8)  # of MatMulNBits
_EXPERT_BITS = (2, 4, 8)
_MXFP4 = "fp4"
_ACTIVATIONS = ("geglu", "gelu", "identity", "relu", "relu2", "silu", "swiglu")
_JOINED = frozenset({"geglu", "swiglu"})


class _Finding(NamedTuple):
    code: str
    where: str
    expected: str
    found: str


def check_mixtures(model: ir.Model) -> None:
    """Check every MoE, QMoE and MatMulNBits of the main graph.

    Raises:
        WsecError: WSEC140 more experts are chosen than exist, WSEC141 operands of a mixture do not fit together, WSEC142 a
            quantisation is not known, WSEC143 a mixture has an activation or routing that is not known.
    """
    findings = [
        finding
        for index, node in enumerate(model.graph)
        if node.domain == _DOMAIN
        for finding in _judge(node, f"node {index} {node.name!r} ({node.op_type})")
    ]
    for code, (what, hint) in _ERRORS.items():
        own = [finding for finding in findings if finding.code == code]
        if own:
            raise _error(code, what, hint, own)


_ERRORS = {
    "WSEC143": (
        "a mixture of experts has a form that is not known",
        "export the model with another activation or routing",
    ),
    "WSEC142": (
        "weights are quantised in a way that is not known",
        "quantise to 4 or 8 bits in blocks, or to MXFP4",
    ),
    "WSEC141": (
        "the operands of a mixture of experts do not fit together",
        "export the model again; the weights may be packed in other bits than the operator says",
    ),
    "WSEC140": (
        "a mixture of experts chooses more experts than it has",
        "lower the attribute k, or give the model all of its experts",
    ),
}


def _error(code: str, what: str, hint: str, found: list[_Finding]) -> WsecError:
    rest = [f"and {len(found) - SHOWN} more"] if len(found) > SHOWN else []
    return WsecError(
        code,
        what,
        where="\n".join([*(each.where for each in found[:SHOWN]), *rest]),
        expected="\n".join(dict.fromkeys(each.expected for each in found)),
        found="\n".join(dict.fromkeys(each.found for each in found)),
        hint=hint,
    )


def _judge(node: ir.Node, where: str) -> Iterator[_Finding]:
    if node.op_type == "MatMulNBits":
        bits = _integer(node, "bits", 4)
        if bits not in _BLOCK_BITS:
            expected = f"{', '.join(map(str, _BLOCK_BITS))} bits"
            yield _Finding("WSEC142", where, expected, f"{bits} bits")
    if node.op_type not in _MIXTURES:
        return
    yield from _known_form(node, where)
    if node.op_type == "QMoE":
        yield from _known_quantisation(node, where)
    yield from _fitting_operands(node, where)


def _known_form(node: ir.Node, where: str) -> Iterator[_Finding]:
    activation = _text(node, "activation_type", "relu")
    if activation not in _ACTIVATIONS:
        yield _Finding("WSEC143", where, f"one of {', '.join(_ACTIVATIONS)}", f"activation_type {activation}")
    if _integer(node, "use_sparse_mixer", 0):
        yield _Finding("WSEC143", where, "routing by a softmax of the logits", "use_sparse_mixer 1")
    fusion = _integer(node, "swiglu_fusion", 0)
    if fusion not in {0, 1, 2}:
        yield _Finding("WSEC143", where, "swiglu_fusion 0, 1 or 2", f"swiglu_fusion {fusion}")
    elif activation in _JOINED and fusion == 0 and not _has(node, _third(node)):
        yield _Finding(
            "WSEC143", where, f"a third matrix, or both factors of {activation} in the first", "neither"
        )


def _known_quantisation(node: ir.Node, where: str) -> Iterator[_Finding]:
    kind = _text(node, "quant_type", "int")
    if kind == _MXFP4:
        return
    inherited = _integer(node, "expert_weight_bits", 4)
    bits = [_integer(node, f"fc{number}_expert_weight_bits", inherited) for number in (1, 2, 3)]
    unknown = [each for each in dict.fromkeys(bits) if each not in _EXPERT_BITS]
    if kind != "int":
        yield _Finding("WSEC142", where, "quant_type int or fp4", f"quant_type {kind}")
    elif unknown:
        expected = f"{', '.join(map(str, _EXPERT_BITS))} bits"
        yield _Finding("WSEC142", where, expected, f"{', '.join(map(str, unknown))} bits")


def _fitting_operands(node: ir.Node, where: str) -> Iterator[_Finding]:
    step = 3 if node.op_type == "QMoE" else 2  # inputs of one matrix
    x, router = (_shape(node, index) for index in (0, 1))
    first, second = _shape(node, 2), _shape(node, 2 + step)
    if x is None or router is None or first is None or second is None:
        return
    shown = f"input {list(x)}, router {list(router)}, matrices {list(first)} and {list(second)}"
    rows = math.prod(x[:-1])
    if len(x) not in {2, 3} or len(router) != 2 or len(first) != 3 or len(second) != 3 or router[0] != rows:
        expected = "rows [rows, hidden] or [samples, positions, hidden], logits [rows, experts], matrices [experts, N, K]"
        yield _Finding("WSEC141", where, expected, shown)
        return
    experts, hidden = first[0], x[-1]
    joined = _text(node, "activation_type", "relu") in _JOINED and _integer(node, "swiglu_fusion", 0) > 0
    inner = first[1] // 2 if joined else first[1]
    per_byte = _codes_per_byte(node)
    sizes = (experts, inner * (2 if joined else 1), hidden), (experts, hidden, inner)
    held = tuple((*shape[:2], shape[2] * each) for shape, each in zip((first, second), per_byte, strict=True))
    if held != sizes or router[1] != experts:
        expected = f"logits of {experts} experts, matrices that hold {list(sizes[0])} and {list(sizes[1])}"
        yield _Finding("WSEC141", where, expected, shown)
        return
    chosen = _integer(node, "k", 1)
    if not 1 <= chosen <= experts:
        yield _Finding("WSEC140", where, f"k from 1 to {experts}, the number of experts", f"k {chosen}")


def _codes_per_byte(node: ir.Node) -> tuple[int, int]:
    """Elements of both matrices in one of theirs as they are stored."""
    if node.op_type != "QMoE":
        return 1, 1
    inherited = 4 if _text(node, "quant_type", "int") == _MXFP4 else _integer(node, "expert_weight_bits", 4)
    first, second = (
        8 // max(1, _integer(node, f"fc{number}_expert_weight_bits", inherited)) for number in (1, 2)
    )
    return first, second


def _third(node: ir.Node) -> int:
    return 8 if node.op_type == "QMoE" else 6


def _has(node: ir.Node, index: int) -> bool:
    return index < len(node.inputs) and node.inputs[index] is not None


def _shape(node: ir.Node, index: int) -> tuple[int, ...] | None:
    value = node.inputs[index] if index < len(node.inputs) else None
    return None if value is None else static_shape(value)


def _integer(node: ir.Node, name: str, default: int) -> int:
    return node.attributes[name].as_int() if name in node.attributes else default


def _text(node: ir.Node, name: str, default: str) -> str:
    return node.attributes[name].as_string() if name in node.attributes else default
