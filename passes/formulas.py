"""Reads arithmetic out of a graph as polynomials, so that a formula is found in whatever order it was written.

A value is expanded through sums, products, integer powers and divisions until it meets a value that has a symbol.
0.5 x (1 + erf u), x (0.5 + erf u / 2) and 0.5 x + 0.5 x erf u are all the polynomial {x: 0.5, e x: 0.5}. Every search is
bounded, so that a pass which runs one for each node stays linear.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from wsec.compiler.absent_weights import is_absent
from wsec.compiler.importer.shapes import static_shape
from wsec.passes.rewriting import constant_of, is_cheap

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    import onnx_ir as ir

    from wsec.passes.rewriting import Rewriter

Monomial = tuple[tuple[str, int], ...]
"""Symbols with their exponents, sorted; `()` is the constant one."""

Polynomial = dict[Monomial, float]

_READ_LIMIT = 32
_TERM_LIMIT = 8
_SEARCH_LIMIT = 16
_CONE_LIMIT = 48
_ARITHMETIC = frozenset({"Add", "Cast", "Div", "Mul", "Neg", "Pow", "Reciprocal", "Reshape", "Sub", "Sum"})


def producer_of(value: ir.Value | None, *op_types: str) -> ir.Node | None:
    """The node of ai.onnx that computes the value, where it is one of these operators."""
    node = None if value is None else value.producer()
    return node if node is not None and node.domain == "" and node.op_type in op_types else None


def scalar_of(value: ir.Value | None) -> float | None:
    """The number in a constant of one element of a real type."""
    tensor = constant_of(value)
    if (
        tensor is None
        or is_absent(tensor)
        or tensor.size != 1
        or not (tensor.dtype.is_floating_point() or tensor.dtype.is_integer())
    ):
        return None
    return float(tensor.numpy().ravel()[0])


def without_ones(shape: Iterable[int]) -> tuple[int, ...]:
    """The extents other than one; a Reshape that keeps them moves nothing."""
    return tuple(extent for extent in shape if extent != 1)


class FormulaReader:
    """Expands values into polynomials.

    Attributes:
        parameters: By symbol, the constants of more than one element that were met.
    """

    def __init__(
        self,
        symbols: Mapping[ir.Value, Monomial],
        whole: tuple[int, ...],
        reduced: tuple[int, ...] | None = None,
        narrow: ir.DataType | None = None,
    ) -> None:
        """What to stop at.

        Args:
            symbols: Values that are not expanded further, and what they stand for.
            whole: The shape of the result.
            reduced: The shape in which a statistic must meet a value of the shape `whole`.
            narrow: Casts to this type are read through.
        """
        self.parameters: dict[str, ir.Value] = {}
        self._symbols = symbols
        self._whole = whole
        self._reduced = reduced
        self._narrow = narrow
        self._budget = _READ_LIMIT

    def read(self, value: ir.Value | None) -> Polynomial | None:
        """The polynomial of a value; None where it is none, or is too long."""
        self._budget -= 1
        if value is None or self._budget < 0:
            return None
        if value in self._symbols:
            return {self._symbols[value]: 1.0}
        number = scalar_of(value)
        if number is not None:
            return {(): number}
        if constant_of(value) is not None:
            symbol = f"={value.name}"
            self.parameters[symbol] = value
            return {((symbol, 1),): 1.0}
        node = value.producer()
        if node is None or node.domain != "" or not self._is_aligned(node):
            return None
        rule = _RULES.get(node.op_type)
        return None if rule is None else rule(self, node)

    def _is_aligned(self, node: ir.Node) -> bool:
        """Whether no operand is broadcast in another way than a statistic over the whole."""
        shape = static_shape(node.outputs[0])
        if node.op_type == "Reshape":
            before = None if node.inputs[0] is None else static_shape(node.inputs[0])
            return None not in (shape, before) and without_ones(shape or ()) == without_ones(before or ())
        allowed = {shape, self._reduced} if shape == self._whole else {shape}
        operands = [value for value in node.inputs if value is not None and constant_of(value) is None]
        return shape is not None and all(static_shape(operand) in allowed for operand in operands)

    def cast(self, node: ir.Node) -> Polynomial | None:
        """A cast to the narrow type changes the rounding only."""
        return self.read(node.inputs[0]) if node.outputs[0].dtype == self._narrow is not None else None


def _sum(reader: FormulaReader, node: ir.Node) -> Polynomial | None:
    sign = -1.0 if node.op_type == "Sub" else 1.0
    total: Polynomial = {}
    for index, value in enumerate(node.inputs):
        part = reader.read(value)
        if part is None:
            return None
        for monomial, factor in part.items():
            total[monomial] = total.get(monomial, 0.0) + (sign if index else 1.0) * factor
    return {key: factor for key, factor in total.items() if factor} if len(total) <= _TERM_LIMIT else None


def _multiply(left: Polynomial | None, right: Polynomial | None) -> Polynomial | None:
    if left is None or right is None or len(left) * len(right) > _TERM_LIMIT:
        return None
    product: Polynomial = {}
    for one, factor in left.items():
        for other, second in right.items():
            exponents = dict(one)
            for symbol, exponent in other:
                exponents[symbol] = exponents.get(symbol, 0) + exponent
            monomial = tuple(sorted((symbol, power) for symbol, power in exponents.items() if power))
            product[monomial] = product.get(monomial, 0.0) + factor * second
    return product


def _inverse(polynomial: Polynomial | None) -> Polynomial | None:
    if polynomial is None or len(polynomial) != 1:
        return None
    ((monomial, factor),) = polynomial.items()
    return {tuple((symbol, -power) for symbol, power in monomial): 1.0 / factor} if factor else None


def _product(reader: FormulaReader, node: ir.Node) -> Polynomial | None:
    return _multiply(reader.read(node.inputs[0]), reader.read(node.inputs[1]))


def _quotient(reader: FormulaReader, node: ir.Node) -> Polynomial | None:
    dtype = node.outputs[0].dtype
    if dtype is None or not dtype.is_floating_point():
        return None  # a division of integers rounds
    return _multiply(reader.read(node.inputs[0]), _inverse(reader.read(node.inputs[1])))


def _power(reader: FormulaReader, node: ir.Node) -> Polynomial | None:
    exponent = scalar_of(node.inputs[1])
    base = reader.read(node.inputs[0]) if exponent in (1.0, 2.0, 3.0) else None
    result = base
    for _ in range(int(exponent or 1) - 1):
        result = _multiply(result, base)
    return result


_RULES: dict[str, Callable[[FormulaReader, ir.Node], Polynomial | None]] = {
    "Add": _sum,
    "Cast": lambda reader, node: reader.cast(node),
    "Div": _quotient,
    "Mul": _product,
    "Neg": lambda reader, node: _multiply({(): -1.0}, reader.read(node.inputs[0])),
    "Pow": _power,
    "Reciprocal": lambda reader, node: _inverse(reader.read(node.inputs[0])),
    "Reshape": lambda reader, node: reader.read(node.inputs[0]),
    "Sub": _sum,
    "Sum": _sum,
}


def is_near(found: Polynomial | None, wanted: Polynomial, tolerance: float) -> bool:
    """Whether two polynomials have the same terms, with factors equal up to a relative tolerance."""
    return (
        found is not None
        and found.keys() == wanted.keys()
        and all(abs(found[key] - factor) <= tolerance * abs(factor) for key, factor in wanted.items())
    )


def sources_of(value: ir.Value | None) -> list[ir.Value]:
    """The value and what it is computed from by arithmetic, nearest first; not constants, and not without bound."""
    found = [] if value is None else [value]
    for current in found:
        node = producer_of(current, *_ARITHMETIC)
        if node is None or len(found) > _SEARCH_LIMIT:
            continue
        found += [
            operand
            for operand in dict.fromkeys(node.inputs)
            if operand is not None and operand not in found and constant_of(operand) is None
        ]
    return found


def users_of(value: ir.Value) -> list[ir.Node]:
    """The arithmetic that follows from a value, nearest first; not without bound."""
    found: list[ir.Node] = []
    frontier = [value]
    for current in frontier:
        for use in current.uses():
            node = use.node
            if (
                len(found) < _SEARCH_LIMIT
                and node not in found
                and node.domain == ""
                and node.op_type in _ARITHMETIC
            ):
                found.append(node)
                frontier.append(node.outputs[0])
    return found


def cone_of(root: ir.Node, leaves: Iterable[ir.Value]) -> list[ir.Node] | None:
    """The nodes that compute `root` from the leaves and constants, itself first.

    None where one of them has another user, so that it would have to stay, or depends on something else.
    """
    ends = set(leaves)
    nodes = [root]
    members = {root}
    for node in nodes:
        for value in node.inputs:
            if value is None or value in ends or constant_of(value) is not None:
                continue
            inner = value.producer()
            if inner is None or inner.graph is not root.graph or len(nodes) > _CONE_LIMIT:
                return None
            if inner not in members:
                members.add(inner)
                nodes.append(inner)
    for node in nodes[1:]:
        for value in node.outputs:
            if value.is_graph_output() or any(use.node not in members for use in value.uses()):
                return None
    return nodes


def collapse(
    rewriter: Rewriter,
    cone: list[ir.Node],
    op_type: str,
    inputs: list[ir.Value],
    attributes: dict[str, int | float | str] | None = None,
) -> None:
    """Turn the root of a cone into one operator and remove the rest of it."""
    rewriter.become(cone[0], op_type, inputs, attributes)
    rewriter.graph.remove(cone[1:], safe=True)


def reads_weights_cheaply(value: ir.Value) -> bool:
    """Whether a constant is small enough to be looked at."""
    tensor = constant_of(value)
    return tensor is not None and is_cheap(tensor, 1 << 20, 1 << 14)


def is_allowed(model: ir.Model, version: int) -> bool:
    """Whether the model follows at least this opset of ai.onnx, which introduced an operator."""
    return model.graph.opset_imports.get("", 0) >= version
