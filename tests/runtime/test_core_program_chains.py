"""Chains of element-wise steps that share and repeat operands: no value is overwritten before its last reader."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from plan_records import Operand, loops_of, make_kernel, normal, reading
from program_interpreter import interpreted

from wsec.compiler.plan import ChainStep
from wsec.runtime.ordered.elementwise import apply_chain_in_order

OPERATORS = {
    1: ("Neg", "Relu", "Sigmoid", "HardSwish", "Gelu", "Identity", "Elu", "Softplus", "Tanh"),
    2: ("Add", "Sub", "Mul", "Max", "Greater", "PRelu", "Mean"),
    3: ("Where", "Max", "Sum", "Clip"),
}


@given(st.data())
def test_any_chain_gives_the_bits_of_ordered_arithmetic(data: st.DataObject) -> None:
    """Operands that broadcast along any dimensions, values that are read late and often, or never."""
    shape = data.draw(st.tuples(*[st.integers(1, 5)] * 3))
    extents = {f"d{index}": size for index, size in enumerate(shape)}
    shapes = [shape, *([data.draw(st.sampled_from((size, 1))) for size in shape] for _ in range(2))]
    inputs = {f"e{index}": normal(index, *item) for index, item in enumerate(shapes)}
    operands = [
        Operand(
            name,
            name,
            "float32",
            tuple(reading(n, f"d{i}" if n == shape[i] else "") for i, n in enumerate(array.shape)),
        )
        for name, array in inputs.items()
    ]
    wires = list(inputs)
    chain = []
    for index in range(data.draw(st.integers(1, 7))):
        count = data.draw(st.sampled_from((1, 2, 2, 3)))
        operator = data.draw(st.sampled_from(OPERATORS[count]))
        read = tuple(data.draw(st.sampled_from(wires)) for _ in range(count))
        chain.append(ChainStep(operator, read, f"s{index}", "float32", {}))
        wires.append(f"s{index}")
    chain.append(ChainStep("Add", (wires[-1], "e0"), "y", "float32", {}))
    output = Operand("", "y", "float32", tuple(reading(size, name) for name, size in extents.items()))
    kernel = make_kernel("k", "elementwise", data.draw(loops_of(extents)), operands, output, chain=chain)
    with np.errstate(all="ignore"):
        expected = apply_chain_in_order(chain, inputs)
    found = interpreted(kernel, inputs)
    numbers = ~np.isnan(expected)
    np.testing.assert_array_equal(numbers, ~np.isnan(found))
    np.testing.assert_array_equal(found.view(np.int32)[numbers], expected.view(np.int32)[numbers])
