"""Operations of a kernel, and the cycles in which lanes that are never idle would do them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from wsec.compiler.plan import Kernel
    from wsec.compiler.sharding import Sharding
    from wsec.compiler.target import Target

    Extents = dict[str, tuple[int, ...]]


def operations_of(kernel: Kernel) -> int:
    """Operations of one sample on all cores, from the shapes of the record.

    Products of matrices, convolutions, attention, recurrent networks and the experts that are chosen: multiply-adds. Reductions:
    the elements that they reduce. Every other kind: its results, each times the window that it is taken from; and for each fused
    step one operation for each result.
    """
    results = sum(_elements(output.sharding) for output in kernel.outputs)
    return _own_operations(kernel, results) + results * len(kernel.chain)


def lane_cycles(kernel: Kernel, target: Target) -> float:
    """Cycles of one core whose lanes for the kernel's first input are never idle, for all operations of a sample."""
    lanes = target.core.lanes.get(kernel.inputs[0].dtype if kernel.inputs else "float32")
    return operations_of(kernel) / (lanes or target.core.lanes["float32"])


def ideal_cycles(kernels: Iterable[Kernel], target: Target, cores: int) -> int:
    """Cycles of a sample in which all lanes of so many cores would do the operations of all kernels, and nothing else."""
    return math.ceil(sum(lane_cycles(kernel, target) for kernel in kernels) / max(cores, 1))


def _own_operations(kernel: Kernel, results: int) -> int:
    extents = {entry.role: _extents(entry.sharding) for entry in kernel.inputs}
    counted = _COUNTED.get(kernel.kind)
    if counted is not None and counted[0] <= {role for role, found in extents.items() if found}:
        return counted[1](kernel, extents, results)
    window = kernel.arguments.get("window")
    return results * (math.prod(int(each) for each in window) if isinstance(window, tuple) else 1)


def _of_attention(kernel: Kernel, _extents: Extents, _results: int) -> int:
    loops = _loops(kernel)
    scores = math.prod(extent for name, extent in loops.items() if name not in {"h", "d", "n"})
    return scores * (loops.get("h", 1) * loops.get("d", 0) + loops.get("n", 0))


def _of_product(kernel: Kernel, extents: Extents, results: int) -> int:
    summed = kernel.arguments.get("parts_k")
    return results * math.prod(extents["a"][-len(summed) if isinstance(summed, tuple) else -1 :])


def _of_recurrent(_kernel: Kernel, extents: Extents, _results: int) -> int:
    steps, batch, _ = extents["x"]
    return steps * batch * (math.prod(extents["w"]) + math.prod(extents["r"]))


def _of_experts(kernel: Kernel, extents: Extents, _results: int) -> int:
    """Of the experts that are chosen for each token; `w1` and `w2` begin with the number of experts."""
    chosen = kernel.arguments.get("chosen")
    of_expert = math.prod(extents["w1"][1:]) + math.prod(extents["w2"][1:])
    return math.prod(extents["x"][:-1]) * (chosen if isinstance(chosen, int) else 1) * of_expert


_COUNTED: dict[str, tuple[frozenset[str], Callable[[Kernel, Extents, int], int]]] = {
    "matmul": (frozenset({"a"}), _of_product),
    "convolution": (frozenset({"w"}), lambda _, extents, results: results * math.prod(extents["w"][2:])),
    "transposed_convolution": (
        frozenset({"x", "w"}),
        lambda _, extents, __: math.prod(extents["x"]) * math.prod(extents["w"][2:]),
    ),
    "attention": (frozenset(), _of_attention),
    "recurrent": (frozenset({"x", "w", "r"}), _of_recurrent),
    "experts": (frozenset({"x", "w1", "w2"}), _of_experts),
    "reduction": (frozenset({"x"}), lambda _, extents, __: math.prod(extents["x"])),
}
"""By kind: the operands that its operations follow from, and how."""


def _loops(kernel: Kernel) -> dict[str, int]:
    """Extents of the loops of an attention, by the dimensions of its operands."""
    found: dict[str, int] = {}
    for entry in kernel.inputs:
        names = kernel.arguments.get(entry.role)
        if entry.role in {"q", "k", "v"} and isinstance(names, tuple):
            found |= zip(map(str, names), _extents(entry.sharding), strict=False)
    return found


def _extents(sharding: Sharding) -> tuple[int, ...]:
    return sharding.shape


def _elements(sharding: Sharding) -> int:
    return math.prod(_extents(sharding))
