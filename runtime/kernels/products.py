"""Products of blocks whose partial sums are added along the mesh, and the matrix product."""

from __future__ import annotations

from operator import add
from typing import TYPE_CHECKING

from wsec.runtime.collectives import combine
from wsec.runtime.contraction import Operand, SummedAxis, contract
from wsec.runtime.kernels.arguments import input_sharding, output_sharding
from wsec.runtime.kernels.quantization import factor, finished
from wsec.runtime.kernels.shifted_products import shifted_product

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from wsec.compiler.plan import Kernel
    from wsec.runtime.element_types import Array


def matmul(kernel: Kernel, blocks: Mapping[str, Array]) -> Array:
    """MatMul: `a` [B, m, k], `b` [B, k, n] to [B, m, n]; the batch dimensions broadcast. Factors may be quantised."""
    a, b, out = matrix_labels(kernel)
    if kernel.rotation is not None:
        sums = shifted_product(kernel, kernel.rotation, (blocks["a"], a), (blocks["b"], b), out)
        return finished(kernel, blocks, ("a", "b"), sums)
    result = contract_on_mesh(kernel, (factor(kernel, blocks, "a"), a), (factor(kernel, blocks, "b"), b), out)
    return finished(kernel, blocks, ("a", "b"), result)


def matrix_labels(kernel: Kernel) -> tuple[tuple[str, ...], ...]:
    """Loops that the dimensions of `a`, `b` and the result of a matmul follow; a factor may lack leading ones of the batch."""
    summed, columns = loop_labels(kernel, "k"), loop_labels(kernel, "n")
    inner = ("m", *summed), (*summed, *columns), ("m", *columns)
    shardings = input_sharding(kernel, "a"), input_sharding(kernel, "b"), output_sharding(kernel)
    ranks = [len(sharding.dimensions) - len(names) for sharding, names in zip(shardings, inner, strict=True)]
    batch = tuple(f"b{index}" for index in range(ranks[2]))
    a, b, out = ((*batch[len(batch) - rank :], *names) for rank, names in zip(ranks, inner, strict=True))
    return a, b, out


def loop_labels(kernel: Kernel, name: str) -> tuple[str, ...]:
    """The loop of that name, or its parts where the kernel sees it as several."""
    extents = kernel.arguments.get(f"parts_{name}")
    return tuple(f"{name}_{at}" for at in range(len(extents))) if isinstance(extents, tuple) else (name,)


def contract_on_mesh(
    kernel: Kernel,
    first: tuple[Array, Sequence[str]],
    second: tuple[Array, Sequence[str]],
    out: Sequence[str],
) -> Array:
    """The sum of products of two operands' blocks, combined along the root axes of the kernel's output.

    Args:
        kernel: Gives the mesh and the root axes.
        first: Blocks, and a label for each block dimension.
        second: The other operand, likewise. Labels that are not in `out` are summed.
        out: Labels of the block dimensions of the result.

    Returns:
        Blocks [mesh axes, out], root axes of size 1; narrow floats as float32.
    """
    mesh = kernel.mesh
    names = tuple(f"mesh {axis.name}" for axis in mesh.axes)
    root = output_sharding(kernel).root
    along = _summed_axis(kernel, root[0]) if len(root) == 1 else None
    summed = [label for label in first[1] if label not in out]
    result = contract(
        Operand(first[0], (*names, *first[1])),
        Operand(second[0], (*names, *second[1])),
        summed,
        (*names, *out),
        along,
    )
    return result if along is not None else combine(result, mesh, root, add, kernel.collectives)


def _summed_axis(kernel: Kernel, name: str) -> SummedAxis:
    """The one root axis, with the algorithm of the record."""
    chosen = next((item for item in kernel.collectives if item.axis == name), None)
    label, size = f"mesh {name}", kernel.mesh.size(name)
    if chosen is None:
        return SummedAxis(label, size)
    return SummedAxis(label, size, chosen.algorithm, chosen.group, chosen.root)
