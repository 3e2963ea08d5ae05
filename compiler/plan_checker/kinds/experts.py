"""The kind `experts`: what a mixture of experts reads, and how much of it a core computes."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from wsec.compiler.plan_checker.expectation import Expectation, Loop, Operand, Read, along, whole

if TYPE_CHECKING:
    from wsec.compiler.plan import Kernel
    from wsec.compiler.plan_checker.model_facts import ModelFacts, OperatorFacts

_SUM_BYTES = 4
_PAIRED = frozenset({"swiglu", "geglu"})


def expect_experts(node: OperatorFacts, model: ModelFacts) -> Expectation:
    """MoE: x [rows, h], router [rows, experts], w1 [e, i, h], w2 [e, h, i], w3 [e, i, h]; output [rows, h] over e and i.

    Of a bias cores along the loop that its product is summed over may hold shares. Of a gated activation both factors may be in w1, in pairs [e, i, 2, h] or as halves [e, 2, i, h].
    """
    x, (experts, hidden, inner) = model.shape(node.input(0)), model.shape(node.input(4))
    rows = tuple(Loop(name, extent) for name, extent in zip(("b", "m")[3 - len(x) :], x[:-1], strict=True))
    of_rows = tuple(along(loop.name, loop.extent) for loop in rows)
    e, i, h = along("e", experts), along("i", inner), along("h", hidden)
    activation = node.text("activation_type", "relu")
    fusion = node.integer("swiglu_fusion", 0) if activation in _PAIRED else 0
    inside = ((i,), (i, whole(2)), (whole(2), i))[fusion]
    i_shared, h_shared = replace(i, shared="h"), replace(h, shared="i")
    of_inside = tuple(i_shared if read is i else read for read in inside)
    operands = [
        Operand("x", node.input(0), (*of_rows, h)),
        Operand("router", node.input(1), (*of_rows, whole(experts))),
    ]
    views: dict[int, tuple[str, tuple[Read, ...], tuple[Read, ...]]] = {
        2: ("w1", (e, *inside, h), (e, *of_inside)),
        4: ("w2", (e, h, i), (e, h_shared)),
        6: ("w3", (e, i, h), (e, i_shared)),
    }
    for index, (role, reads, of_bias) in views.items():
        if node.input(index):
            operands.append(Operand(role, node.input(index), reads))
        if node.input(index + 1):
            operands.append(Operand(f"{role}_bias", node.input(index + 1), of_bias))
    return Expectation(
        operands=tuple(operands),
        output=(*rows, Loop("h", hidden)),
        reductions={"e": experts, "i": inner},
        arguments={
            "chosen": node.integer("k", 1),
            "activation": activation,
            "joined": ("no", "pairs", "halves")[fusion],
            "alpha": node.attributes.get("activation_alpha", 1.0),
            "beta": node.attributes.get("activation_beta", 0.0),
            "limited": "swiglu_limit" in node.attributes,
            "limit": node.attributes.get("swiglu_limit", 0.0),
            "limited_behind": bool(node.integer("swiglu_limit_after_activation", 0)),
            "normalized": bool(node.integer("normalize_routing_weights", 0)),
        },
    )


def inner_products(kernel: Kernel) -> int:
    """Inner features that a core computes for all of its rows together, at worst: before its gates are put together."""
    blocks = {entry.role: entry.sharding.block_shape for entry in kernel.inputs}
    count = kernel.arguments.get("chosen")
    chosen = min(count if isinstance(count, int) else 1, blocks["w1"][0])
    factors = sum(math.prod(blocks[role][1:-1]) for role in ("w1", "w3") if role in blocks)
    return math.prod(blocks["x"][:-1]) * chosen * factors


def multiply_adds(kernel: Kernel) -> int:
    """Of the core that holds as many chosen experts as it can."""
    blocks = {entry.role: entry.sharding.block_shape for entry in kernel.inputs}
    count = kernel.arguments.get("chosen")
    chosen = min(count if isinstance(count, int) else 1, blocks["w1"][0])
    second = math.prod(blocks["x"][:-1]) * chosen * math.prod(blocks["w2"][1:])
    return inner_products(kernel) * blocks["x"][-1] + second


def bytes_of_inner_products(kernel: Kernel) -> int:
    """Of a turn of the rows, in single precision."""
    return -(-inner_products(kernel) // math.prod(kernel.turns.values())) * _SUM_BYTES
