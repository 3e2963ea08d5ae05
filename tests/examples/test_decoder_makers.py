"""The makers of decoders: both forms and both entries compute the same, step by step."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest

import llama
from decoder_parts import Export
from model_writer import finish_model
from wsec.compiler.onnxruntime_session import make_session

if TYPE_CHECKING:
    from decoder_parts import DecoderConfig

Values = dict[str, Any]

PROMPT, STEPS, CONTEXT = 7, 8, 24
_TINY = llama.CONFIGS["tiny"]


def _model(config: DecoderConfig, export: Export) -> onnx.ModelProto:
    assert isinstance(config, llama.LlamaConfig)
    model = finish_model(llama.make_llama(config, export), "tiny", opset=export.opset)
    if (
        not export.contrib
    ):  # which has SimplifiedLayerNormalization in ONNX's domain, as onnxruntime's builder has
        onnx.checker.check_model(model)
    return model


class _Runner:
    """Runs a model, and feeds its cache back."""

    def __init__(self, config: DecoderConfig, export: Export) -> None:
        self.export = export
        self.session = make_session(_model(config, export).SerializeToString())
        self.outputs = [value.name for value in self.session.get_outputs()]

    def run(self, tokens: np.ndarray[Any, Any], filled: int, cache: Values) -> Values:
        mask = np.zeros((len(tokens), self.export.context), dtype=np.int64)
        mask[:, :filled] = 1
        feeds = {"input_ids": tokens, "attention_mask": mask}
        if self.export.decodes:
            feeds |= {name.replace("present", "past_key_values"): value for name, value in cache.items()}
        return dict(zip(self.outputs, self.session.run(None, feeds), strict=True))


def _cache(values: Values) -> Values:
    return {name: value for name, value in values.items() if name != "logits"}


def _tokens(config: DecoderConfig, batch: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(0).integers(0, config.vocabulary, (batch, PROMPT + STEPS))


def _decode(config: DecoderConfig, export: Export) -> list[Values]:
    """The prompt at once, then token by token."""
    tokens = _tokens(config, export.batch)
    prefill = _Runner(config, replace(export, entry="prefill", sequence=PROMPT))
    decode = _Runner(config, replace(export, entry="decode"))
    results = [prefill.run(tokens[:, :PROMPT], PROMPT, {})]
    for step in range(PROMPT, PROMPT + STEPS):
        results.append(decode.run(tokens[:, step : step + 1], step + 1, _cache(results[-1])))
    return results


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("precision", ["fp32", "int8", "int4"])
def test_both_forms_are_the_same_decoder(precision: str, batch: int) -> None:
    """Logits and cache of the contrib form equal those of the standard form, at the prompt and at each step."""
    export = Export(context=CONTEXT, precision=precision, batch=batch)
    contrib, standard = (_decode(_TINY, replace(export, form=form)) for form in ("contrib", "standard"))
    for expected, found in zip(contrib, standard, strict=True):
        assert expected.keys() == found.keys()
        for name, value in expected.items():
            np.testing.assert_allclose(found[name], value, atol=5e-5, err_msg=name)
