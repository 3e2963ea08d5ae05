"""Tiny decoders of both kinds, forms and entries, and a loop that decodes with onnxruntime."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

import gpt_oss
import llama
from decoder_parts import Export
from gpt_oss import make_gpt_oss
from llama import make_llama
from model_writer import write_model
from wsec.compiler.onnxruntime_session import make_session

if TYPE_CHECKING:
    from pathlib import Path

Values = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Decoder:
    """A tiny decoder: its kind, `llama` or `gpt_oss`, and how it is exported."""

    kind: str = "llama"
    form: str = "contrib"
    entry: str = "decode"
    context: int = 12
    sequence: int = 1
    batch: int = 1
    activations: str = "fp32"

    @property
    def name(self) -> str:
        """For the ids of tests."""
        return f"{self.kind}-{self.form}-{self.batch}x{self.sequence}"

    def save(self, folder: Path) -> Path:
        """The model's file."""
        export = Export(
            form=self.form,
            entry=self.entry,
            context=self.context,
            sequence=self.sequence,
            batch=self.batch,
            activations=self.activations,
        )
        maker = (
            make_llama(llama.CONFIGS["tiny"], export)
            if self.kind == "llama"
            else make_gpt_oss(gpt_oss.CONFIGS["tiny"], export)
        )
        path = folder / f"{self.kind}.onnx"
        write_model(maker, path, opset=export.opset)
        return path

    def inputs(self, step: int) -> Values:
        """Tokens and mask of a step."""
        draw = np.random.default_rng(step)
        mask = np.zeros((self.batch, self.context), np.int64)
        mask[:, : (step + 1) * self.sequence] = 1
        return {"input_ids": draw.integers(0, 40, (self.batch, self.sequence)), "attention_mask": mask}


class Oracle:
    """Decodes step by step with onnxruntime, which is given the cache in each of them."""

    def __init__(self, path: Path) -> None:
        self._session: Any = make_session(path.read_bytes())
        self.cache: Values = {
            item.name: np.zeros(item.shape, np.float16 if "float16" in item.type else np.float32)
            for item in self._session.get_inputs()
            if item.name.startswith("past_key_values")
        }

    def run(self, inputs: Values) -> Values:
        """The outputs of one step; its present is the past of the next."""
        names = [item.name for item in self._session.get_outputs()]
        found = dict(zip(names, self._session.run(None, {**inputs, **self.cache}), strict=True))
        self.cache = {name: found[name.replace("past_key_values", "present")] for name in self.cache}
        return found
