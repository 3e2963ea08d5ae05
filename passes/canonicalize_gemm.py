"""Writes Gemm as MatMul and Add, with its transpositions and factors in the constants where they are constant."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from wsec.compiler.importer.shapes import static_shape
from wsec.passes.base import Pass, PassResult
from wsec.passes.rewriting import Array, Rewriter, constant_of

if TYPE_CHECKING:
    import onnx_ir as ir


@dataclass(frozen=True)
class CanonicalizeGemm(Pass):
    """Replaces alpha A B + beta C by a MatMul and an Add, folding transposed weights and the factors."""

    name: ClassVar[str] = "canonicalize-gemm"
    rewrites: ClassVar[tuple[str, ...]] = ("Gemm",)

    def run(self, model: ir.Model) -> PassResult:
        """Each Gemm of the main graph whose shapes are known."""
        rewriter = Rewriter(model)
        for node in rewriter.nodes("Gemm"):
            shape = static_shape(node.outputs[0])
            if shape is not None and all(v is None or static_shape(v) is not None for v in node.inputs):
                _rewrite(rewriter, node, shape)
        return PassResult(modified=rewriter.modified)


def _rewrite(rewriter: Rewriter, node: ir.Node, shape: tuple[int, ...]) -> None:
    alpha, beta = _float(node, "alpha"), _float(node, "beta")
    left, right = node.inputs[0], node.inputs[1]
    summand = node.inputs[2] if len(node.inputs) > 2 and beta != 0.0 else None
    if left is None or right is None:
        return
    left = _transposed(rewriter, node, left, "transA")
    right = _transposed(rewriter, node, right, "transB")
    if alpha != 1.0 and constant_of(right) is not None:
        right, alpha = _scaled(rewriter, node, right, alpha, "weights"), 1.0
    if alpha == 1.0 and summand is None:
        rewriter.become(node, "MatMul", [left, right])
        return
    product = rewriter.insert_before(node, "MatMul", [left, right], shape=shape, role="matmul")
    if summand is None:
        rewriter.become(node, "Mul", [product, _scalar(rewriter, node, alpha)])
        return
    if alpha != 1.0:
        product = _scaled(rewriter, node, product, alpha, "product")
    if beta != 1.0:
        summand = _scaled(rewriter, node, summand, beta, "bias")
    rewriter.become(node, "Add", [product, summand])


def _float(node: ir.Node, name: str) -> float:
    attribute = node.attributes.get(name)
    return 1.0 if attribute is None else attribute.as_float()


def _transposed(rewriter: Rewriter, node: ir.Node, value: ir.Value, flag: str) -> ir.Value:
    attribute = node.attributes.get(flag)
    shape = static_shape(value)
    if attribute is None or attribute.as_int() == 0 or shape is None:
        return value
    constant = constant_of(value)
    if constant is not None:
        return rewriter.derive(f"{value.name}_transposed", [constant], shape[::-1], np.transpose)
    return rewriter.insert_before(
        node, "Transpose", [value], shape=shape[::-1], role=f"{flag}_transposed", attributes={"perm": [1, 0]}
    )


def _scaled(rewriter: Rewriter, node: ir.Node, value: ir.Value, factor: float, role: str) -> ir.Value:
    shape = static_shape(value) or ()
    constant = constant_of(value)
    if constant is None:
        operands = [value, _scalar(rewriter, node, factor)]
        return rewriter.insert_before(node, "Mul", operands, shape=shape, role=f"scaled_{role}")

    def scale(array: Array) -> Array:
        result: Array = array * np.asarray(factor, dtype=array.dtype)
        return result

    return rewriter.derive(f"{value.name}_scaled", [constant], shape, scale)


def _scalar(rewriter: Rewriter, node: ir.Node, factor: float) -> ir.Value:
    dtype = node.outputs[0].dtype
    return rewriter.constant(
        f"{node.name}_factor", np.asarray(factor, np.float32 if dtype is None else dtype.numpy())
    )
