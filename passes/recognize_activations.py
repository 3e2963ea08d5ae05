"""Finds activation functions that exporters wrote as arithmetic.

Gelu by erf and by tanh, HardSigmoid, HardSwish, Mish and Softplus, softmax and its logarithm. A formula counts where it
is the function itself: x sigmoid(1.702 x) approximates Gelu and stays. Softplus and LogSoftmax are finite where the
spelled-out forms overflow to infinity or lose all digits; everywhere else numbers stay. exp(x) / sum exp(x) without the
maximum taken off is Softmax only where x is known to be too small to overflow: beyond that it gives NaN, or zero for
elements whose own exponential was finite.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import onnx_ir as ir

from wsec.compiler.importer.shapes import static_shape
from wsec.passes.base import Pass, PassResult
from wsec.passes.formulas import (
    FormulaReader,
    Polynomial,
    collapse,
    cone_of,
    is_allowed,
    is_near,
    producer_of,
    scalar_of,
    sources_of,
    users_of,
)
from wsec.passes.recognize_softmax import recognize_log_softmax, recognize_softmax
from wsec.passes.rewriting import Rewriter

_X, _A = ("x", 1), ("a", 1)
_TOLERANCE = {ir.DataType.FLOAT: 1e-5, ir.DataType.FLOAT16: 1e-3}
"""By element type, how far a constant of a formula may be from its exact value; other types are left alone."""


@dataclass(frozen=True)
class RecognizeActivations(Pass):
    """Finds Gelu, HardSwish, HardSigmoid, Mish, Softplus, Softmax and LogSoftmax written as arithmetic."""

    name: ClassVar[str] = "recognize-activations"

    def run(self, model: ir.Model) -> PassResult:
        """Formulas whose intermediate values nothing else reads."""
        rewriter = Rewriter(model)
        patterns = [pattern for pattern in _PATTERNS if is_allowed(model, pattern.since)]
        for node in rewriter.nodes(*dict.fromkeys(pattern.anchor for pattern in patterns)):
            if node.graph is not None:
                _recognize(
                    rewriter, node, [pattern for pattern in patterns if pattern.anchor == node.op_type]
                )
        for node in rewriter.nodes("Div", "Mul"):
            if node.graph is not None:
                recognize_softmax(rewriter, node)
        for node in rewriter.nodes("Log", "Sub"):
            if node.graph is not None:
                recognize_log_softmax(rewriter, node)
        return PassResult(modified=rewriter.modified)


@dataclass(frozen=True, slots=True)
class _Pattern:
    """An activation as polynomials of x and of a, the result of the operator it is anchored at.

    Attributes:
        anchor: The operator that is no arithmetic.
        bounds: The values of the attributes or scalar inputs of the anchor, as `_bounds` gives them.
        through: What the anchor's input is computed with; `Exp` means that the anchor reads a polynomial of exp(x).
        argument: The input of the anchor, by x (by `a` = through(x) where there is a `through`).
        result: What the activation gives, by x and a.
        op_type: The operator.
        attributes: Its attributes.
        since: The opset that brought it.
    """

    anchor: str
    argument: Polynomial
    result: Polynomial
    op_type: str
    attributes: tuple[tuple[str, str | float], ...] = ()
    bounds: tuple[float, ...] = ()
    through: str = ""
    since: int = 14


_HALF: Polynomial = {(_X,): 0.5, (_A, _X): 0.5}
_TANH = math.sqrt(2 / math.pi)
_SIXTH = (("alpha", 1 / 6), ("beta", 0.5))
_PATTERNS = (
    _Pattern("Erf", {(_X,): math.sqrt(0.5)}, _HALF, "Gelu", since=20),
    _Pattern(
        "Tanh",
        {(_X,): _TANH, (("x", 3),): 0.044715 * _TANH},
        _HALF,
        "Gelu",
        (("approximate", "tanh"),),
        since=20,
    ),
    _Pattern("Tanh", {(_A,): 1.0}, {(_A, _X): 1.0}, "Mish", through="Softplus", since=18),
    _Pattern("HardSigmoid", {(_X,): 1.0}, {(_A, _X): 1.0}, "HardSwish", bounds=(1 / 6, 0.5)),
    _Pattern("Clip", {(_X,): 1.0, (): 3.0}, {(_A, _X): 1 / 6}, "HardSwish", bounds=(0.0, 6.0)),
    _Pattern("Clip", {(_X,): 1 / 6, (): 0.5}, {(_A, _X): 1.0}, "HardSwish", bounds=(0.0, 1.0)),
    _Pattern("Clip", {(_X,): 1.0, (): 3.0}, {(_A,): 1 / 6}, "HardSigmoid", _SIXTH, bounds=(0.0, 6.0)),
    _Pattern("Log", {(_A,): 1.0, (): 1.0}, {(_A,): 1.0}, "Softplus", through="Exp"),
)


def _recognize(rewriter: Rewriter, anchor: ir.Node, patterns: list[_Pattern]) -> None:
    """Replace the arithmetic around an anchor by the first pattern that it is."""
    tolerance = _TOLERANCE.get(anchor.outputs[0].dtype or ir.DataType.UNDEFINED)
    if tolerance is None:
        return
    bounds = _bounds(anchor)
    for pattern in patterns:
        if len(bounds) == len(pattern.bounds) and all(
            abs(found - wanted) <= tolerance * max(1.0, wanted)
            for found, wanted in zip(bounds, pattern.bounds, strict=True)
        ):
            source = _argument(anchor, pattern, tolerance)
            cone = None if source is None else _result(anchor, pattern, source, tolerance)
            if source is not None and cone is not None:
                collapse(rewriter, cone, pattern.op_type, [source], dict(pattern.attributes))
                return


def _bounds(anchor: ir.Node) -> tuple[float, ...]:
    if anchor.op_type == "HardSigmoid":
        given = {name: attribute.as_float() for name, attribute in anchor.attributes.items()}
        return given.get("alpha", 0.2), given.get("beta", 0.5)
    if anchor.op_type == "Clip":
        found = [scalar_of(value) for value in anchor.inputs[1:]]
        return tuple(math.nan if number is None else number for number in found)
    return ()


def _argument(anchor: ir.Node, pattern: _Pattern, tolerance: float) -> ir.Value | None:
    """The x of which the input of the anchor is the polynomial that the pattern names."""
    given = anchor.inputs[0]
    shape = static_shape(anchor.outputs[0])
    for candidate in sources_of(given):
        inner = producer_of(candidate, pattern.through) if pattern.through else None
        if shape is None or static_shape(candidate) != shape or (pattern.through and inner is None):
            continue
        symbol = _A if pattern.through else _X
        if is_near(FormulaReader({candidate: (symbol,)}, shape).read(given), pattern.argument, tolerance):
            return candidate if inner is None else inner.inputs[0]
    return None


def _result(anchor: ir.Node, pattern: _Pattern, source: ir.Value, tolerance: float) -> list[ir.Node] | None:
    """The cone of the first value behind the anchor that is the polynomial that the pattern names."""
    output = anchor.outputs[0]
    shape = static_shape(output) or ()
    symbols = {source: (_X,), output: (_A,)}
    for root in [anchor, *users_of(output)]:
        if is_near(FormulaReader(symbols, shape).read(root.outputs[0]), pattern.result, tolerance):
            return cone_of(root, [source])
    return None
