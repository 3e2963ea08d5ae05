"""Makes tokens with a decoder: step by step through the executor, each time the most likely next token.

The cache stays in the executor, or goes from the outputs of a step to the inputs of the next. Prompts go through the
decoder token by token, or at once through the plan of a prefill. In a comparison onnxruntime keeps a cache of its own and
gets the same tokens, so that errors add up as they would in use.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from wsec.compiler.errors import WsecError
from wsec.compiler.onnxruntime_session import SESSION_ERRORS
from wsec.runtime.comparison import compare_values
from wsec.runtime.decoder_interface import (
    LOGITS,
    MASK,
    POSITIONS,
    TOKENS,
    DecoderInterface,
    check_same,
    decoder_interface,
    integer_type,
)
from wsec.runtime.element_types import element_type
from wsec.runtime.executor import Executor
from wsec.runtime.oracle import cannot_run, check_digest, lenient_runner, narrowest_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from wsec.compiler.plan import Value
    from wsec.compiler.plan_io import LoadedPlan
    from wsec.runtime.comparison import Comparison
    from wsec.runtime.element_types import Array

    Values = dict[str, Array]


@dataclass(frozen=True, slots=True)
class Step:
    """One run of a plan.

    Attributes:
        tokens: What it was given.
        position: Of the first of them.
        next_token: The most likely token after the last of them.
        comparison: The output that differs most from onnxruntime's, as a share of its tolerance; None without a comparison.
    """

    tokens: tuple[int, ...]
    position: int
    next_token: int
    comparison: Comparison | None


@dataclass(frozen=True, slots=True)
class Generation:
    """Tokens that a decoder made.

    Attributes:
        prompt: What it was given.
        tokens: What it made.
        steps: Its runs, those of the prompt among them.
        passed: Whether each step equals onnxruntime; None without a comparison.
        executor_seconds: Time of executing the shards.
    """

    prompt: tuple[int, ...]
    tokens: tuple[int, ...]
    steps: tuple[Step, ...]
    passed: bool | None
    executor_seconds: float


def generate(
    decoder: LoadedPlan,
    prompt: Sequence[int],
    steps: int,
    *,
    prefill: LoadedPlan | None = None,
    verify: bool = False,
    observe: Callable[[Step], None] | None = None,
) -> Generation:
    """Continue `prompt` by `steps` tokens; every sequence of a batch is the same, and the first one's tokens count.

    Args:
        decoder: The plan of a decoder of one token a step.
        prompt: Numbers of tokens.
        steps: How many to make.
        prefill: The plan that takes the prompt at once, or as much of it as it has room for; without it the decoder takes it
            token by token. One that shares weights reads those of the decoder.
        verify: Compare every step with onnxruntime.
        observe: Called after each step.

    Raises:
        WsecError: WSEC156 the prefill was made for another decoder, WSEC572 a plan is no decoder, WSEC573 there is no room for prompt and steps, WSEC574 a token is none of the
            vocabulary, WSEC575 caches differ, WSEC562 and WSEC566 as for `verify`, and what the executor raises.
    """
    side = _Side(decoder, _interface(decoder))
    first = (
        side
        if prefill is None
        else _Side(prefill, _interface_of_prefill(decoder, side.interface, prefill), decoder)
    )
    _check_request(prompt, steps, side)
    if verify:
        for each in {id(side): side, id(first): first}.values():
            each.compare()
    at_once = first.interface.tokens if first is not side else 0
    waiting = [tuple(prompt[:at_once])] if at_once else []
    waiting += [(token,) for token in prompt[at_once:]]
    done: list[Step] = []
    position = 0
    while len(done) < len(waiting) + steps - 1:
        runs = side if done else first
        tokens = waiting[len(done)] if len(done) < len(waiting) else (done[-1].next_token,)
        done.append(runs.step(tokens, position))
        if runs is not side:
            side.take_over(runs)
        position += len(tokens)
        if observe is not None:
            observe(done[-1])
    made = tuple(step.next_token for step in done[len(waiting) - 1 :])
    compared = [step.comparison.passed for step in done if step.comparison is not None]
    return Generation(
        prompt=tuple(prompt),
        tokens=made,
        steps=tuple(done),
        passed=all(compared) if verify else None,
        executor_seconds=side.seconds + (first.seconds if first is not side else 0.0),
    )


class _Side:
    """A plan with what its last step gave, in the executor and in onnxruntime."""

    def __init__(
        self, loaded: LoadedPlan, interface: DecoderInterface, decoder: LoadedPlan | None = None
    ) -> None:
        self.loaded, self.interface = loaded, interface
        self.seconds = 0.0
        self._executor = Executor(loaded, decoder=decoder)
        self._original: Callable[[Mapping[str, Array]], list[Array]] | None = None
        self._kept: set[str] = set()
        self._found: Values = {
            interface.cache[value.name]: np.zeros(_extents(value), element_type(value.dtype))
            for value in loaded.plan.inputs
            if value.name in interface.cache
        }
        self._expected = self._found

    def compare(self) -> None:
        """From now on onnxruntime takes the same steps."""
        path = self.loaded.original_path
        check_digest(self.loaded.plan, path)
        try:
            self._original = lenient_runner(path, [value.name for value in self.loaded.plan.outputs])
        except SESSION_ERRORS as error:
            raise cannot_run(str(path), str(error)) from error

    def take_over(self, prefill: _Side) -> None:
        """Begin with the cache that a prefill gave."""
        self._found, self._expected = prefill._found, prefill._expected

    def step(self, tokens: tuple[int, ...], position: int) -> Step:
        """Run once; `position` is that of the first token."""
        given, cache = self._operands(tokens, position), self.interface.cache
        started = time.perf_counter()
        read = {name: self._found[update] for name, update in cache.items() if name not in self._kept}
        self._found = self._executor.run({**given, **read})
        self.seconds += time.perf_counter() - started
        self._kept = {state.input for state in self.loaded.plan.states}
        if self._original is not None:
            self._run_original(given)
        last = self._found[LOGITS][0, len(tokens) - 1]
        return Step(tokens, position, int(np.argmax(last)), self._comparison(len(tokens), position))

    def _operands(self, tokens: tuple[int, ...], position: int) -> Values:
        """Tokens, padded on the right; the mask of all positions that are filled after the step."""
        interface, plan = self.interface, self.loaded.plan
        ids = np.zeros((interface.batch, interface.tokens), dtype=integer_type(plan, TOKENS))
        ids[:, : len(tokens)] = tokens
        mask = np.zeros((interface.batch, interface.context), dtype=integer_type(plan, MASK))
        mask[:, : position + len(tokens)] = 1
        given = {TOKENS: ids, MASK: mask}
        if interface.has_positions:
            places = np.arange(position, position + interface.tokens, dtype=integer_type(plan, POSITIONS))
            given[POSITIONS] = np.broadcast_to(places, ids.shape).copy()
        return given

    def _run_original(self, given: Values) -> None:
        assert self._original is not None  # noqa: S101
        read = {name: self._expected[update] for name, update in self.interface.cache.items()}
        try:
            results = self._original({**given, **read})
        except SESSION_ERRORS as error:
            raise cannot_run(str(self.loaded.original_path), str(error)) from error
        names = [value.name for value in self.loaded.plan.outputs]
        self._expected = dict(zip(names, results, strict=True))

    def _comparison(self, given: int, position: int) -> Comparison | None:
        """That of the output which comes nearest to its tolerance, or is furthest beyond it.

        Tokens that were given and positions that they fill count: what is made of the padding behind a prompt is read by
        nobody, and onnxruntime leaves it unspecified.
        """
        if self._original is None:
            return None
        narrow = narrowest_of(self.loaded.plan)
        each = []
        for name, value in self._expected.items():
            kept = (
                (slice(None), slice(given)) if name == LOGITS else (..., slice(position + given), slice(None))
            )
            each.append(compare_values(name, self._found[name][kept], value[kept], narrow))
        return max(each, key=lambda item: (not item.passed, item.max_relative_error / (item.tolerance or 1)))


def _extents(value: Value) -> list[int]:
    return [extent or 0 for extent in value.shape or ()]


def _interface(decoder: LoadedPlan) -> DecoderInterface:
    interface = decoder_interface(decoder.plan, str(decoder.folder))
    if interface.tokens != 1:
        raise WsecError(
            "WSEC572",
            "the plan is not that of a decoder",
            where=str(decoder.folder),
            expected="one token a step",
            found=f"{interface.tokens} tokens",
            hint="compile the decoder with a sequence of 1; a plan of more can be given as --prefill if it has no past",
        )
    return interface


def _interface_of_prefill(
    decoder: LoadedPlan, interface: DecoderInterface, prefill: LoadedPlan
) -> DecoderInterface:
    """That of a prefill whose cache and vocabulary are those of the decoder."""
    first = decoder_interface(prefill.plan, str(prefill.folder), decodes=False)
    outputs = {value.name: value for value in prefill.plan.outputs}
    pasts = {value.name: value for value in decoder.plan.inputs}
    wrong = [f"no output {update}" for update in interface.cache.values() if update not in outputs]
    for what, expected, found in (
        ("a vocabulary", interface.vocabulary, first.vocabulary),
        ("a batch", interface.batch, first.batch),
        ("a context", interface.context, first.context),
    ):
        wrong += [f"{what} of {found:,}, and {expected:,} in the decoder"] if expected != found else []
    for name, update in interface.cache.items():
        if update in outputs:
            check_same(pasts[name], outputs[update], str(decoder.folder), str(prefill.folder))
    if wrong:
        raise WsecError(
            "WSEC572",
            "the plan is not that of the prefill of the decoder",
            where=str(prefill.folder),
            expected=f"what the decoder in {decoder.folder} continues",
            found="\n".join(wrong),
            hint="make both models from one configuration, with one context and batch",
        )
    return first


def _check_request(prompt: Sequence[int], steps: int, side: _Side) -> None:
    """Refuse what is no tokens, and what there is no room for."""
    vocabulary = side.interface.vocabulary
    unknown = [index for index, token in enumerate(prompt) if not 0 <= token < vocabulary]
    if unknown:
        raise WsecError(
            "WSEC574",
            "the prompt has a token that is none of the vocabulary",
            where=f"token {unknown[0] + 1} of the prompt",
            expected=f"0 to {vocabulary - 1:,}",
            found=f"{prompt[unknown[0]]:,}",
            hint="tokens are the numbers that the tokenizer of the model gives",
        )
    room = side.interface.context
    if not 1 <= len(prompt) <= room:
        raise _no_room("the prompt does not fit the plan", side, f"1 to {room:,} tokens", f"{len(prompt):,}")
    # The last token that is made is not fed back, and takes no room.
    needed = len(prompt) + max(steps, 1) - 1
    if needed > side.interface.context or steps < 1:
        found = f"{len(prompt):,} of the prompt and {steps - 1:,} that are fed back"
        expected = f"1 step or more, and at most {side.interface.context:,} positions"
        raise _no_room("the steps do not fit the context of the plan", side, expected, found)


def _no_room(what: str, side: _Side, expected: str, found: str) -> WsecError:
    return WsecError(
        "WSEC573",
        what,
        where=str(side.loaded.folder),
        expected=expected,
        found=found,
        hint="shorten the prompt, ask for fewer steps, or compile the model for a longer context",
    )
