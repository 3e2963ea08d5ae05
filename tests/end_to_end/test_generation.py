"""Tokens made step by step through the executor: those of onnxruntime, whatever the form, with and without a prefill."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from click.testing import CliRunner
from small_models import ModelMaker

import gpt_oss
import llama
import wsec
from decoder_parts import Export
from model_writer import write_model
from wsec.cli.application import application
from wsec.compiler.errors import ExitStatus, WsecError
from wsec.compiler.onnxruntime_session import make_session
from wsec.compiler.plan import State

if TYPE_CHECKING:
    from pathlib import Path

    from wsec.loaded_plan import Plan

PROMPT = (5, 99, 17)
STEPS = 6
CONTEXT = 12
_LLAMA = replace(llama.CONFIGS["tiny"], layers=1)
_GPT_OSS = replace(gpt_oss.CONFIGS["tiny"], layers=2, experts=4, chosen=2)


@dataclass(frozen=True)
class Case:
    """A model, how it is written, and whether its cache stays on the wafer."""

    name: str
    form: str
    experts: str = "fp32"
    states: Any = "auto"


CASES = (
    Case("llama", "contrib"),
    Case("llama", "standard"),
    Case("llama", "standard", states="none"),
    Case("gpt-oss", "contrib", "int4"),
    Case("gpt-oss", "standard"),
)


def _plan(folder: Path, case: Case, wafers: int = 1, phases: int = 1, **changes: Any) -> Plan:
    export = replace(Export(form=case.form, context=CONTEXT), **changes)
    if case.name == "llama":
        maker = llama.make_llama(_LLAMA, export)
    else:
        maker = gpt_oss.make_gpt_oss(_GPT_OSS, export, case.experts)
    path = folder / f"{case.name}-{export.entry}.onnx"
    write_model(maker, path, opset=export.opset)
    output = path.with_suffix(".plan")
    return wsec.compile(
        path,
        output=output,
        target="wse3",
        region=(40, 40),
        effort=0.0,
        states=case.states,
        wafers=wafers,
        phases=phases,
    )


def _expected(plan: Plan) -> list[int]:
    """The most likely tokens by onnxruntime alone, step by step on the original model."""
    session = make_session(plan.folder / "original.onnx")
    names = [value.name for value in session.get_outputs()]
    caches = [value for value in session.get_inputs() if value.name.startswith("past")]
    cache = {value.name: np.zeros(value.shape, dtype=np.float32) for value in caches}
    tokens = list(PROMPT)
    for step in range(len(PROMPT) + STEPS - 1):
        mask = (np.arange(CONTEXT) <= step).astype(np.int64)[None]
        given = {"input_ids": np.asarray([[tokens[step]]]), "attention_mask": mask, **cache}
        results = dict(zip(names, session.run(None, given), strict=True))
        cache = {name: results[name.replace("past_key_values", "present")] for name in cache}
        if step >= len(PROMPT) - 1:
            tokens.append(int(results["logits"].argmax()))
    return tokens[len(PROMPT) :]


@pytest.mark.parametrize(
    "case", CASES, ids=lambda case: f"{case.name}-{case.form}-{case.experts}-{case.states}"
)
def test_the_tokens_are_those_of_onnxruntime(case: Case, tmp_path: Path) -> None:
    """The prompt token by token, then each token that was made: equal logits, caches and choices."""
    plan = _plan(tmp_path, case)
    assert bool(plan.record.states) == (case.states == "auto")
    generation = plan.generate(PROMPT, STEPS, verify=True)
    assert generation.passed, generation.steps
    assert list(generation.tokens) == _expected(plan)
    assert [step.position for step in generation.steps] == list(range(len(PROMPT) + STEPS - 1))
    assert plan.generate(PROMPT, STEPS).tokens == generation.tokens  # nothing is left of the first time


@pytest.mark.parametrize("case", [CASES[1], CASES[3]], ids=["llama-standard", "gpt-oss-contrib"])
def test_a_prefill_saves_the_steps_of_the_prompt(case: Case, tmp_path: Path) -> None:
    """The prompt at once, padded on the right, gives the same tokens as token by token."""
    decoder = _plan(tmp_path, case)
    prefill = _plan(tmp_path, case, entry="prefill", sequence=5)
    alone, with_prefill = (decoder.generate(PROMPT, STEPS, prefill=p, verify=True) for p in (None, prefill))
    assert with_prefill.passed, with_prefill.steps
    assert with_prefill.tokens == alone.tokens
    assert [len(step.tokens) for step in with_prefill.steps] == [len(PROMPT)] + [1] * (STEPS - 1)


@pytest.mark.parametrize(
    ("case", "wafers", "phases"), [(CASES[0], 3, 1), (CASES[4], 1, 2)], ids=["3-wafers", "2-phases"]
)
def test_a_cache_in_several_places(case: Case, wafers: int, phases: int, tmp_path: Path) -> None:
    """Layers on other wafers, or that take turns on one, keep their caches as well; prefill and decoder alike."""
    decoder, prefill = (
        _plan(tmp_path, case, wafers, phases, entry=entry, sequence=sequence)
        for entry, sequence in (("decode", 1), ("prefill", 3))
    )
    assert max(len(decoder.record.wafers), len(decoder.record.wafers[0].phases)) > 1
    generation = decoder.generate(PROMPT, 4, prefill=prefill, verify=True)
    assert generation.passed, generation.steps
    assert generation.tokens == tuple(_expected(decoder)[:4])


def test_a_wrong_plan_is_found(tmp_path: Path) -> None:
    """The comparison can fail: with other numbers in the executor than in the model, no step passes."""
    plan = _plan(tmp_path, CASES[1])
    lowered = plan.folder / "model.onnx"
    data = bytearray(lowered.read_bytes())
    weight = llama.make_llama(_LLAMA, Export(context=CONTEXT)).weights[0].make()
    at = data.find(weight)
    assert at > 0
    data[at : at + len(weight)] = (np.frombuffer(weight, dtype=np.float32) * 1.1).tobytes()
    lowered.write_bytes(data)
    (plan.folder / "files.json").unlink()
    generation = wsec.load_plan(plan.folder).generate(PROMPT, 2, verify=True)
    assert generation.passed is False


def _refusal(plan: Plan, *arguments: Any, **options: Any) -> str:
    with pytest.raises(WsecError) as raised:
        plan.generate(*arguments, **options)
    return str(raised.value)


def test_prompts_that_do_not_suit(tmp_path: Path) -> None:
    """Each message whole: a token that is none, no tokens, too many, and too many steps."""
    plan = _plan(tmp_path, CASES[0])
    assert _refusal(plan, (1, 128), 1) == (
        "error[WSEC574]: the prompt has a token that is none of the vocabulary\n"
        "  where:    token 2 of the prompt\n"
        "  expected: 0 to 127\n"
        "  found:    128\n"
        "  try:      tokens are the numbers that the tokenizer of the model gives"
    )
    for prompt, found in (((), "0"), ((1,) * 13, "13")):
        assert _refusal(plan, prompt, 1) == (
            "error[WSEC573]: the prompt does not fit the plan\n"
            f"  where:    {plan.folder}\n"
            "  expected: 1 to 12 tokens\n"
            f"  found:    {found}\n"
            "  try:      shorten the prompt, ask for fewer steps, or compile the model for a longer context"
        )
    for steps in (0, 11):
        assert _refusal(plan, PROMPT, steps) == (
            "error[WSEC573]: the steps do not fit the context of the plan\n"
            f"  where:    {plan.folder}\n"
            "  expected: 1 step or more, and at most 12 positions\n"
            f"  found:    3 of the prompt and {steps - 1} that are fed back\n"
            "  try:      shorten the prompt, ask for fewer steps, or compile the model for a longer context"
        )
    assert len(plan.generate(PROMPT, 10).tokens) == 10


def test_plans_that_are_no_decoders(tmp_path: Path) -> None:
    """Each message whole: another kind of model, a prefill as decoder, and a prefill of another model."""
    maker = ModelMaker()
    path = maker.save(tmp_path / "conv.onnx", {"x": (1, 2, 8, 8)}, [maker.conv("x", (2, 4), (3, 3))])
    other = wsec.compile(path, target="mesh64", effort=0.0)
    assert _refusal(other, PROMPT, 1) == (
        "error[WSEC572]: the plan is not that of a decoder\n"
        f"  where:    {other.folder}\n"
        "  expected: inputs input_ids [B, S], attention_mask [B, C], past_key_values.X; outputs logits [B, S, V], present.X\n"
        "  found:    no output logits of three known extents\n"
        "            input x, of unknown meaning\n"
        "            no input past_key_values.X with an output present.X\n"
        "  try:      docs/generation.md says what a decoder is; --inputs runs any plan once"
    )
    decoder = _plan(tmp_path, CASES[1])
    shorter = _plan(tmp_path, CASES[1], entry="prefill", sequence=5, context=10)
    assert _refusal(decoder, PROMPT, 1, prefill=shorter) == (
        "error[WSEC575]: the cache that one step gives is not the one that the next step reads\n"
        f"  where:    present.0.key of {shorter.folder}, past_key_values.0.key of {decoder.folder}\n"
        "  expected: float32 1 x 2 x 12 x 16\n"
        "  found:    float32 1 x 2 x 10 x 16\n"
        "  try:      give both models one capacity, and a cache whose shape does not grow from step to step"
    )
    assert "found:    no input past_key_values.X with an output present.X\n" in _refusal(shorter, PROMPT, 1)
    itself = _refusal(decoder, PROMPT, 1, prefill=decoder)
    assert "  found:    input past_key_values.0.key: a prefill reads no cache\n" in itself
    several = _plan(tmp_path, CASES[1], sequence=2)
    assert "  expected: one token a step\n  found:    2 tokens\n" in _refusal(several, PROMPT, 1)


def test_the_command_prints_tokens(tmp_path: Path) -> None:
    """As text and as JSON; and options that do not go together are usage errors."""
    folder = str(_plan(tmp_path, CASES[0]).folder)

    def run(*options: str) -> Any:
        return CliRunner().invoke(application, ["run", folder, *options], prog_name="wsec")

    plain = run("--generate", "5,99,17", "--steps", "3")
    assert plain.exit_code == 0
    assert plain.output.splitlines()[0] == "prompt  5, 99, 17"
    compared = run("--generate", "5, 99,17", "--steps", "3", "--verify", "--json")
    assert compared.exit_code == 0
    data = json.loads(compared.output)
    assert data["passed"] is True
    assert f"tokens  {', '.join(map(str, data['tokens']))}" in plain.output
    assert len(data["steps"]) == 5
    shown = run("--generate", "5,99,17", "--steps", "3", "--verify")
    assert "passed: every step gives what onnxruntime gives" in " ".join(shown.output.split())
    for options in (["--generate", "5,x"], ["--prefill", folder], ["--generate", "5", "--inputs", "x.npz"]):
        assert run(*options).exit_code == ExitStatus.USAGE


def test_a_state_counts_as_cache_under_any_name(tmp_path: Path) -> None:
    """What the plan calls a state is fed back by the executor, whatever the model calls it."""
    from wsec.runtime.decoder_interface import decoder_interface

    record = _plan(tmp_path, CASES[0]).record
    renamed = {"past_key_values.0.key": "k_in", "present.0.key": "k_out"}
    changed = replace(
        record,
        inputs=tuple(replace(value, name=renamed.get(value.name, value.name)) for value in record.inputs),
        outputs=tuple(replace(value, name=renamed.get(value.name, value.name)) for value in record.outputs),
        states=(State("k_in", "k_out", "float32", (1, 2, CONTEXT, 16)), *record.states[1:]),
    )
    assert decoder_interface(changed, "plan").cache["k_in"] == "k_out"


def test_a_cache_with_other_positions_than_the_mask(tmp_path: Path) -> None:
    """The message whole; such a model would write behind the end of its cache."""
    from wsec.runtime.decoder_interface import decoder_interface

    record = _plan(tmp_path, CASES[0]).record
    shorter = (1, CONTEXT - 1)
    changed = replace(
        record,
        inputs=tuple(
            replace(value, shape=shorter) if value.name == "attention_mask" else value
            for value in record.inputs
        ),
    )
    with pytest.raises(WsecError) as raised:
        decoder_interface(changed, "tiny.plan")
    assert str(raised.value) == (
        "error[WSEC575]: the cache has other positions than the mask\n"
        "  where:    past_key_values.0.key of tiny.plan\n"
        "  expected: [.., 11, size], as attention_mask has 11 positions\n"
        "  found:    float32 1 x 2 x 12 x 16\n"
        "  try:      give both models one capacity, and a cache whose shape does not grow from step to step"
    )
