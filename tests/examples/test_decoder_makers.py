"""The makers of decoders: both forms and both entries compute what the models are defined to compute."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
from decoder_reference import Weights, logits_of

import gpt_oss
import llama
from decoder_parts import Export
from gpt_oss import GptOssConfig, make_gpt_oss
from llama import LlamaConfig, make_llama
from model_writer import finish_model, write_model
from wsec.compiler.onnxruntime_session import make_session

if TYPE_CHECKING:
    from decoder_parts import DecoderConfig
    from model_writer import GraphMaker

Values = dict[str, Any]

SCRIPTS = Path(__file__).parents[2] / "examples" / "models"
PROMPT, STEPS, CONTEXT = 7, 8, 24
LLAMA, GPT_OSS = llama.CONFIGS["tiny"], gpt_oss.CONFIGS["tiny"]


def _maker(config: DecoderConfig, export: Export, experts: str) -> GraphMaker:
    if isinstance(config, GptOssConfig):
        return make_gpt_oss(config, export, experts)
    assert isinstance(config, LlamaConfig)
    return make_llama(config, export)


@dataclass(frozen=True)
class _Runner:
    """Runs a model of one entry."""

    config: DecoderConfig
    export: Export
    experts: str = ""

    def __post_init__(self) -> None:
        model = finish_model(_maker(self.config, self.export, self.experts), "tiny", opset=self.export.opset)
        if (
            not self.export.contrib
        ):  # which has SimplifiedLayerNormalization in ONNX's domain, as onnxruntime's builder has
            onnx.checker.check_model(model, full_check=True)
        object.__setattr__(self, "session", make_session(model.SerializeToString()))

    def run(self, tokens: np.ndarray[Any, Any], filled: int, cache: Values) -> Values:
        """The outputs after a step; `filled` positions are filled behind it."""
        mask = np.zeros((len(tokens), self.export.context), dtype=np.int64)
        mask[:, :filled] = 1
        feeds = {"input_ids": tokens, "attention_mask": mask}
        if self.export.decodes:
            feeds |= {name.replace("present", "past_key_values"): value for name, value in cache.items()}
        session: Any = self.session  # type: ignore[attr-defined]
        names = [value.name for value in session.get_outputs()]
        return dict(zip(names, session.run(None, feeds), strict=True))


def _cache(values: Values) -> Values:
    return {name: value for name, value in values.items() if name != "logits"}


def _empty(config: DecoderConfig, export: Export) -> Values:
    shape = (export.batch, config.kv_heads, export.context, config.head_size)
    names = [f"present.{layer}.{part}" for layer in range(config.layers) for part in ("key", "value")]
    return {name: np.zeros(shape, dtype=export.dtype) for name in names}


def _tokens(config: DecoderConfig, batch: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(0).integers(0, config.vocabulary, (batch, PROMPT + STEPS))


def _decode(config: DecoderConfig, export: Export, experts: str = "") -> list[Values]:
    """The prompt at once, then token by token."""
    tokens = _tokens(config, export.batch)
    prefill = _Runner(config, replace(export, entry="prefill", sequence=PROMPT), experts)
    decode = _Runner(config, replace(export, entry="decode"), experts)
    results = [prefill.run(tokens[:, :PROMPT], PROMPT, {})]
    for step in range(PROMPT, PROMPT + STEPS):
        results.append(decode.run(tokens[:, step : step + 1], step + 1, _cache(results[-1])))
    return results


def _assert_close(found: Values, expected: Values, tolerance: float) -> None:
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, atol=tolerance, err_msg=name)


@pytest.mark.parametrize("form", ["contrib", "standard"])
@pytest.mark.parametrize(
    ("config", "precision", "experts"),
    [
        (LLAMA, "fp32", ""),
        (LLAMA, "int4", ""),
        (replace(LLAMA, windows=(0, 5), qkv_bias=True, sinks=True), "fp32", ""),
        (GPT_OSS, "fp32", "fp32"),
        (GPT_OSS, "fp32", "int4"),
    ],
    ids=["llama", "llama-int4", "llama-window-bias-sink", "gpt-oss", "gpt-oss-int4"],
)
def test_a_decoder_computes_what_it_is_defined_to(
    config: DecoderConfig, precision: str, experts: str, form: str
) -> None:
    """The prompt, and each of eight steps on its cache, gives the logits of a plain computation without a cache.

    Sinks, windows by turns, YaRN, the bound of the activation and the choice of four experts are in it.
    """
    export = Export(form=form, context=CONTEXT, precision=precision, batch=2)
    tokens, results = _tokens(config, 2), _decode(config, export, experts)
    weights = Weights(precision, experts or precision)
    for sequence in range(2):
        expected = logits_of(config, weights, tokens[sequence])
        found = [results[0]["logits"][sequence], *(result["logits"][sequence] for result in results[1:])]
        np.testing.assert_allclose(np.concatenate(found), expected, atol=2e-5)
    assert np.abs(expected).max() > 1  # numbers that a mistake would be seen in


@pytest.mark.parametrize("config", [LLAMA, GPT_OSS], ids=["llama", "gpt-oss"])
def test_both_forms_leave_the_same_cache(config: DecoderConfig) -> None:
    """A cache can go from one form to the other: at the prompt and at each step they are equal, slot by slot."""
    export = Export(context=CONTEXT)
    contrib, standard = (_decode(config, replace(export, form=form)) for form in ("contrib", "standard"))
    for found, expected in zip(contrib, standard, strict=True):
        _assert_close(found, expected, 2e-5)
        assert found["present.1.key"].shape == (1, config.kv_heads, CONTEXT, config.head_size)


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_half_precision_is_the_same_model(precision: str) -> None:
    """In fp16 both forms agree within its rounding."""
    export = Export(context=CONTEXT, precision=precision, activations="fp16")
    contrib, standard = (_decode(LLAMA, replace(export, form=form)) for form in ("contrib", "standard"))
    for found, expected in zip(contrib, standard, strict=True):
        _assert_close(found, expected, 0.03)


@pytest.mark.parametrize("form", ["contrib", "standard"])
@pytest.mark.parametrize("config", [LLAMA, GPT_OSS], ids=["llama", "gpt-oss"])
def test_several_tokens_behind_a_past(config: DecoderConfig, form: str) -> None:
    """A decode step of several tokens leaves the cache and the logits that they leave one by one."""
    export, tokens = Export(form=form, context=CONTEXT), _tokens(config, 1)
    single, several = _Runner(config, export), _Runner(config, replace(export, sequence=3))
    values, cache = {}, _empty(config, export)
    for step in range(6):
        values = single.run(tokens[:, step : step + 1], step + 1, cache)
        cache = _cache(values)
    both = several.run(tokens[:, :3], 3, _empty(config, export))
    both = several.run(tokens[:, 3:6], 6, _cache(both))
    both["logits"] = both["logits"][:, -1:]
    _assert_close(both, values, 2e-5)


def test_weight_free_models_have_the_published_sizes(tmp_path: Path) -> None:
    """The declared bytes of gpt-oss are those of its checkpoints, and the file holds none of them."""
    published = {"20b": (20_914_757_184, 12.82), "120b": (116_829_156_672, 60.77)}
    for name, (parameters, gibibytes) in published.items():
        config, export = (
            gpt_oss.CONFIGS[name],
            Export(form="contrib", context=128, activations="fp16", precision="fp16"),
        )
        halves = make_gpt_oss(config, export)
        assert sum(weight.size_bytes for weight in halves.weights) == 2 * parameters
        maker = make_gpt_oss(config, export, "mxfp4")
        assert round(sum(weight.size_bytes for weight in maker.weights) / 2**30, 2) == gibibytes
        assert write_model(maker, tmp_path / f"{name}.onnx", weights="none", opset=24) < 2e6
    assert sorted(path.name for path in tmp_path.iterdir()) == ["120b.onnx", "20b.onnx"]


def test_the_written_out_form_has_the_nodes_of_an_export() -> None:
    """The standard form of 20b and 120b, with every expert written out, is as large as those that exporters write."""
    export = Export(context=128, precision="fp16", activations="fp16")
    nodes = {name: len(make_gpt_oss(gpt_oss.CONFIGS[name], export).graph.node) for name in ("20b", "120b")}
    assert nodes == {"20b": 18_028, "120b": 99_604}


def test_weights_beside_the_model_are_those_inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model whose weights are too many for one file reads them from the file beside, and computes the same."""
    export = Export(context=CONTEXT)
    write_model(make_llama(LLAMA, export), tmp_path / "inside.onnx", opset=export.opset)
    monkeypatch.setattr("model_writer._INLINE_BYTES", 1000)
    write_model(make_llama(LLAMA, export), tmp_path / "beside.onnx", opset=export.opset)
    names = ["beside.onnx", "beside.onnx.data", "inside.onnx"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    inside, beside = (onnx.load(tmp_path / name) for name in ("inside.onnx", "beside.onnx"))
    values = [
        {w.name: onnx.numpy_helper.to_array(w).tobytes() for w in m.graph.initializer}
        for m in (inside, beside)
    ]
    assert values[0] == values[1]


@pytest.mark.parametrize(
    ("script", "options", "said"),
    [
        ("llama.py", ["--sequence", "40"], "40 tokens exceed the context of 32"),
        ("llama.py", ["--precision", "mxfp4"], "MatMulNBits takes integers, not mxfp4"),
        ("llama.py", ["--sequence", "2", "--batch", "2"], "only for a batch of 1"),
        ("gpt_oss.py", ["--precision", "int3"], "invalid choice: 'int3'"),
    ],
)
def test_options_that_contradict_one_another(
    script: str, options: list[str], said: str, tmp_path: Path
) -> None:
    """The command line says what is wrong, and writes nothing."""
    command = [sys.executable, str(SCRIPTS / script), *options, "-o", str(tmp_path / "model.onnx")]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 2
    assert said in done.stderr
    assert not list(tmp_path.iterdir())


def test_the_command_line_writes_a_model(tmp_path: Path) -> None:
    """Equal options give equal bytes, and one line says what was written."""
    files = [tmp_path / name / "tiny.onnx" for name in ("a", "b")]
    for path in files:
        command = [sys.executable, str(SCRIPTS / "gpt_oss.py"), "--form", "standard", "-o", str(path)]
        done = subprocess.run([*command, "--precision", "mxfp4"], check=True, capture_output=True, text=True)
        assert done.stdout.startswith(f"{path}: 520 nodes, 0.1 MB of weights")
    assert files[0].read_bytes() == files[1].read_bytes()
