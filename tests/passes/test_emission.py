"""What a rewriting has put in front of a node before it finds that it cannot go on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from wsec.passes.legalization.emission import Emission
from wsec.passes.rewriting import Rewriter

if TYPE_CHECKING:
    from collections.abc import Callable


def test_withdrawing_leaves_the_graph_as_it_was(build: Callable[[str], ir.Model]) -> None:
    """Operators and constants go, those that only this node shares too; what another node shares stays."""
    model = build("g (float[2] x) => (float[2] y) { t = Relu(x) y = Neg(t) }")
    rewriter, shared = Rewriter(model), dict[object, ir.Value]()
    first, second = list(model.graph)
    kept = Emission(rewriter, first, shared).shared(("kept",), lambda: np.zeros(2, np.float32))
    before = ir.serde.serialize_model(model).SerializeToString(deterministic=True)
    emit = Emission(rewriter, second, shared)
    assert emit.shared(("kept",), lambda: np.ones(2, np.float32)) is kept
    given = emit.shared(("new",), lambda: np.ones(2, np.float32))
    emit("Add", emit.input(0), emit("Mul", given, emit.scalar(2, given)))
    emit.withdraw()
    assert ir.serde.serialize_model(model).SerializeToString(deterministic=True) == before
    assert list(shared) == [("kept",)]
