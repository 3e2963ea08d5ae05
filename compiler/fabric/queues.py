"""Queues of a core: one for each tensor that comes and each that leaves, beside those of the kernel's own traffic."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from wsec.compiler.errors import WsecError
from wsec.compiler.kernels.graph import HOST_INDEX

if TYPE_CHECKING:
    from wsec.compiler.kernels.graph import KernelGraph
    from wsec.compiler.target import Fabric

KERNEL_INPUT_QUEUES = 2
KERNEL_OUTPUT_QUEUES = 1


def check_queues(graph: KernelGraph, fabric: Fabric) -> None:
    """Refuses kernels that more tensors come to, or leave, than cores have queues for.

    Raises:
        WsecError: WSEC341 names the first of them.
    """
    sides = (
        ("come to", Counter(link.target for link in graph.links), fabric.input_queues, KERNEL_INPUT_QUEUES),
        ("leave", Counter(link.source for link in graph.links), fabric.output_queues, KERNEL_OUTPUT_QUEUES),
    )
    for verb, links, queues, own in sides:
        for kernel in sorted(set(links) - {HOST_INDEX}):
            if links[kernel] + own > queues:
                raise _too_many(graph.nests[kernel].name, verb, links[kernel], queues, own)


def _too_many(kernel: str, verb: str, links: int, queues: int, own: int) -> WsecError:
    return WsecError(
        "WSEC341",
        f"more tensors {verb} a kernel than its cores have queues for",
        where=f"kernel {kernel}",
        expected=f"at most {max(queues - own, 0)}: {queues} queues of the target, less {own} of the kernel's own traffic",
        found=f"{links} links",
        hint="split the operator, or run the pass limit-connections with fewer inputs and outputs behind the others",
    )
