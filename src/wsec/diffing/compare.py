"""Compares two plans kernel by kernel: what moved, what costs more or less, what is new and what is gone.

Kernels are the same if they compute the same operators, else if they have the same name. Operators have the names that lowering gives,
so that a changed model is compared as far as its nodes kept theirs.
"""

from __future__ import annotations

from collections import defaultdict, deque
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable

    from wsec.compiler.plan import Plan
    from wsec.runtime.estimate import Estimate, KernelEstimate

_FIGURES = ("interval_cycles", "latency_cycles", "fullest_core_bytes", "memory_bytes", "samples_per_second")


@dataclass(frozen=True, slots=True)
class KernelPair:
    """A kernel of both plans.

    Attributes:
        before: In the first plan.
        after: In the second.
        changes: What differs: `kind`, `operators`, `split`, `place` (it moved), `size`, `cycles`, `memory`; empty if nothing does.
    """

    before: KernelEstimate
    after: KernelEstimate
    changes: tuple[str, ...]

    @property
    def more_cycles(self) -> int:
        """Of a sample, in the second plan; below 0 where it has fewer."""
        return self.after.total_cycles - self.before.total_cycles

    @property
    def more_bytes(self) -> int:
        """On the fullest core, likewise."""
        return self.after.memory_bytes - self.before.memory_bytes


@dataclass(frozen=True, slots=True)
class PlanDiff:
    """Between two plans.

    Attributes:
        same_model: Whether both are of the same bytes.
        same_target: Whether both are for the same machine.
        before: What the first is worth.
        after: What the second is worth.
        changed: Kernels of both that differ, the largest difference in cycles first, then in bytes, then by name.
        unchanged: How many do not differ.
        new: Kernels of the second plan alone, in its order.
        gone: Kernels of the first plan alone, in its order.
    """

    same_model: bool
    same_target: bool
    before: Estimate
    after: Estimate
    changed: tuple[KernelPair, ...]
    unchanged: int
    new: tuple[KernelEstimate, ...]
    gone: tuple[KernelEstimate, ...]

    @property
    def is_empty(self) -> bool:
        """Whether no kernel and no figure differs."""
        kernels = not (self.changed or self.new or self.gone)
        return kernels and all(older == newer for _, older, newer in self.figures())

    def figures(self) -> list[tuple[str, float, float]]:
        """Name, first and second plan."""
        return [(name, getattr(self.before, name), getattr(self.after, name)) for name in _FIGURES]

    def to_json(self) -> dict[str, Any]:
        """As `wsec diff --json` prints it."""
        return {
            "same_model": self.same_model,
            "same_target": self.same_target,
            "figures": {name: {"before": before, "after": after} for name, before, after in self.figures()},
            "unchanged": self.unchanged,
            "changed": [
                {
                    "changes": list(pair.changes),
                    "more_cycles": pair.more_cycles,
                    "more_bytes": pair.more_bytes,
                    "before": asdict(pair.before),
                    "after": asdict(pair.after),
                }
                for pair in self.changed
            ],
            "new": [asdict(kernel) for kernel in self.new],
            "gone": [asdict(kernel) for kernel in self.gone],
        }


def diff_plans(before: tuple[Plan, Estimate], after: tuple[Plan, Estimate]) -> PlanDiff:
    """What is different in the second of two plans, each with its estimate."""
    (older, was), (newer, now) = before, after
    pairs, gone, new = _match(was.kernels, now.kernels)
    compared = [KernelPair(first, second, _changes(first, second)) for first, second in pairs]
    changed = [pair for pair in compared if pair.changes]
    changed.sort(key=lambda pair: (-abs(pair.more_cycles), -abs(pair.more_bytes), pair.after.name))
    return PlanDiff(
        same_model=older.model_sha256 == newer.model_sha256,
        same_target=older.target == newer.target,
        before=was,
        after=now,
        changed=tuple(changed),
        unchanged=len(compared) - len(changed),
        new=new,
        gone=gone,
    )


def _match(
    before: Iterable[KernelEstimate], after: Iterable[KernelEstimate]
) -> tuple[
    list[tuple[KernelEstimate, KernelEstimate]],
    tuple[KernelEstimate, ...],
    tuple[KernelEstimate, ...],
]:
    """Pairs, and what has no partner on either side; each in the order of its plan."""
    pairs: list[tuple[KernelEstimate, KernelEstimate]] = []
    keys: tuple[Callable[[KernelEstimate], Hashable], ...] = (
        lambda kernel: (
            kernel.name,
            frozenset(kernel.operators),
        ),  # parts of one operator differ in their names
        lambda kernel: frozenset(kernel.operators),
        lambda kernel: kernel.name,
    )
    left, right = list(before), list(after)
    for key in keys:
        found: dict[Hashable, deque[KernelEstimate]] = defaultdict(deque)
        for kernel in right:
            found[key(kernel)].append(kernel)
        alone = []
        for kernel in left:
            partners = found.get(key(kernel))
            if partners:
                pairs.append((kernel, partners.popleft()))
            else:
                alone.append(kernel)
        left = alone
        taken = {id(partner) for _, partner in pairs}
        right = [kernel for kernel in right if id(kernel) not in taken]
    return pairs, tuple(left), tuple(right)


def _changes(before: KernelEstimate, after: KernelEstimate) -> tuple[str, ...]:
    aspects: dict[str, Callable[[KernelEstimate], object]] = {
        "kind": lambda kernel: kernel.kind,
        "operators": lambda kernel: frozenset(kernel.operators),
        "split": lambda kernel: {loop: parts for loop, parts in kernel.split.items() if parts > 1},
        "place": lambda kernel: (kernel.wafer, kernel.phase, kernel.x, kernel.y),
        "size": lambda kernel: (kernel.width, kernel.height),
        "cycles": lambda kernel: kernel.total_cycles,
        "memory": lambda kernel: kernel.memory_bytes,
    }
    return tuple(name for name, aspect in aspects.items() if aspect(before) != aspect(after))
