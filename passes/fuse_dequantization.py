"""Keeps weights of few bits as they are: the kernel of a product dequantises its own block of them on each core.

The graph stays standard ONNX. A DequantizeLinear of constants in front of a product carries the metadata `wsec.kind` and the
name of the product's kernel; one that several products read is repeated for each, as its codes are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from wsec.compiler.importer.shapes import static_shape
from wsec.compiler.operators import KERNEL_KEY, KIND_KEY, WEIGHTS_KIND, WEIGHTS_OPERANDS
from wsec.passes.base import Pass, PassResult
from wsec.passes.rewriting import Rewriter, constant_of

if TYPE_CHECKING:
    import onnx_ir as ir


@dataclass(frozen=True)
class FuseDequantization(Pass):
    """Annotates DequantizeLinear of constant weights and the product that reads them as one kernel."""

    name: ClassVar[str] = "fuse-dequantization"

    def run(self, model: ir.Model) -> PassResult:
        """Each product of the main graph one of whose matrices is a constant of few bits."""
        rewriter = Rewriter(model)
        modified = False
        for node in list(model.graph):
            for index in WEIGHTS_OPERANDS.get((node.domain, node.op_type), ()):
                source = _source(rewriter, node, index)
                label = {KIND_KEY: WEIGHTS_KIND, KERNEL_KEY: str(node.name)}
                if source is not None and any(
                    source.metadata_props.get(key) != value for key, value in label.items()
                ):
                    source.metadata_props.update(label)
                    modified = True
        return PassResult(modified=modified or rewriter.modified)


def _source(rewriter: Rewriter, node: ir.Node, index: int) -> ir.Node | None:
    """What dequantises a constant for this operand of the node alone; None where the operand is something else."""
    weights = node.inputs[index] if index < len(node.inputs) else None
    source = None if weights is None else weights.producer()
    if weights is None or source is None or not _dequantizes_constants(source):
        return None
    if len(weights.uses()) == 1 and not weights.is_graph_output():
        return source
    copy = rewriter.insert_before(
        node,
        "DequantizeLinear",
        source.inputs,
        shape=static_shape(weights),
        role="weights",
        attributes={name: attribute.value for name, attribute in source.attributes.items()},
        dtype=weights.dtype,
    )
    node.replace_input_with(index, copy)
    return copy.producer()


def _dequantizes_constants(node: ir.Node) -> bool:
    if node.domain != "" or node.op_type != "DequantizeLinear":
        return False
    return all(value is None or constant_of(value) is not None for value in node.inputs)
