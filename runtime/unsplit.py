"""Unsplit kernels: the operands are put together on one core, onnxruntime runs the nodes, the results are spread again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wsec.runtime.blocks import gather, scatter

if TYPE_CHECKING:
    from collections.abc import Mapping

    from wsec.compiler.plan import Kernel
    from wsec.runtime.element_types import Array
    from wsec.runtime.lowered_model import LoweredModel


def run_unsplit(kernel: Kernel, blocks: Mapping[str, Array], model: LoweredModel) -> dict[str, Array]:
    """Every output of the kernel's nodes, as the cores hold it.

    Raises:
        KeyError: The lowered model has no such node or tensor.
        SESSION_ERRORS: onnxruntime cannot run the nodes.
    """
    mesh = kernel.mesh
    operands = {
        item.tensor: gather(blocks[item.role], item.sharding, mesh).reshape(model.value_shape(item.tensor))
        for item in kernel.inputs
    }
    types = {item.tensor: item.dtype for item in kernel.outputs}
    results = model.sessions.run_nodes(model.nodes(kernel.operators), operands, types)
    return {
        item.tensor: gather(scatter(result, item.sharding, mesh, 0), item.sharding, mesh)
        for item, result in zip(kernel.outputs, results, strict=True)
    }
