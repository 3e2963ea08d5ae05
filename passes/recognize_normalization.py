"""Finds layer, RMS and instance normalisation that exporters wrote as arithmetic.

The search starts at the root of a variance and reads on to the largest value that is, as a polynomial,
(x - mean) scale / deviation + bias, in whatever order it was computed; for RMS without mean and bias. Statistics over
the last axes make LayerNormalization or RMSNormalization; over the spatial axes, with a scale for each channel,
InstanceNormalization. A variance may be the mean of squares less the square of the mean: the operator is then the more
accurate of the two. Where half-precision x is cast to single precision and the result back, the operator takes x as it
is: its statistics are in single precision by itself (`stash_type` 1). Double precision stays, as the standard would
narrow it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import onnx_ir as ir

from wsec.compiler.importer.shapes import static_shape
from wsec.passes.base import Pass, PassResult
from wsec.passes.formulas import FormulaReader, Monomial, Polynomial, collapse, cone_of, is_allowed, users_of
from wsec.passes.rewriting import Array, Rewriter, constant_of
from wsec.passes.variances import Variance, variance_of

if TYPE_CHECKING:
    from collections.abc import Sequence

_TYPES = frozenset({ir.DataType.FLOAT, ir.DataType.FLOAT16})
_LAYER_OPSET, _RMS_OPSET = 17, 23
_X, _MEAN, _INVERSE = ("x", 1), ("mean", 1), ("deviation", -1)


@dataclass(frozen=True)
class RecognizeNormalization(Pass):
    """Finds LayerNormalization, RMSNormalization and InstanceNormalization written as arithmetic."""

    name: ClassVar[str] = "recognize-normalization"

    def run(self, model: ir.Model) -> PassResult:
        """Formulas whose intermediate values nothing else reads and whose scale and bias are constant."""
        rewriter = Rewriter(model)
        for node in rewriter.nodes("Sqrt", "Pow"):
            variance = None if node.graph is None else variance_of(node)
            if variance is not None and is_allowed(model, _LAYER_OPSET if variance.centred else _RMS_OPSET):
                found = _largest(variance)
                if found is not None:
                    _replace(rewriter, found)
        return PassResult(modified=rewriter.modified)


@dataclass(frozen=True, slots=True)
class _Term:
    """A factor and the constants that it multiplies."""

    factor: float
    parameters: tuple[ir.Value, ...]


@dataclass(frozen=True, slots=True)
class _Match:
    """A normalisation: its nodes, root first; `source` is x; `channel` that the parameters are one for a channel."""

    variance: Variance
    cone: list[ir.Node]
    source: ir.Value
    scale: _Term
    bias: tuple[_Term, ...]
    channel: bool


def _largest(variance: Variance) -> _Match | None:
    """The match with the most nodes."""
    found: _Match | None = None
    for root in users_of(variance.deviation):
        match = _match(variance, root)
        if match is not None and (found is None or len(match.cone) > len(found.cone)):
            found = match
    return found


def _match(variance: Variance, root: ir.Node) -> _Match | None:
    output = root.outputs[0]
    whole = static_shape(variance.source)
    source = variance.source if output.dtype == variance.source.dtype else variance.narrow_source
    if whole is None or static_shape(output) != whole or source is None or output.dtype != source.dtype:
        return None
    if output.dtype not in _TYPES:
        return None
    symbols: dict[ir.Value, Monomial] = {
        variance.source: (_X,),
        source: (_X,),
        variance.deviation: ((_INVERSE[0], variance.exponent),),
    }
    symbols |= dict.fromkeys(variance.means, (_MEAN,))
    reader = FormulaReader(symbols, whole, variance.reduced, source.dtype)
    polynomial = reader.read(output)
    terms = None if polynomial is None else _terms(polynomial, reader.parameters, centred=variance.centred)
    if terms is None or any(value.dtype != output.dtype for value in reader.parameters.values()):
        return None
    shapes = [_padded(value, len(whole)) for value in reader.parameters.values()]
    per_channel = variance.axes == tuple(range(2, len(whole))) and variance.centred
    last = variance.axes == tuple(range(variance.axes[0], len(whole)))
    if last and all(set(shape[: variance.axes[0]]) <= {1} for shape in shapes):
        channel = False
    elif per_channel and all(set(shape[:1] + shape[2:]) <= {1} for shape in shapes):
        channel = True
    else:
        return None
    cone = cone_of(root, [source])
    return None if cone is None else _Match(variance, cone, source, terms[0], tuple(terms[1:]), channel)


def _terms(polynomial: Polynomial, parameters: dict[str, ir.Value], *, centred: bool) -> list[_Term] | None:
    """The scale, then the summands of the bias; None where the polynomial is no normalisation."""
    left = dict(polynomial)
    scaled = [monomial for monomial in left if _X in monomial]
    if len(scaled) != 1 or _INVERSE not in scaled[0]:
        return None
    factors = [factor for factor in scaled[0] if factor not in (_X, _INVERSE)]
    scale = left.pop(scaled[0])
    if centred:
        opposite = left.pop(tuple(sorted([*factors, _INVERSE, _MEAN])), None)
        if opposite is None or not math.isclose(opposite, -scale, rel_tol=1e-6):
            return None
    elif left:
        return None
    terms = []
    for monomial, factor in [(tuple(factors), scale), *left.items()]:
        if any(symbol not in parameters or power != 1 for symbol, power in monomial):
            return None
        terms.append(_Term(factor, tuple(parameters[symbol] for symbol, _ in monomial)))
    return terms


def _padded(value: ir.Value, rank: int) -> tuple[int, ...]:
    shape = static_shape(value) or ()
    return (1,) * (rank - len(shape)) + shape


def _replace(rewriter: Rewriter, match: _Match) -> None:
    variance = match.variance
    whole = static_shape(match.source) or ()
    if match.channel:
        shape: tuple[int, ...] = whole[1:2]
        broadcast = (1, shape[0], *(1,) * (len(whole) - 2))
    else:
        shape = whole[variance.axes[0] :]
        broadcast = shape
    stem = str(match.cone[0].name)
    dtype = match.cone[0].outputs[0].dtype or ir.DataType.FLOAT
    scale = _parameter(rewriter, f"{stem}_scale", dtype, (match.scale,), broadcast=broadcast, shape=shape)
    inputs = [match.source, scale]
    if match.bias or match.channel:
        inputs.append(
            _parameter(rewriter, f"{stem}_bias", dtype, match.bias, broadcast=broadcast, shape=shape)
        )
    attributes: dict[str, int | float | str] = {"epsilon": variance.epsilon}
    if not match.channel:
        attributes["axis"] = variance.axes[0]
    kind = "InstanceNormalization" if match.channel else "LayerNormalization"
    collapse(rewriter, match.cone, kind if variance.centred else "RMSNormalization", inputs, attributes)


def _parameter(
    rewriter: Rewriter,
    stem: str,
    dtype: ir.DataType,
    terms: Sequence[_Term],
    *,
    broadcast: tuple[int, ...],
    shape: tuple[int, ...],
) -> ir.Value:
    """The sum of the terms as a constant of this shape; a constant that already is the sum is used as it is."""
    if len(terms) == 1 and terms[0].factor == 1.0 and len(terms[0].parameters) == 1:
        only = terms[0].parameters[0]
        if static_shape(only) == shape:
            return only
    counts = [len(term.parameters) for term in terms]
    sources = [constant_of(value) for term in terms for value in term.parameters]

    def add_up(*arrays: Array) -> Array:
        remaining = iter(arrays)
        total: Any = np.zeros(broadcast)
        for term, count in zip(terms, counts, strict=True):
            product: Any = np.float64(term.factor)
            for _ in range(count):
                product = product * next(remaining).astype(np.float64)
            total = total + product
        return np.asarray(total).reshape(broadcast)

    known = [source for source in sources if source is not None]
    if not known:
        return rewriter.constant(stem, add_up().reshape(shape).astype(dtype.numpy()))
    return rewriter.derive(stem, known, shape, add_up)
