"""Legal mixtures of experts by hand, as in `kind_examples`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kind_examples import example, node
from legal_plans import activation, result, weight

from wsec.compiler.sharding import cut, whole

if TYPE_CHECKING:
    from kind_examples import Example

    from wsec.compiler.plan import KernelInput
    from wsec.compiler.sharding import DimensionSharding

OF_E, OF_I, OF_H = (
    cut(5, 3, ("e",)),
    cut(4, 2, ("i",)),
    cut(6, 2, ("h",)),
)  # experts, inner and hidden features
MIXTURE = {
    "chosen": 2, "activation": "relu", "joined": "no", "alpha": 1.0, "beta": 0.0, "limited": False, "limit": 0.0,
    "limited_behind": False, "normalized": False,
}  # fmt: skip


def _mixture(
    name: str, operands: list[KernelInput], rows: tuple[DimensionSharding, ...], /, **own: Any
) -> Example:
    """A MoE of five experts; `own` are attributes of the node and arguments of the kernel, told apart by their names."""
    arguments = {**MIXTURE, **{key: value for key, value in own.items() if key in MIXTURE}}
    attributes = {key: value for key, value in own.items() if key not in MIXTURE}
    names = {item.role: item.tensor for item in operands}
    order = ("x", "router", "w1", "w1_bias", "w2", "w2_bias", "w3", "w3_bias")
    inputs = ",".join(names.get(role, "") for role in order)
    shape = tuple(dimension.extent for dimension in rows)
    weights: dict[str, Any] = {
        "w1": (5, 4, 6),
        "w2": (5, 6, 4),
        "w3": (5, 4, 6),
        "b1": (5, 4),
        "b2": (5, 6),
        "b3": (5, 4),
    }
    if arguments["joined"] != "no":
        weights |= {"w1": (5, 8, 6), "b1": (5, 8)}
    return example(
        name,
        node("MoE", inputs.rstrip(","), domain="com.microsoft", k=2, **attributes),
        "experts",
        {"e": 3, "i": 2, "h": 2},
        operands,
        result("y", *rows, OF_H, root=("e", "i")),
        arguments,
        weights={item.tensor: weights[item.tensor] for item in operands if item.constant},
        shapes={
            "x": (*shape, 6),
            "y": (*shape, 6),
            "router": (shape[-1] * (shape[0] if len(shape) > 1 else 1), 5),
        },
    )


MIXTURES = [
    _mixture(
        "MoE, gates in pairs",
        [
            activation("x", "x", whole(3), OF_H), activation("router", "router", whole(3), whole(5)),
            weight("w1", "w1", OF_E, OF_I, whole(2), OF_H), weight("w1_bias", "b1", OF_E, OF_I, whole(2)),
            weight("w2", "w2", OF_E, OF_H, OF_I), weight("w2_bias", "b2", OF_E, OF_H),
        ],
        (whole(3),),
        activation_type="swiglu", swiglu_fusion=1, activation_alpha=1.5, swiglu_limit=7.0, normalize_routing_weights=1,
        activation="swiglu", joined="pairs", alpha=1.5, limited=True, limit=7.0, normalized=True,
    ),
    _mixture(
        "MoE, gates in halves, of several samples",
        [
            activation("x", "x", whole(2), whole(3), OF_H), activation("router", "router", whole(2), whole(3), whole(5)),
            weight("w1", "w1", OF_E, whole(2), OF_I, OF_H), weight("w2", "w2", OF_E, OF_H, OF_I),
        ],
        (whole(2), whole(3)),
        activation_type="swiglu", swiglu_fusion=2, activation_beta=1.0, swiglu_limit_after_activation=1,
        activation="swiglu", joined="halves", beta=1.0, limited_behind=True,
    ),
    _mixture(
        "MoE, biases in shares",
        [
            activation("x", "x", whole(3), OF_H), activation("router", "router", whole(3), whole(5)),
            weight("w1", "w1", OF_E, OF_I, OF_H), weight("w1_bias", "b1", OF_E, cut(2, 2, ("i",)), cut(2, 2, ("h",))),
            weight("w2", "w2", OF_E, OF_H, OF_I), weight("w2_bias", "b2", OF_E, cut(2, 2, ("h",)), cut(3, 2, ("i",))),
        ],
        (whole(3),),
        activation_type="silu", activation="silu",
    ),
    _mixture(
        "MoE, gates apart",
        [
            activation("x", "x", whole(3), OF_H), activation("router", "router", whole(3), whole(5)),
            weight("w1", "w1", OF_E, OF_I, OF_H), weight("w2", "w2", OF_E, OF_H, OF_I),
            weight("w3", "w3", OF_E, OF_I, OF_H), weight("w3_bias", "b3", OF_E, OF_I),
        ],
        (whole(3),),
        activation_type="silu", activation="silu",
    ),
]  # fmt: skip
