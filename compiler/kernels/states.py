"""The states of a plan: what its kernels keep from one run to the next."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wsec.compiler.plan import State

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from wsec.compiler.kernels.loop_nest import LoopNest
    from wsec.compiler.plan import Value


def states_of(nests: Sequence[LoopNest], inputs: Sequence[Value]) -> tuple[State, ...]:
    """The states of the kernels, in the order of the model's inputs."""
    outputs: dict[str, str] = {}
    for nest in nests:
        before = [operand.tensor for operand in nest.inputs if operand.state]
        after = [operand.tensor for operand in nest.outputs if operand.state]
        outputs.update(zip(before, after, strict=True))
    return tuple(
        State(value.name, outputs[value.name], value.dtype, value.extents or ())
        for value in inputs
        if value.name in outputs
    )


def state_notes(states: Sequence[State]) -> Iterator[str]:
    """Says what stays on the wafer."""
    if states:
        several = len(states) > 1
        yield (
            f"{len(states)} input{'s' if several else ''} of the model stay{'' if several else 's'} on the wafer between two "
            f"runs, as {states[0].input} does, which {states[0].output} updates: no link brings or takes "
            f"{'them' if several else 'it'} (--states none makes plain inputs and outputs of {'them' if several else 'it'})"
        )
