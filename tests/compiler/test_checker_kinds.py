"""What the plan checker expects of each kind: silent on legal kernels, exact about what is changed."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from independent_examples import INDEPENDENT
from kind_examples import EXAMPLES as KIND_EXAMPLES
from kind_examples import Example
from mixture_examples import MIXTURES

from wsec.compiler.plan_checker.model_facts import read_model
from wsec.compiler.plan_checker.operators import check_operators
from wsec.compiler.plan_checker.shardings import check_kernel_shardings

if TYPE_CHECKING:
    from wsec.compiler.plan import Kernel
    from wsec.compiler.plan_checker import Finding

EXAMPLES = (*INDEPENDENT, *KIND_EXAMPLES, *MIXTURES)
NAMES = [item.name for item in EXAMPLES]


def findings(item: Example, kernel: Kernel | None = None) -> list[Finding]:
    """What the checker says of the kernel by itself."""
    model = read_model(item.model)
    judged = kernel or item.kernel
    return [*check_kernel_shardings(judged, model), *check_operators(judged, model)]


@pytest.mark.parametrize("item", EXAMPLES, ids=NAMES)
def test_a_legal_kernel_has_no_findings(item: Example) -> None:
    """Every kind is understood as docs/kernels.md says it."""
    assert [str(finding) for finding in findings(item)] == []


ARGUMENTS = [(item, name) for item in EXAMPLES for name in item.kernel.arguments]


def _another(value: Any) -> Any:
    """A value of the same type that differs."""
    if isinstance(value, tuple):
        return (*value[:-1], _another(value[-1])) if value else (1,)
    if isinstance(value, bool):
        return not value
    return value + "x" if isinstance(value, str) else value + 1


@pytest.mark.parametrize(
    ("item", "name"), ARGUMENTS, ids=[f"{item.name}: {name}" for item, name in ARGUMENTS]
)
def test_every_argument_is_compared(item: Example, name: str) -> None:
    """A changed argument gives one finding, which says the node's value and the kernel's."""
    right = item.kernel.arguments[name]
    wrong = _another(right)
    kernel = replace(item.kernel, arguments={**item.kernel.arguments, name: wrong})
    assert [str(finding) for finding in findings(item, kernel)] == [
        f"WSEC545 kernel kernel, argument {name}: arguments are those of the node; expected {right}, found {wrong}"
    ]


DIMENSIONS = [
    (item, number, position)
    for item in EXAMPLES
    for number, entry in enumerate(item.kernel.inputs)
    for position in range(len(entry.sharding.dimensions))
]
DIMENSION_NAMES = [f"{item.name}: {item.kernel.inputs[i].role} {j}" for item, i, j in DIMENSIONS]


def _with_dimension(item: Example, number: int, position: int, **changes: Any) -> Kernel:
    inputs = list(item.kernel.inputs)
    dimensions = list(inputs[number].sharding.dimensions)
    dimensions[position] = replace(dimensions[position], **changes)
    sharding = replace(inputs[number].sharding, dimensions=tuple(dimensions))
    inputs[number] = replace(inputs[number], sharding=sharding)
    return replace(item.kernel, inputs=tuple(inputs))


@pytest.mark.parametrize(("item", "number", "position"), DIMENSIONS, ids=DIMENSION_NAMES)
def test_a_block_cannot_be_shorter(item: Example, number: int, position: int) -> None:
    """Blocks of the examples are as short as can be: an element fewer, at either end, is missed somewhere."""
    dimension = item.kernel.inputs[number].sharding.dimensions[position]
    at_the_end = _with_dimension(item, number, position, block=dimension.block - 1)
    assert findings(item, at_the_end)
    offset = dimension.offset + dimension.divisor
    at_the_start = _with_dimension(item, number, position, block=dimension.block - 1, offset=offset)
    assert findings(item, at_the_start)


@pytest.mark.parametrize(("item", "number", "position"), DIMENSIONS, ids=DIMENSION_NAMES)
def test_a_block_is_counted_from_its_beginning(item: Example, number: int, position: int) -> None:
    """A block that begins earlier holds all that is read, but at another place than the kind looks for it."""
    dimension = item.kernel.inputs[number].sharding.dimensions[position]
    offset = dimension.offset - dimension.divisor
    early = _with_dimension(item, number, position, block=dimension.block + 1, offset=offset)
    found = [finding.rule for finding in findings(item, early)]
    by_number = {
        "resize": 0,
        "transposed_convolution": 3,
    }  # kinds and dimensions that find elements by number
    if (
        item.name != "Resize, half pixels symmetric"
        and number == 0
        and position >= by_number.get(item.kernel.kind, 9)
    ):
        assert found == []
    else:
        assert found


def test_a_missing_shape_is_said() -> None:
    """A lowered model that lost a shape is named rather than judged."""
    (item,) = (item for item in EXAMPLES if item.name == "Softmax")
    model = read_model(item.model)
    del model.tensors["x"]
    assert [str(finding) for finding in check_operators(item.kernel, model)] == [
        "WSEC545 kernel kernel: shapes of the lowered model are known; expected a shape for each tensor, found x"
    ]
