"""Whether the memory outside has room for what wafers and turns that stream keep there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wsec.compiler.cost.phases import state_bytes, weight_bytes
from wsec.compiler.errors import WsecError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wsec.compiler.plan import Wafer
    from wsec.compiler.target import Target


def check_outside(wafers: Sequence[Wafer], samples: int, target: Target) -> None:
    """Weights, states, and for each sample of a batch what waits between phases and wafers; nothing is known of a host's memory.

    Raises:
        WsecError: WSEC379 they are more bytes than the target's external memory has.
    """
    memory = target.external_memory
    streaming = [wafer for wafer in wafers if wafer.mode == "streaming"]
    turns = [phase for wafer in wafers for phase in wafer.phases if phase.load is not None]
    if memory is None or not (streaming or turns):
        return
    weights = sum(weight_bytes(wafer.kernels()) for wafer in streaming)
    weights += sum(weight_bytes(phase.kernels) for phase in turns)
    states = sum(state_bytes(wafer.kernels()) for wafer in streaming)
    words = sum(
        phase.summary.words_out for wafer in streaming for phase in wafer.phases if phase.summary is not None
    )
    waiting = samples * target.fabric.word_bytes * words
    if weights + states + waiting <= memory.bytes:
        return
    hint = "use weights of fewer bits, a shorter context, or more wafers that keep their weights"
    if weights + states <= memory.bytes:
        hint = "let fewer samples wait: a smaller --samples-per-phase"
    raise WsecError(
        "WSEC379",
        "the external memory is too small for what is streamed",
        where=f"target {target.name}, external_memory",
        expected=f"at most {memory.bytes:,} bytes",
        found=f"{weights + states + waiting:,} bytes: {weights:,} of weights, {states:,} of states, {waiting:,} that wait between phases "
        f"in a batch of {samples} sample{'s' * (samples > 1)}",
        hint=hint,
    )
