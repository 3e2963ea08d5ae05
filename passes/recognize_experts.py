"""Finds mixtures of experts that exporters wrote as operators: a router, every expert for every row, a weighted sum.

Anchored at the TopK of the router's logits. Its shares, a softmax of the best or the best of a softmax, are scattered into a
table [rows, experts], of which each expert's result is multiplied with a column. Where all experts are alike and their
results, nothing else, are added, the sum becomes one MoE of com.microsoft; dead code goes. So does the form that picks weights by
the indices of TopK (`indexed_experts`). A table that other operators read as
well stays beside it. Linear in the nodes: of each expert a bounded number is looked at.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from wsec.compiler.importer.shapes import static_shape
from wsec.passes.base import Pass, PassResult
from wsec.passes.dead_code import EliminateDeadCode
from wsec.passes.expert_bodies import Body, read_body, read_product
from wsec.passes.expert_weights import stack_biases, stack_matrices, stacked_matrix
from wsec.passes.formulas import producer_of, reads_weights_cheaply
from wsec.passes.indexed_experts import read_indexed
from wsec.passes.legalization.emission import Emission
from wsec.passes.rewriting import Rewriter, constant_of, integers_of, only_user

if TYPE_CHECKING:
    import onnx_ir as ir

_DOMAIN = "com.microsoft"


@dataclass(frozen=True)
class RecognizeExperts(Pass):
    """Finds mixtures of experts written as a router, an expert after the other and a weighted sum."""

    name: ClassVar[str] = "recognize-experts"

    def run(self, model: ir.Model) -> PassResult:
        """Each TopK of the main graph whose shares weight the results of experts."""
        rewriter = Rewriter(model)
        for node in rewriter.nodes("TopK"):
            for router in _read_routers(node):
                _recognize(rewriter, router)
        if rewriter.modified:
            model.graph.opset_imports.setdefault(_DOMAIN, 1)
            EliminateDeadCode().run(model)
        return PassResult(modified=rewriter.modified)


@dataclass(frozen=True, slots=True)
class _Router:
    """The logits [rows, experts], how many are chosen, whether their shares add up to one, the shares, and their table, if any."""

    logits: ir.Value
    chosen: int
    normalized: bool
    shares: ir.Value
    which: ir.Value
    table: ir.Value | None


def _read_routers(topk: ir.Node) -> list[_Router]:
    """What the indices of a TopK may be used for: a table of shares, or to pick weights."""
    logits, count = topk.inputs[0], integers_of(topk.inputs[1])
    shape = None if logits is None else static_shape(logits)
    if logits is None or shape is None or len(shape) != 2 or count is None:
        return []
    axis = topk.attributes["axis"].as_int() if "axis" in topk.attributes else -1
    largest = topk.attributes["largest"].as_int() if "largest" in topk.attributes else 1
    if axis not in {-1, 1} or not largest:
        return []
    which, found = topk.outputs[1], []
    tables: dict[ir.Value, ir.Value] = {
        scatter.inputs[2]: scatter.outputs[0]
        for scatter in (use.node for use in which.uses())
        if not scatter.domain
        and scatter.op_type == "ScatterElements"
        and scatter.inputs[2] is not None
        and _fills_zeros(scatter, shape)
    }
    picks = any(use.node.op_type == "Gather" and not use.node.domain for use in which.uses())
    for shares in dict.fromkeys((*tables, *(_candidates(topk) if picks else ()))):
        known = _shares(shares, topk)
        if known is not None:
            found.append(_Router(known[0], count[0], known[1], shares, which, tables.get(shares)))
    return found


def _candidates(topk: ir.Node) -> list[ir.Value]:
    """The best logits or shares themselves, and what is computed from them in one step."""
    best = topk.outputs[0]
    return [best, *(use.node.outputs[0] for use in best.uses() if use.node.op_type in {"Div", "Softmax"})]


def _fills_zeros(node: ir.Node, shape: tuple[int, ...]) -> bool:
    """Whether a ScatterElements writes into a table of zeros of this shape, along its columns."""
    table = node.inputs[0]
    axis = node.attributes["axis"].as_int() if "axis" in node.attributes else 0
    plain = "reduction" not in node.attributes or node.attributes["reduction"].as_string() == "none"
    if table is None or axis not in {-1, 1} or not plain or static_shape(table) != shape:
        return False
    tensor = constant_of(table)
    return tensor is not None and reads_weights_cheaply(table) and not np.any(tensor.numpy())


def _shares(value: ir.Value | None, topk: ir.Node) -> tuple[ir.Value, bool] | None:
    """The logits that shares come from, and whether they are normalised over the chosen ones."""
    best, given = topk.outputs[0], topk.inputs[0]
    softmax = producer_of(value, "Softmax")
    if softmax is not None and softmax.inputs[0] is best and given is not None:
        return (given, True) if _is_last(softmax) else None
    before = producer_of(given, "Softmax")
    if before is None or before.inputs[0] is None or not _is_last(before):
        return None
    if value is best:
        return before.inputs[0], False
    quotient = producer_of(value, "Div")
    total = producer_of(quotient.inputs[1], "ReduceSum") if quotient is not None else None
    if quotient is None or total is None or quotient.inputs[0] is not best or total.inputs[0] is not best:
        return None
    axes = integers_of(total.inputs[1]) if len(total.inputs) > 1 else None
    return (before.inputs[0], True) if axes in {(-1,), (1,)} else None


def _is_last(softmax: ir.Node) -> bool:
    axis = softmax.attributes["axis"].as_int() if "axis" in softmax.attributes else -1
    return axis in {-1, 1}


def _recognize(rewriter: Rewriter, router: _Router) -> None:
    """Replace the sum of all experts' weighted results by MoE."""
    if router.table is None:
        _recognize_indexed(rewriter, router)
        return
    columns = _columns(router.table)
    shape = static_shape(router.table)
    if shape is None or sorted(columns) != list(range(shape[1])):
        return
    weighted, bodies = [], []
    for expert in range(shape[1]):
        product = only_user(columns[expert])
        result = None if product is None else _other_factor(product, columns[expert])
        body = None if result is None else read_body(result, read_product)
        if product is None or body is None:
            return
        weighted.append(product.outputs[0])
        bodies.append(body)
    root = _sum_of(weighted)
    if root is None or not _alike(bodies):
        return
    emit = Emission(rewriter, root, {})
    _replace(rewriter, root, emit, _emit(emit, router, bodies))


