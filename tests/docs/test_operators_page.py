"""docs/operators.md says what the tables of this version say, and the tables say what compiling does."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest

import wsec
from wsec.operator_support import NEWEST_OPSET, OLDEST_OPSET, OperatorSupport, list_operators, write_page

PAGE = Path(__file__).parents[2] / "docs" / "operators.md"

MODELS = {
    "Relu": ("float[4, 6] x", "y = Relu(x)"),
    "Conv": (
        "float[1, 1, 6, 6] x, float[2, 1, 3, 3] w",
        "y = Conv(x, w)",
    ),
    "CumSum": ("float[8, 4] x", "a = Constant<value = int64 {1}>() y = CumSum(x, a)"),
    "Gemm": ("float[4, 6] x, float[6, 8] w", "y = Gemm(x, w)"),
    "HannWindow": ("float[1] x", "n = Constant<value = int64 {16}>() w = HannWindow(n) y = Mul(x, w)"),
    "RandomNormalLike": ("float[4, 6] x", "y = RandomNormalLike(x)"),
}


@pytest.fixture(scope="module")
def operators() -> dict[str, OperatorSupport]:
    """The rows of ai.onnx, by name."""
    return {each.name: each for each in list_operators() if not each.domain}


def test_the_page_is_current() -> None:
    """After a change of a table the page is made again: `make operators-page`."""
    assert PAGE.read_text(encoding="utf-8") == write_page()


def test_every_operator_of_onnx_is_there(operators: dict[str, OperatorSupport]) -> None:
    """None is forgotten, and what is accepted is accepted in some opset."""
    expected = {schema.name for schema in onnx.defs.get_all_schemas() if schema.domain == ""}
    assert expected <= operators.keys()
    for each in operators.values():
        assert bool(each.versions) != each.handling.startswith("refused"), each


@pytest.mark.parametrize(
    ("name", "versions", "handling"),
    [
        ("Relu", f"{OLDEST_OPSET} to {NEWEST_OPSET}", "split: elementwise"),
        ("Upsample", "7 to 9", "rewritten by the importer"),
        ("NonZero", "9 to 28", "host: the data decide the shape of its output"),
        ("SequenceAt", "11 to 28", "host: cores hold no sequences"),
        ("RandomNormal", "", "refused: it draws random numbers"),
        ("Gemm", "7 to 28", "rewritten by `canonicalize-gemm`"),
    ],
)
def test_rows(name: str, versions: str, handling: str, operators: dict[str, OperatorSupport]) -> None:
    """What is known of some operators from elsewhere: the change log of ONNX and docs/kernels.md."""
    assert (operators[name].versions, operators[name].handling) == (versions, handling)


@pytest.mark.parametrize("name", MODELS)
def test_a_model_is_compiled_as_its_row_says(
    name: str, operators: dict[str, OperatorSupport], tmp_path: Path
) -> None:
    """The kinds of the row are those of the plan; what is refused raises."""
    inputs, body = MODELS[name]
    path = tmp_path / "model.onnx"
    text = f'<ir_version: 10, opset_import: ["" : 21]> g ({inputs}) => (float[] y) {{ {body} }}'
    onnx.save(onnx.parser.parse_model(text), path)
    handling = operators[name].handling
    if handling.startswith("refused"):
        with pytest.raises(wsec.WsecError):
            wsec.compile(path, target="mesh16", effort=0)
        return
    kinds = {kernel.kind for kernel in wsec.compile(path, target="mesh16", effort=0).record.kernels()}
    if "split: " in handling:
        assert kinds <= set(handling.partition("split: ")[2].split(", "))
    else:
        assert kinds <= {"unsplit", "matmul", "elementwise"}
