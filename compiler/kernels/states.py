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


def state_notes(states: Sequence[State], inputs: Sequence[Value], outputs: Sequence[Value]) -> Iterator[str]:
    """Says what stays on the wafer, and which caches that could do not."""
    given = {value.name: value for value in outputs}
    kept = {state.input for state in states}
    plain = []
    for value in inputs:
        after = given.get(value.name.replace("past_key_values", "present", 1))
        if after is not None and value.name not in {*kept, after.name} and value.shape == after.shape:
            plain.append(value.name)
    if plain:
        yield (
            f"{len(plain)} cache{'s' if len(plain) > 1 else ''} of the model, {plain[0]} for one, come and go with each run: no "
            "attention alone reads its update (docs/states.md says what becomes a state)"
        )
    if states:
        several = len(states) > 1
        yield (
            f"{len(states)} input{'s' if several else ''} of the model stay{'' if several else 's'} on the wafer between two "
            f"runs, as {states[0].input} does, which {states[0].output} updates: no link brings or takes "
            f"{'them' if several else 'it'} (--states none makes plain inputs and outputs of {'them' if several else 'it'})"
        )
