"""Nodes run as models of their own."""

from __future__ import annotations

import numpy as np
from onnx import helper

from wsec.runtime.node_sessions import NodeSessions


def test_contributed_operators_that_load_with_sizes_only() -> None:
    """Shape inference of EmbedLayerNormalization in onnxruntime refuses an input of which it knows the rank alone."""
    rng = np.random.default_rng(3)
    words, places = (rng.standard_normal((count, 8)).astype(np.float32) for count in (9, 5))
    inputs = {
        "ids": rng.integers(0, 9, (2, 5)).astype(np.int32),
        "words": words,
        "places": places,
        "scale": np.ones(8, np.float32),
        "shift": np.zeros(8, np.float32),
    }
    node = helper.make_node(
        "EmbedLayerNormalization",
        ["ids", "", "words", "places", "", "scale", "shift"],
        ["y", "count"],
        domain="com.microsoft",
    )
    sessions = NodeSessions({"": 21, "com.microsoft": 1}, 10)
    (found,) = sessions.run_nodes([node], inputs, {"y": "float32"})
    total = words[inputs["ids"]] + places
    apart = total - total.mean(axis=-1, keepdims=True)
    np.testing.assert_allclose(found, apart / total.std(axis=-1, keepdims=True), rtol=1e-5, atol=1e-6)
