"""Bytes on the fullest core of a kernel, computed anew from its blocks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wsec.compiler.plan_checker.findings import MEMORY, Finding
from wsec.compiler.plan_checker.model_facts import item_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wsec.compiler.plan import Kernel, KernelInput, KernelOutput
    from wsec.compiler.target import Target

OUTPUT_COPIES = 2  # one is sent while the next is computed


def check_memory(kernel: Kernel, target: Target) -> Iterator[Finding]:
    """Findings on the ledger of a kernel whose shardings are sound."""
    where = f"kernel {kernel.name}"
    weights = sum(_block_bytes(entry) for entry in kernel.inputs if entry.constant)
    held = sum(_block_bytes(entry) * entry.slots for entry in kernel.inputs if not entry.constant)
    results = sum(_block_bytes(entry) * OUTPUT_COPIES for entry in kernel.outputs)
    code = target.core.code_reserve_bytes
    total = weights + held + results + code
    parts = f"weights {weights}, activations {held}, outputs {results}, code {code}"
    if max(total, kernel.memory.total) > target.core.sram_bytes:
        rule = "a kernel fits the memory of its cores"
        found = f"{total} bytes ({parts}), ledger {kernel.memory.total}"
        yield Finding(MEMORY, rule, where, f"at most {target.core.sram_bytes} bytes", found)
    least = {"weights": weights, "activations": held, "code": code}
    for name, least_bytes in least.items():
        said = getattr(kernel.memory, name)
        if said < least_bytes:
            rule = "the ledger says no less than the blocks take"
            yield Finding(MEMORY, rule, f"{where}, {name}", f"at least {least_bytes} bytes", f"{said} bytes")
    if kernel.memory.total < total:
        rule = "the ledger says no less than the blocks take"
        found = f"{kernel.memory.total} bytes"
        yield Finding(MEMORY, rule, f"{where}, total", f"at least {total} bytes ({parts})", found)


def _block_bytes(entry: KernelInput | KernelOutput) -> int:
    return entry.sharding.block_elements * item_bytes(entry.dtype)
