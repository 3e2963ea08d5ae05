"""Weights of a prefill that are on the cores as those of its decoder (docs/pairs.md): read from the decoder's model, once for both."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wsec.compiler.errors import WsecError
from wsec.compiler.plan_io import digest_of
from wsec.runtime.lowered_model import LoweredModel

if TYPE_CHECKING:
    from wsec.compiler.plan import KernelInput
    from wsec.compiler.plan_io import LoadedPlan
    from wsec.runtime.element_types import Array


class SharedWeights:
    """What a plan finds of its decoder; nothing where there is none.

    Raises:
        WsecError: WSEC156 the plan was made for another decoder.
    """

    def __init__(self, loaded: LoadedPlan, decoder: LoadedPlan | None) -> None:
        self._model: LoweredModel | None = None
        self._names: dict[tuple[str, str], str] = {}
        shared = loaded.plan.shared
        if decoder is None or shared is None:
            return
        check_decoder(loaded, decoder)
        self._model = LoweredModel(decoder.lowered_path)
        for weight in shared.weights:
            if weight.kept != "copied":
                self._names[weight.kernel, weight.role] = weight.decoder_tensor

    def find(self, kernel: str, item: KernelInput) -> Array | None:
        """The weight as the decoder has it; None for one that is the plan's own.

        Raises:
            ValueError: It has another number of elements than the kernel reads.
        """
        name = self._names.get((kernel, item.role))
        if name is None or self._model is None:
            return None
        return self._model.constant(name)


def check_decoder(loaded: LoadedPlan, decoder: LoadedPlan) -> None:
    """Refuse a decoder that the plan was not made for.

    Raises:
        WsecError: WSEC156.
    """
    shared = loaded.plan.shared
    found = digest_of(decoder.plan)
    if shared is not None and shared.plan_sha256 == found:
        return
    raise WsecError(
        "WSEC156",
        "the plan of the prefill was not made for this plan of the decoder",
        where=f"{loaded.folder} beside {decoder.folder}",
        expected="a plan that shares nothing"
        if shared is None
        else f"a plan.json of SHA-256 {shared.plan_sha256}",
        found=f"one of {found}",
        hint="compile both together: `wsec compile DECODER --prefill MODEL`, or the prefill with --weights-of",
    )
