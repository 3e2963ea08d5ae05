"""The block program of attention against numpy: any split, rows, keys and heads in blocks that come out uneven."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from plan_records import Loops, Operand, loops_of, make_kernel, normal, reading, whole_mesh
from program_interpreter import interpreted

from wsec.compiler.plan import ChainStep, Collective, Kernel
from wsec.runtime.blocks import gather, scatter
from wsec.runtime.kernels.attention import attention
from wsec.runtime.ordered.kinds import ORDERED_PROGRAMS

if TYPE_CHECKING:
    from collections.abc import Sequence

Array = np.ndarray[Any, Any]
ORDERS = {"q": ("b0", "m", "d"), "k": ("t", "b0", "d"), "v": ("b0", "t", "n"), "out": ("m", "b0", "n")}

ALGORITHMS: tuple[Literal["star", "chain", "tree", "two_level", "ring"], ...] = (
    "star",
    "chain",
    "tree",
    "two_level",
    "ring",
)


def step(operator: str, inputs: Sequence[str], output: str, dtype: str) -> ChainStep:
    """A step of a body without attributes."""
    return ChainStep(operator, tuple(inputs), output, dtype, {})


def body(dtype: str, *, sink: bool) -> tuple[ChainStep, ...]:
    """Scaled and masked scores, with a sink or without."""
    product = [step("MatMul", ("q", "k"), "s0", dtype), step("Mul", ("s0", "m0"), "s1", dtype)]
    masked = [step("Where", ("m1", "s1", "m2"), "s2", dtype)]
    if sink:
        masked.append(step("Concat", ("s2", "sink"), "c", dtype))
    normal_ = [step("Softmax", (masked[-1].output,), "p", dtype)]
    if sink:
        normal_.append(step("Slice", ("p",), "cut", dtype))
    return (*product, *masked, *normal_, step("MatMul", (normal_[-1].output, "v"), "o", dtype))


def expected(values: dict[str, Array]) -> Array:
    """[m, b0, n], in double precision, from the definition."""
    wide = {
        role: value if value.dtype == bool else value.astype(np.float64) for role, value in values.items()
    }
    scores = np.einsum("bmd,tbd->bmt", wide["q"], wide["k"]) * wide["m0"]
    scores = np.where(wide["m1"], scores, wide["m2"])
    sink = wide.get("sink")
    columns = scores if sink is None else np.concatenate([scores, sink], axis=-1)
    powers = np.exp(columns - columns.max(axis=-1, keepdims=True))
    p = (powers / powers.sum(axis=-1, keepdims=True))[..., : scores.shape[-1]]
    result: Array = np.einsum("bmt,btn->mbn", p, wide["v"])
    return result


def kernel_of(loops: Loops, values: dict[str, Array], dtype: str) -> Kernel:
    """The record of an attention with these loops and operands."""
    views = {role: tuple(reading(loops.extents[name], name) for name in ORDERS[role]) for role in ORDERS}
    scalar = (reading(1),)
    mask = (reading(1), *(reading(loops.extents[name], name) for name in ("m", "t")))
    extra = {"m0": scalar, "m1": mask, "m2": scalar}
    if "sink" in values:
        columns = reading(values["sink"].shape[-1])
        extra["sink"] = (*(reading(loops.extents[name], name) for name in ("b0", "m")), columns)
    operands = [
        Operand(role, role, "bool" if role == "m1" else dtype, view)
        for role, view in {**views, **extra}.items()
        if role != "out"
    ]
    kernel = make_kernel(
        "k",
        "attention",
        loops,
        operands,
        Operand("", "y", dtype, views["out"]),
        arguments=dict(ORDERS),
        reduced=["t"],
    )
    return replace(kernel, body=body(dtype, sink="sink" in values))


def values_of(loops: Loops, seed: int, dtype: str, *, sink: bool) -> dict[str, Array]:
    """Operands; the last row of the mask is false for all but the first key."""
    sizes = loops.extents
    shapes = {role: tuple(sizes[name] for name in ORDERS[role]) for role in ("q", "k", "v")}
    values: dict[str, Array] = {
        role: normal(seed + index, *shape, dtype=dtype) for index, (role, shape) in enumerate(shapes.items())
    }
    allowed = normal(seed + 3, 1, sizes["m"], sizes["t"]) > 0
    allowed[:, -1] = False
    allowed[..., 0] = True
    values["m0"] = np.array([0.5], dtype=dtype)
    values["m1"] = allowed
    values["m2"] = np.array([-1e4], dtype=dtype)
    if sink:
        values["sink"] = normal(seed + 4, sizes["b0"], sizes["m"], 2, dtype=dtype)
    return values


@given(data=st.data(), sink=st.booleans(), dtype=st.sampled_from(["float32", "float16", "float64"]))
def test_any_split_gives_the_definition(data: st.DataObject, sink: bool, dtype: str) -> None:  # noqa: FBT001 - drawn
    """Maxima, sums and weighted values of all cores together are those of one core."""
    extents = {name: data.draw(st.integers(1, most)) for name, most in (("b0", 3), ("m", 7), ("t", 11))}
    cut = data.draw(loops_of(extents))
    order = tuple(sorted(cut.order, key=lambda name: name == "t"))
    loops = Loops({**extents, "n": 3, "d": 5}, {**cut.split, "n": 1, "d": 1}, order)
    values = values_of(loops, data.draw(st.integers(0, 99)), dtype, sink=sink)
    kernel = kernel_of(loops, values, dtype)
    blocks = {item.role: scatter(values[item.role], item.sharding, kernel.mesh, 0) for item in kernel.inputs}
    with np.errstate(all="ignore"):
        result = attention(kernel, blocks)
        whole = attention(kernel, {role: whole_mesh(block, kernel.mesh) for role, block in blocks.items()})
    assert isinstance(result, np.ndarray)  # without states there is one result
    assert isinstance(whole, np.ndarray)
    found = gather(result, kernel.outputs[0].sharding, kernel.mesh)
    assert found.dtype.name == dtype
    tolerance = {"float64": 1e-12, "float32": 1e-5, "float16": 2e-2}[dtype]
    np.testing.assert_allclose(found.astype(np.float64), expected(values), atol=tolerance, rtol=0)
    again = gather(whole, kernel.outputs[0].sharding, kernel.mesh)
    np.testing.assert_allclose(again.astype(np.float64), expected(values), atol=tolerance, rtol=0)


@given(data=st.data(), sink=st.booleans(), turns=st.integers(1, 4))
def test_programs_give_the_bits_of_ordered_arithmetic(data: st.DataObject, sink: bool, turns: int) -> None:  # noqa: FBT001 - drawn
    """However the rows are walked and the cores combine: near the definition, and the same by instructions and by numpy."""
    extents = {name: data.draw(st.integers(1, most)) for name, most in (("b0", 3), ("m", 7), ("t", 11))}
    cut = data.draw(loops_of(extents))
    order = tuple(sorted(cut.order, key=lambda name: name == "t"))
    loops = Loops({**extents, "n": 3, "d": 5}, {**cut.split, "n": 1, "d": 1}, order)
    values = values_of(loops, data.draw(st.integers(0, 99)), "float32", sink=sink)
    algorithm = data.draw(st.sampled_from(ALGORITHMS))
    group = 2 if algorithm == "two_level" else 0
    collectives = (
        Collective("all_reduce", "t", algorithm, group, 1),
        Collective("reduce", "t", algorithm, group, 1),
    )
    kernel = replace(kernel_of(loops, values, "float32"), turns={"m": turns}, collectives=collectives)
    blocks = {item.role: scatter(values[item.role], item.sharding, kernel.mesh, 0) for item in kernel.inputs}
    with np.errstate(all="ignore"):
        result = ORDERED_PROGRAMS["attention"](kernel, blocks)
    ordered = gather(np.asarray(result), kernel.outputs[0].sharding, kernel.mesh)
    np.testing.assert_allclose(ordered, expected(values), atol=1e-5, rtol=0)
    np.testing.assert_array_equal(interpreted(kernel, values).view(np.int32), ordered.view(np.int32))
