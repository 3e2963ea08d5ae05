"""Batched kernels: every core runs the operator on its part of the dimensions that the operator treats independently.

The cores' parts are laid side by side along those dimensions and onnxruntime runs the node on them once. That is what
the cores compute: by its definition the operator gives each part the same, whatever stands beside it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wsec.runtime.blocks import gather, scatter

if TYPE_CHECKING:
    from collections.abc import Mapping

    from wsec.compiler.plan import Kernel, KernelInput
    from wsec.runtime.element_types import Array
    from wsec.runtime.lowered_model import LoweredModel


def run_batched(kernel: Kernel, blocks: Mapping[str, Array], model: LoweredModel) -> tuple[Array, ...]:
    """Every core's blocks of every output in the record, or of the node's only one if a chain follows.

    Raises:
        KeyError: The lowered model has no such node or tensor.
        ValueError: Cores that should hold the same do not, as a link brought some of them too little.
        SESSION_ERRORS: onnxruntime cannot run the node.
    """
    (node,) = model.nodes(kernel.operators[:1])
    roles = [f"in{index}" if name else "" for index, name in enumerate(node.input)]
    operands = {
        item.role: _side_by_side(kernel, item, blocks[item.role]).reshape(model.value_shape(item.tensor))
        for item in kernel.inputs
        if item.role in roles
    }
    _, types = model.signature(node.name)
    names = [name for name in node.output if name][:1] if kernel.chain else [o.tensor for o in kernel.outputs]
    node.input[:] = roles
    results = model.sessions.run_nodes([node], operands, {name: types[name] for name in names})
    return tuple(
        scatter(result, item.sharding, kernel.mesh, 0)
        for result, item in zip(results, kernel.outputs, strict=True)
    )


def _side_by_side(kernel: Kernel, item: KernelInput, blocks: Array) -> Array:
    followed = {name for dimension in item.sharding.dimensions for name in dimension.axes}
    for axis, size in zip(kernel.mesh.axes, blocks.shape, strict=False):
        if size > 1 and axis.name not in followed:
            raise ValueError(f"cores along {axis.name} hold different elements of {item.role}")
    return np.asarray(gather(blocks, item.sharding, kernel.mesh))
