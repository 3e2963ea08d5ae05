"""A prefill beside its decoder: weights and caches that are on the cores once, equal numbers, and a checker that knows both."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

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
from wsec.compiler.plan import TurnLoad
from wsec.compiler.plan_checker import check_pair
from wsec.compiler.plan_io import digest_of
from wsec.compiler.target import ExternalMemory, load_target
from wsec.driver import Options, PrefillRequest, compile_model

if TYPE_CHECKING:
    from pathlib import Path

    from wsec.compiler.plan import Plan as Record
    from wsec.loaded_plan import Plan

CONTEXT = 12
_LLAMA = replace(llama.CONFIGS["tiny"], layers=1)
_GPT_OSS = replace(gpt_oss.CONFIGS["tiny"], layers=1, experts=4, chosen=2)


def _models(folder: Path, name: str, form: str, sequence: int = 8) -> tuple[Path, Path]:
    """A decoder and its prefill of fewer tokens than the context."""
    found = []
    for entry, tokens in (("decode", 1), ("prefill", sequence)):
        export = Export(form=form, entry=entry, context=CONTEXT, sequence=tokens)
        maker = (
            llama.make_llama(_LLAMA, export)
            if name == "llama"
            else gpt_oss.make_gpt_oss(_GPT_OSS, export, "int4" if form == "contrib" else "fp32")
        )
        found.append(folder / f"{entry}.onnx")
        write_model(maker, found[-1], opset=export.opset)
    return found[0], found[1]


def _pair(folder: Path, models: tuple[Path, Path], **options: Any) -> Plan:
    settings = {"mode": "sequential", "target": "wse3", "region": (24, 24), "effort": 0.0, **options}
    return compile_model(
        models[0], Options(**settings), folder / "pair.plan", prefill=PrefillRequest(models[1])
    )


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    """A small Llama whose plans share weights."""
    folder = tmp_path_factory.mktemp("pair")
    return _pair(folder, _models(folder, "llama", "contrib"))


def _prefill(pair: Plan) -> Plan:
    found = pair.prefill
    assert found is not None
    return found


def test_every_matrix_is_there_once_and_the_numbers_are_those_of_onnxruntime(pair: Plan) -> None:
    """No matrix is copied; caches stay on the wafer; a prompt longer than the prefill goes on token by token; steps are equal."""
    prefill = _prefill(pair)
    shared = prefill.record.shared
    assert shared is not None
    assert {weight.kept for weight in shared.weights if weight.bytes > 256} <= {"in_place", "moved"}
    copied = sum(weight.bytes for weight in shared.weights if weight.kept == "copied")
    assert copied <= 3 * 64 * 4  # the three norms, whole on a core
    assert len(shared.caches) == 2
    assert not [link for link in prefill.record.links() if link.tensor.startswith("present")]
    for prompt, runs in (((5, 99, 17), 3), (tuple(range(1, 11)), 5)):
        found = pair.generate(prompt, 3, verify=True)
        assert found.passed
        assert len(found.steps) == runs
        assert found.tokens == pair.generate(prompt, 3, prefill="none").tokens
    assert pair.check() == ()


def test_moves_are_in_the_time_to_the_first_token(pair: Plan) -> None:
    """What is brought from the decoder's cores is part of the kernels' communication, and the estimate counts it."""
    prefill = _prefill(pair)
    shared = prefill.record.shared
    assert shared is not None
    moved = sum(weight.cycles for weight in shared.weights) + sum(cache.cycles for cache in shared.caches)
    assert moved > 0
    assert prefill.estimate().latency_cycles > moved
    decoding = pair.decoding()
    assert decoding is not None
    assert decoding.first_token.seconds == prefill.estimate().latency_seconds


@pytest.mark.parametrize(
    ("name", "form", "options"),
    [
        ("gpt-oss", "contrib", {}),
        ("llama", "standard", {"wafers": 2}),
        ("llama", "contrib", {"mode": "pipelined", "region": (48, 48)}),
    ],
)
def test_other_forms_modes_and_wafers(tmp_path: Path, name: str, form: str, options: dict[str, Any]) -> None:
    """Experts, several wafers and a decoder that is a pipeline: equal to onnxruntime, and legal as a pair."""
    plan = _pair(tmp_path, _models(tmp_path, name, form), **options)
    assert plan.generate((5, 99, 17), 2, verify=True).passed
    assert plan.check() == ()
    prefill = _prefill(plan).record
    assert len(prefill.wafers) == len(plan.record.wafers)
    assert prefill.shared is not None
    assert prefill.shared.weights


def _in_place(record: Record) -> Record:
    """The same plan, that says of every moved weight that it is in place."""
    shared = record.shared
    assert shared is not None
    weights = tuple(
        replace(each, kept="in_place", cycles=0) if each.kept == "moved" else each for each in shared.weights
    )
    return replace(record, shared=replace(shared, weights=weights))


def _changed(record: Record, **changes: Any) -> Record:
    """The same plan with another first moved weight."""
    shared = record.shared
    assert shared is not None
    at = next(number for number, each in enumerate(shared.weights) if each.kept == "moved")
    weights = list(shared.weights)
    weights[at] = replace(weights[at], **changes)
    return replace(record, shared=replace(shared, weights=tuple(weights)))


def test_the_checker_finds_what_is_wrong_with_a_pair(pair: Plan) -> None:
    """Weights that are not where they are said to be, moves that take no time, another decoder, memory of both."""
    decoder, record = pair.record, _prefill(pair).record
    digest = digest_of(decoder)

    def codes(changed: Record, of: Record = decoder) -> set[str]:
        return {finding.code for finding in check_pair(of, changed, digest)}

    assert codes(record) == set()
    assert codes(_in_place(record)) == {"WSEC543"}
    assert codes(_changed(record, cycles=1)) == {"WSEC548"}
    assert codes(_changed(record, cycles=1 << 30)) == {"WSEC548"}  # that the kernel has no time for
    assert codes(_changed(record, bytes=1)) == {"WSEC546"}
    assert codes(_changed(record, holder="nobody")) == {"WSEC547"}
    assert codes(_changed(record, decoder_tensor="nothing")) == {"WSEC547"}
    assert codes(replace(record, shared=None)) == {"WSEC541"}
    assert {finding.code for finding in check_pair(decoder, record, "0")} == {"WSEC541"}
    shared = record.shared
    assert shared is not None
    caches = tuple(replace(each, state="no such state") for each in shared.caches)
    assert codes(replace(record, shared=replace(shared, caches=caches))) == {"WSEC547"}
    full = replace(decoder.target.core, sram_bytes=decoder.target.core.code_reserve_bytes + 2000)
    small = replace(decoder.target, core=full)
    assert codes(replace(record, target=small), replace(decoder, target=small)) == {"WSEC546"}


def test_a_prefill_runs_with_the_decoder_it_was_made_for(pair: Plan, tmp_path: Path) -> None:
    """WSEC156: another plan of the same decoder has its weights elsewhere."""
    other = compile_model(
        pair.folder.parent / "decode.onnx",
        Options(target="wse3", region=(8, 8), mode="sequential", effort=0.0),
        tmp_path / "other.plan",
    )
    with pytest.raises(WsecError) as caught:
        other.generate((1, 2), 1, prefill=_prefill(pair))
    expected, found = (digest_of(plan.record) for plan in (pair, other))
    assert str(caught.value) == (
        "error[WSEC156]: the plan of the prefill was not made for this plan of the decoder\n"
        f"  where:    {pair.folder / 'prefill'} beside {other.folder}\n"
        f"  expected: a plan.json of SHA-256 {expected}\n"
        f"  found:    one of {found}\n"
        "  try:      compile both together: `wsec compile DECODER --prefill MODEL`, or the prefill with --weights-of"
    )


def _refusal(models: tuple[Path, Path], folder: Path, **options: Any) -> str:
    with pytest.raises(WsecError) as caught:
        _pair(folder, models, **options)
    assert not (folder / "pair.plan").exists()
    return str(caught.value)


def test_models_that_are_no_pair(tmp_path: Path) -> None:
    """Each message whole: nothing in common, another cache, weights that do not stay, no room."""
    decoder, prefill = _models(tmp_path, "llama", "standard")
    maker = ModelMaker()
    other = maker.save(tmp_path / "conv.onnx", {"x": (1, 2, 8, 8)}, [maker.conv("x", (2, 4), (3, 3))])
    assert _refusal((decoder, other), tmp_path) == (
        "error[WSEC153]: the prefill and the decoder have nothing in common\n"
        "  where:    conv.onnx beside decode.onnx\n"
        "  expected: weights with equal contents, or outputs of the prefill that are updates of the decoder's states\n"
        "  found:    2 constants of the prefill, 29 of the decoder, none of them equal\n"
        "            2 states of the decoder, none of them made by the prefill\n"
        "  try:      export both from one checkpoint, or compile them apart"
    )
    export = Export(form="standard", entry="prefill", context=10, sequence=8)
    write_model(llama.make_llama(_LLAMA, export), tmp_path / "shorter.onnx", opset=export.opset)
    assert _refusal((decoder, tmp_path / "shorter.onnx"), tmp_path) == (
        "error[WSEC154]: the cache that the prefill makes is not the one that the decoder reads\n"
        "  where:    output present.0.key of the prefill, input past_key_values.0.key of the decoder\n"
        "  expected: float32 1 x 2 x 12 x 16\n"
        "  found:    float32 1 x 2 x 10 x 16\n"
        "  try:      make both models for one context, batch and element type"
    )
    assert _refusal((decoder, decoder), tmp_path) == (
        "error[WSEC154]: a prefill makes caches and reads none\n"
        "  where:    input past_key_values.0.key of decode.onnx\n"
        "  expected: a model of the whole prompt, whose outputs are the caches\n"
        "  found:    2 of 2 states of the decoder among its inputs\n"
        "  try:      give the model that was exported for prompts; a decoder alone takes a prompt token by token"
    )
    assert _refusal((decoder, prefill), tmp_path, mode="streaming", phases=2, wafers=1) == (
        "error[WSEC155]: the weights of the decoder do not stay on the cores, so that no prefill can share them\n"
        "  where:    wafer 0 of the plan of decode.onnx\n"
        "  expected: a decoder whose weights are resident: --mode sequential or pipelined\n"
        "  found:    mode streaming, which loads weights for each phase\n"
        "  try:      compile the decoder in another mode, on more wafers, or the two models apart"
    )


def test_a_decoder_whose_turns_load_weights_is_refused(tmp_path: Path) -> None:
    """Its wafer is sequential, yet what some turns load is gone when the prefill works."""
    machine = load_target("wse3")
    core = replace(machine.core, sram_bytes=machine.core.code_reserve_bytes + 16_000)
    small = replace(machine, core=core, external_memory=ExternalMemory(1 << 40, 1e12))
    models = _models(tmp_path, "llama", "contrib")
    refusal = _refusal(models, tmp_path, mode="sequential-streaming", target=small, region=(6, 6))
    assert refusal.startswith("error[WSEC155]")
    assert "load their weights for every sample, turn " in refusal


def test_what_the_decoder_does_not_keep_is_not_shared(pair: Plan) -> None:
    """The checker sees by itself that weights of a turn with a load are not on the cores."""
    record = _prefill(pair).record
    wafers = tuple(
        replace(wafer, phases=tuple(replace(phase, load=TurnLoad(1, ahead=False)) for phase in wafer.phases))
        for wafer in pair.record.wafers
    )
    decoder = replace(pair.record, wafers=wafers)
    shared = record.shared
    assert shared is not None
    taken = replace(record, shared=replace(shared, plan_sha256=digest_of(decoder)))
    found = check_pair(decoder, taken, digest_of(decoder))
    assert {finding.rule for finding in found} == {"a shared weight stays on the cores of the decoder"}
    assert len(found) == sum(weight.kept != "copied" for weight in shared.weights)


def test_the_command_line(pair: Plan, tmp_path: Path) -> None:
    """--weights-of makes the same plan as --prefill; check-plan judges both; options that contradict are refused."""
    runner = CliRunner()
    folder = pair.folder.parent

    def run(*arguments: object) -> tuple[int, str]:
        result = runner.invoke(application, [str(each) for each in arguments])
        return result.exit_code, result.output

    apart = tmp_path / "apart.plan"
    status, text = run("compile", folder / "prefill.onnx", "--weights-of", pair.folder, "-o", apart)
    assert status == ExitStatus.OK, text
    assert (apart / "plan.json").read_bytes() == (pair.folder / "prefill" / "plan.json").read_bytes()
    status, text = run("check-plan", apart, "--shares", pair.folder)
    assert status == ExitStatus.OK
    assert text.endswith("legal\n")
    assert run("check-plan", pair.folder / "prefill")[0] == ExitStatus.OK
    status, text = run("check-plan", pair.folder, "--shares", apart)
    assert status == ExitStatus.FAILED_CHECK
    assert "the plan of a prefill says what it shares with that of its decoder" in " ".join(text.split())
    assert run("run", pair.folder, "--generate", "1,2,3", "--steps", 2, "--verify")[0] == ExitStatus.OK
    assert run("run", pair.folder, "--generate", "1,2,3", "--prefill", apart)[0] == ExitStatus.OK
    for wrong in (["--prefill-dim", "a=1"], ["--prefill", "x.onnx", "--weights-of", pair.folder]):
        assert run("compile", folder / "decode.onnx", *wrong)[0] == ExitStatus.USAGE


def test_wsec_compile_takes_both(tmp_path: Path) -> None:
    """`import wsec` has what the command line has."""
    decoder, prefill = _models(tmp_path, "llama", "contrib")
    plan = wsec.compile(
        decoder, target="wse3", region=(24, 24), mode="sequential", effort=0.0, prefill=prefill
    )
    assert _prefill(plan).record.shared is not None


def test_weights_that_nobody_has_given_are_known_by_their_place(tmp_path: Path) -> None:
    """A weight-free pair shares all its matrices, compiled together and for a plan that was read; it is checked and estimated."""
    paths = []
    for entry, tokens in (("decode", 1), ("prefill", 8)):
        export = Export(form="contrib", entry=entry, context=CONTEXT, sequence=tokens, precision="fp16")
        paths.append(tmp_path / f"{entry}.onnx")
        write_model(llama.make_llama(_LLAMA, export), paths[-1], weights="none", opset=export.opset)
    plan = _pair(tmp_path, (paths[0], paths[1]))
    shared = _prefill(plan).record.shared
    assert shared is not None
    names = {weight.tensor for weight in shared.weights}
    assert {"embed_tokens.weight", "lm_head.weight", "layers.0.mlp.down_proj.weight"} <= names
    assert plan.check() == ()
    again = compile_model(paths[1], Options(effort=0.0), tmp_path / "again.plan", weights_of=plan.folder)
    assert again.record.shared == shared


def test_an_estimate_of_a_decoder_speaks_of_tokens(pair: Plan) -> None:
    """Tokens and not samples a second, the first of them by the prefill in the folder, and what this plan does as it is."""
    runner = CliRunner()
    text = " ".join(runner.invoke(application, ["estimate", str(pair.folder)]).output.split())
    assert "samples/s" not in text
    assert "by the plan of the prefill" in text
    assert "a core has room for" in text
    given = json.loads(runner.invoke(application, ["estimate", str(pair.folder), "--json"]).output)
    prefill = _prefill(pair).estimate()
    assert given["decoding"]["first_token"]["prompt"] == 8
    assert given["decoding"]["first_token"]["seconds"] == prefill.latency_seconds
    planned = [point for point in given["decoding"]["table"] if point["as_planned"]]
    assert {point["context"] for point in planned} == {2, 3, 6, 12}
    alone = runner.invoke(application, ["estimate", str(pair.folder / "prefill")]).output
    assert "samples/s" in alone