def _recognize_indexed(rewriter: Rewriter, router: _Router) -> None:
    """The same where weights are picked by index."""
    found = read_indexed(router.which, router.shares)
    if found is None:
        return
    emit, body = Emission(rewriter, found.root, {}), found.body
    inputs: list[ir.Value | None] = []
    for product in (body.first, body.second, *([body.third] if body.third is not None else [])):
        inputs += [stacked_matrix(emit, product), product.bias]
    mixture = _mixture(emit, router, body, inputs) if None not in inputs[::2] else None
    shape = static_shape(found.root.outputs[0])
    if mixture is not None and shape != static_shape(body.x) and shape is not None:
        mixture = emit.reshape(mixture, *shape)
    _replace(rewriter, found.root, emit, mixture)


def _replace(rewriter: Rewriter, root: ir.Node, emit: Emission, mixture: ir.Value | None) -> None:
    if mixture is None:
        emit.withdraw()
    else:
        rewriter.replace(root, [mixture])


def _columns(table: ir.Value) -> dict[int, ir.Value]:
    """For each expert the column of its shares, [rows, 1]."""
    found: dict[int, ir.Value] = {}
    for use in table.uses():
        node, place = use.node, _column_of(use.node)
        if place is None:
            continue
        value = node.outputs[0]
        if len(static_shape(value) or ()) == 1:
            user = only_user(value)
            if user is None or user.op_type not in {"Reshape", "Unsqueeze"}:
                continue
            value = user.outputs[0]
        shape = static_shape(table)
        if shape is not None and static_shape(value) == (shape[0], 1):
            found[place] = value
    return found


def _column_of(node: ir.Node) -> int | None:
    """Which column of a table a Gather or Slice takes."""
    if node.domain:
        return None
    if node.op_type == "Gather":
        index = integers_of(node.inputs[1])
        axis = node.attributes["axis"].as_int() if "axis" in node.attributes else 0
        return index[0] if index is not None and len(index) == 1 and axis in {-1, 1} else None
    if node.op_type == "Slice" and len(node.inputs) > 3:
        start, axes = integers_of(node.inputs[1]), integers_of(node.inputs[3])
        return start[0] if start is not None and axes in {(-1,), (1,)} else None
    return None


def _other_factor(node: ir.Node, value: ir.Value) -> ir.Value | None:
    if node.domain or node.op_type != "Mul":
        return None
    return node.inputs[1] if node.inputs[0] is value else node.inputs[0]


def _sum_of(parts: list[ir.Value]) -> ir.Node | None:
    """The node whose output is the sum of all parts and of nothing else."""
    counted = dict.fromkeys(parts, 1)
    frontier = list(parts)
    for value in frontier:
        node = only_user(value)
        if node is None or node.domain or node.op_type not in {"Add", "Sum"}:
            return None
        if any(operand not in counted for operand in node.inputs):
            continue
        output = node.outputs[0]
        if output in counted:
            continue
        counted[output] = sum(counted[operand] for operand in node.inputs if operand is not None)
        if counted[output] == len(parts):
            return node
        frontier.append(output)
    return None


def _alike(bodies: list[Body]) -> bool:
    """Whether all experts read the same rows and compute the same."""
    first = bodies[0]
    return all(
        body.x is first.x
        and body.activation == first.activation
        and (body.third is None) == (first.third is None)
        for body in bodies
    )


def _emit(emit: Emission, router: _Router, bodies: list[Body]) -> ir.Value | None:
    if len(static_shape(bodies[0].x) or ()) != 2:
        return None
    inputs: list[ir.Value | None] = []
    groups = [[body.first for body in bodies], [body.second for body in bodies]]
    thirds = [body.third for body in bodies if body.third is not None]
    for products in (*groups, *([thirds] if thirds else [])):
        matrix = stack_matrices(emit, products)
        fits, biases = stack_biases(emit, products)
        if matrix is None or not fits:
            return None
        inputs += [matrix, biases]
    return _mixture(emit, router, bodies[0], inputs)


def _mixture(emit: Emission, router: _Router, body: Body, weights: list[ir.Value | None]) -> ir.Value:
    activation = body.activation
    attributes: dict[str, Any] = {
        "activation_type": activation.name,
        "k": router.chosen,
        "normalize_routing_weights": int(router.normalized),
        "swiglu_fusion": activation.fusion,
    }
    if activation.name == "swiglu":
        attributes |= {"activation_alpha": activation.alpha, "activation_beta": activation.beta}
        if activation.limit is not None:
            attributes["swiglu_limit"] = activation.limit
    return emit("MoE", body.x, router.logits, *weights, domain=_DOMAIN, dtype=body.x.dtype, **attributes)
