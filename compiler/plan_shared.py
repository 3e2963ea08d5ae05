"""What a plan shares with that of a decoder: weights and caches that lie on the same cores once, for both.

Part of the plan's records (`plan.py`); docs/pairs.md describes them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kept = Literal["in_place", "moved", "copied"]


@dataclass(frozen=True, slots=True)
class SharedWeight:
    """A weight that the decoder has on its cores too.

    Attributes:
        kernel: Of this plan, which reads it.
        role: As which.
        tensor: Its name in the lowered model of this plan.
        decoder_tensor: Its name in that of the decoder.
        holder: The kernel of the decoder's plan on whose cores it lies.
        kept: `in_place`: every core of the kernel finds its block in what it holds of the decoder's. `moved`: the block is
            brought from the decoder's cores for each run, before the kernel begins. `copied`: it lies there a second time.
        bytes: Of its block on the fullest core of the kernel.
        cycles: Of bringing it, 0 but for `moved`; part of the kernel's communication.
    """

    kernel: str
    role: str
    tensor: str
    decoder_tensor: str
    holder: str
    kept: Kept
    bytes: int
    cycles: int = 0


@dataclass(frozen=True, slots=True)
class SharedCache:
    """A cache that this plan makes and the decoder goes on with; no link takes it to the host.

    Attributes:
        kernel: Of this plan, which makes it.
        output: Name of this model's output.
        state: Name of the decoder's input that it becomes.
        cycles: From where the kernel leaves it to where the decoder keeps it, 0 where that is the same; part of the kernel's
            communication.
    """

    kernel: str
    output: str
    state: str
    cycles: int = 0


@dataclass(frozen=True, slots=True)
class SharedResidents:
    """What is shared with which plan.

    Attributes:
        plan_sha256: Digest of the `plan.json` of the decoder.
        weights: In the order of the kernels that read them.
        caches: In the order of the kernels that make them.
    """

    plan_sha256: str
    weights: tuple[SharedWeight, ...] = ()
    caches: tuple[SharedCache, ...] = ()

    def moved(self) -> frozenset[tuple[str, str]]:
        """Kernels and roles of weights that are there only while their kernel works."""
        return frozenset((each.kernel, each.role) for each in self.weights if each.kept == "moved")
