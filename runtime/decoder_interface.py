"""Which inputs and outputs of a plan are those of a decoder: tokens, mask, cache and logits.

A decoder has the inputs `input_ids` [batch, tokens] and `attention_mask` [batch, context], perhaps `position_ids`
[batch, tokens], and the output `logits` [batch, tokens, vocabulary]. Its cache is the states of the plan, and pairs of an
input `past_key_values.X` and an output `present.X`, [.., context, size]. All shapes are fixed: the cache has the capacity
of the context.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from wsec.compiler.errors import WsecError
from wsec.runtime.element_types import element_type

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wsec.compiler.plan import Plan, Value

TOKENS, MASK, POSITIONS, LOGITS = "input_ids", "attention_mask", "position_ids", "logits"
PAST, PRESENT = "past_key_values.", "present."


@dataclass(frozen=True, slots=True)
class DecoderInterface:
    """How one step of a decoder is fed.

    Attributes:
        batch: Sequences.
        tokens: New tokens of a step.
        context: Positions that the cache has room for.
        vocabulary: How many tokens there are.
        has_positions: Whether positions are an input of their own.
        cache: Outputs by the inputs that they are in the next step; empty for a prefill.
    """

    batch: int
    tokens: int
    context: int
    vocabulary: int
    has_positions: bool
    cache: dict[str, str]


def decoder_interface(plan: Plan, where: str, *, decodes: bool = True) -> DecoderInterface:
    """The interface of the plan in the folder `where`.

    Args:
        plan: The plan.
        where: Its folder, for messages.
        decodes: Whether it reads a cache; a prefill only gives one.

    Raises:
        WsecError: WSEC572 it is no decoder, WSEC575 an input of the cache has another shape than its output or the mask.
    """
    inputs = {value.name: value for value in plan.inputs}
    outputs = {value.name: value for value in plan.outputs}
    cache = {name: output for name in inputs if (output := _update_of(name, plan)) in outputs}
    wrong = [*_wrong_operands(inputs, outputs), *_unknown_inputs(inputs, cache)]
    if decodes and not cache:
        wrong.append(f"no input {PAST}X with an output {PRESENT}X")
    if cache and not decodes:
        wrong.append(f"input {next(iter(cache))}: a prefill reads no cache")
    if wrong:
        raise WsecError(
            "WSEC572",
            f"the plan is not that of {'a decoder' if decodes else 'the prefill of a decoder'}",
            where=where,
            expected=f"inputs {TOKENS} [B, S], {MASK} [B, C]{f', {PAST}X' if decodes else ''}; "
            f"outputs {LOGITS} [B, S, V], {PRESENT}X",
            found="\n".join(wrong),
            hint="docs/generation.md says what a decoder is; --inputs runs any plan once",
        )
    for name, update in cache.items():
        check_same(inputs[name], outputs[update], where, where)
        _check_capacity(inputs[name], inputs[MASK], where)
    shape = outputs[LOGITS].shape or ()
    extents = [0 if extent is None else extent for extent in (*shape, *(inputs[MASK].shape or ()))]
    batch, tokens, vocabulary, _, context = extents
    return DecoderInterface(batch, tokens, context, vocabulary, POSITIONS in inputs, cache)


def check_same(past: Value, present: Value, reads: str, gives: str) -> None:
    """Refuse an output of the cache that is not what an input is.

    Raises:
        WsecError: WSEC575 they differ in shape or element type.
    """
    if (past.shape, past.dtype) == (present.shape, present.dtype):
        return
    raise WsecError(
        "WSEC575",
        "the cache that one step gives is not the one that the next step reads",
        where=f"{present.name} of {gives}, {past.name} of {reads}",
        expected=f"{past.dtype} {_extents(past)}",
        found=f"{present.dtype} {_extents(present)}",
        hint="give both models one capacity, and a cache whose shape does not grow from step to step",
    )


def _check_capacity(past: Value, mask: Value, where: str) -> None:
    """Refuse a cache that has not a position for each of the mask."""
    positions, shape = (mask.shape or (None,))[-1], past.shape or ()
    if len(shape) >= 2 and shape[-2] == positions:
        return
    raise WsecError(
        "WSEC575",
        "the cache has other positions than the mask",
        where=f"{past.name} of {where}",
        expected=f"[.., {positions}, size], as {mask.name} has {positions} positions",
        found=f"{past.dtype} {_extents(past)}",
        hint="give both models one capacity, and a cache whose shape does not grow from step to step",
    )


def _extents(value: Value) -> str:
    return " x ".join("any" if extent is None else str(extent) for extent in value.shape or ())


def _update_of(name: str, plan: Plan) -> str:
    """The output that an input of the cache is in the next step; empty for other inputs."""
    states = {state.input: state.output for state in plan.states}
    if name in states:
        return states[name]
    return PRESENT + name.removeprefix(PAST) if name.startswith(PAST) else ""


def _wrong_operands(inputs: dict[str, Value], outputs: dict[str, Value]) -> list[str]:
    logits = outputs.get(LOGITS)
    if logits is None or logits.shape is None or len(logits.shape) != 3 or None in logits.shape:
        return [f"no output {LOGITS} of three known extents"]
    batch, tokens, _ = logits.shape
    wanted: dict[str, Sequence[int | None]] = {TOKENS: (batch, tokens), MASK: (batch, None)}
    if POSITIONS in inputs:
        wanted[POSITIONS] = (batch, tokens)
    return [
        f"no input {name} of whole numbers [{', '.join('C' if size is None else str(size) for size in shape)}]"
        for name, shape in wanted.items()
        if name not in inputs or not _fits(inputs[name], shape)
    ]


def _fits(value: Value, shape: Sequence[int | None]) -> bool:
    if value.container != "tensor" or value.shape is None or len(value.shape) != len(shape):
        return False
    if value.dtype not in {"int64", "int32"} or None in value.shape:
        return False
    return all(wanted in {None, found} for wanted, found in zip(shape, value.shape, strict=True))


def _unknown_inputs(inputs: dict[str, Value], cache: dict[str, str]) -> list[str]:
    known = {TOKENS, MASK, POSITIONS, *cache}
    return [f"input {name}, of unknown meaning" for name in inputs if name not in known]


def integer_type(plan: Plan, name: str) -> str:
    """The numpy name of the element type of an input of whole numbers."""
    dtype = next(value.dtype for value in plan.inputs if value.name == name)
    return str(element_type(dtype).name)
