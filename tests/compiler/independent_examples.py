"""Legal kernels by hand, as in `kind_examples`, of the kinds `batched` and `recurrent`."""

from __future__ import annotations

import numpy as np
from kind_examples import D0, D1, ONE, XY, Y, example, node
from legal_plans import activation, result, weight

from wsec.compiler.sharding import cut, whole

H = cut(6, 3, ("h",))
INDEPENDENT = (
    example(
        "CumSum",
        node("CumSum", "x,axis"),
        "batched",
        {"d0": 3},
        [activation("in0", "x", D0, whole(8)), weight("in1", "axis", ONE, dtype="int64")],
        result("y", D0, whole(8)),
        weights={"axis": np.array(1, dtype=np.int64)},
    ),
    example(
        "ArgMax, the dimension is gone",
        node("ArgMax", "x", axis=0, keepdims=0),
        "batched",
        {"d0": 2},
        [activation("in0", "x", whole(6), cut(8, 2, ("d0",)))],
        result("y", cut(8, 2, ("d0",)), dtype="int64"),
    ),
    example(
        "GatherElements, shorter than its data",
        node("GatherElements", "x,i", axis=1),
        "batched",
        XY,
        [activation("in0", "x", whole(9), whole(5)), activation("in1", "i", D0, D1, dtype="int64")],
        Y,
    ),
    example(
        "LSTM",
        node("LSTM", "x,w,r,b,,h", hidden_size=6, clip=2.0),
        "recurrent",
        {"b": 2, "h": 3},
        [
            activation("x", "x", whole(3), cut(4, 2, ("b",)), whole(5)),
            weight("w", "w", ONE, whole(4), H, whole(5)),
            weight("r", "r", ONE, whole(4), H, whole(6)),
            weight("bias", "b", ONE, whole(2), whole(4), H),
            activation("initial_h", "h", ONE, cut(4, 2, ("b",)), H),
        ],
        result("y", whole(3), ONE, cut(4, 2, ("b",)), H),
        {
            "cell": "LSTM",
            "direction": "forward",
            "activations": ("Sigmoid", "Tanh", "Tanh"),
            "clip": 2.0,
            "linear_before_reset": False,
            "input_forget": False,
            "outputs": (0,),
        },
        weights={"w": (1, 24, 5), "r": (1, 24, 6), "b": (1, 48)},
    ),
    example(
        "RNN, sums cut",
        node("RNN", "x,w,r", hidden_size=6),
        "recurrent",
        {"i": 2, "j": 3},
        [
            activation("x", "x", whole(3), whole(4), cut(5, 2, ("i",))),
            weight("w", "w", ONE, ONE, whole(6), cut(5, 2, ("i",))),
            weight("r", "r", ONE, ONE, whole(6), cut(6, 3, ("j",))),
        ],
        result("y", whole(3), ONE, whole(4), whole(6), root=("i", "j")),
        {
            "cell": "RNN",
            "direction": "forward",
            "activations": ("Tanh",),
            "clip": 0.0,
            "linear_before_reset": False,
            "input_forget": False,
            "outputs": (0,),
        },
        weights={"w": (1, 6, 5), "r": (1, 6, 6)},
    ),
    example(
        "GRU, both directions",
        node("GRU", "x,w,r", hidden_size=6, direction="bidirectional", linear_before_reset=1),
        "recurrent",
        {"d": 2},
        [
            activation("x", "x", whole(3), whole(4), whole(5)),
            weight("w", "w", cut(2, 2, ("d",)), whole(3), whole(6), whole(5)),
            weight("r", "r", cut(2, 2, ("d",)), whole(3), whole(6), whole(6)),
        ],
        result("y", whole(3), cut(2, 2, ("d",)), whole(4), whole(6)),
        {
            "cell": "GRU",
            "direction": "bidirectional",
            "activations": ("Sigmoid", "Tanh") * 2,
            "clip": 0.0,
            "linear_before_reset": True,
            "input_forget": False,
            "outputs": (0,),
        },
        weights={"w": (2, 18, 5), "r": (2, 18, 6)},
    ),
)
