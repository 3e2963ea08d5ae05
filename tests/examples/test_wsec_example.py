"""The example package: built, installed into a folder, and used like any package that somebody else wrote."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
from click.testing import CliRunner, Result
from onnx import TensorProto, helper, numpy_helper

import wsec
from wsec.cli.application import application
from wsec.compiler.errors import ExitStatus, WsecError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wsec.loaded_plan import Plan

EXAMPLE = Path(__file__).parents[2] / "examples" / "wsec_example"
KIND = "wsec_example.squared_distance"
ROWS, CENTRES, FEATURES = 7, 9, 20


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package in it, installed from a copy of its sources and without any network."""
    folder = tmp_path_factory.mktemp("example")
    shutil.copytree(
        EXAMPLE, folder / "source", ignore=shutil.ignore_patterns("*.egg-info", "build", "__pycache__")
    )
    options = ["--quiet", "--no-index", "--no-deps", "--no-build-isolation", "--disable-pip-version-check"]
    command = [sys.executable, "-m", "pip", "install", *options, "--target", str(folder / "site")]
    subprocess.run([*command, str(folder / "source")], check=True, stdout=subprocess.PIPE)
    return folder / "site"


@pytest.fixture
def installed(site: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The package can be found in this process, as long as the test runs."""
    monkeypatch.syspath_prepend(str(site))
    return site


def _model(nodes: list[onnx.NodeProto], weights: dict[str, NDArray[Any]]) -> onnx.ModelProto:
    """Features of x, `nodes` from the features to the distances, and how near each centre is."""
    draw = np.random.default_rng(0).standard_normal
    weights = {
        "w": draw((12, FEATURES)).astype(np.float32),
        "centres": draw((CENTRES, FEATURES)).astype(np.float32),
        "width": np.full(1, -0.1, np.float32),
        **weights,
    }
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["features"], name="features"),
        *nodes,
        helper.make_node("Mul", ["distance", "width"], ["scaled"], name="scale"),
        helper.make_node("Exp", ["scaled"], ["y"], name="exp"),
    ]
    graph = helper.make_graph(
        nodes,
        "prototypes",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [ROWS, 12])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [ROWS, CENTRES])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("example.wsec", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)


@pytest.fixture
def with_operator(installed: Path, tmp_path: Path) -> Path:
    """A model that calls the operator, with the function that defines it."""
    from wsec_example.squared_distance import DOMAIN, OPERATOR, squared_distance_function

    node = helper.make_node(OPERATOR, ["features", "centres"], ["distance"], name="distance", domain=DOMAIN)
    path = tmp_path / "operator.onnx"
    model = _model([node], {})
    model.functions.append(squared_distance_function())
    onnx.save(model, path)
    return path


@pytest.fixture
def decomposed(tmp_path: Path) -> Path:
    """The same model in standard operators."""
    nodes = [
        helper.make_node("Unsqueeze", ["features", "one"], ["rows"], name="rows"),
        helper.make_node("Unsqueeze", ["centres", "zero"], ["columns"], name="columns"),
        helper.make_node("Sub", ["rows", "columns"], ["difference"], name="difference"),
        helper.make_node("Mul", ["difference", "difference"], ["square"], name="square"),
        helper.make_node("ReduceSum", ["square", "two"], ["distance"], name="distance", keepdims=0),
    ]
    path = tmp_path / "decomposed.onnx"
    axes = {name: np.array([axis]) for axis, name in enumerate(("zero", "one", "two"))}
    onnx.save(_model(nodes, axes), path)
    return path


def _kernel(plan: Plan) -> str:
    (kind,) = [kernel.kind for kernel in plan.record.kernels() if "distance" in kernel.operators]
    return kind


def _wsec(*arguments: object) -> Result:
    return CliRunner().invoke(application, [str(argument) for argument in arguments], prog_name="wsec")


@pytest.mark.parametrize("region", [(8, 8), (5, 3), (2, 1)])
def test_the_kernel_is_compiled_checked_and_executed(with_operator: Path, region: tuple[int, int]) -> None:
    """Its three parts agree with each other and with onnxruntime, which runs the body of the function."""
    plan = wsec.compile(with_operator, target="example8", region=region, effort=0)
    assert _kernel(plan) == KIND
    assert plan.check() == ()
    assert plan.verify().passed
    assert plan.record.versions["wsec-example"] == "0.1.0"


def test_a_cut_sum_is_combined_over_the_mesh(installed: Path, tmp_path: Path) -> None:
    """One row, one centre and many features: only the sum can be cut, and partial sums must meet."""
    from wsec_example.squared_distance import squared_distance_function

    nodes = [helper.make_node("SquaredDistance", ["x", "c"], ["y"], name="distance", domain="example.wsec")]
    centre = np.random.default_rng(1).standard_normal((1, 5000)).astype(np.float32)
    graph = helper.make_graph(
        nodes,
        "far",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 5000])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 1])],
        [numpy_helper.from_array(centre, "c")],
    )
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("example.wsec", 1)]
    functions = [squared_distance_function()]
    onnx.save(
        helper.make_model(graph, opset_imports=opsets, ir_version=10, functions=functions),
        tmp_path / "m.onnx",
    )
    plan = wsec.compile(tmp_path / "m.onnx", target="example8", effort=0)
    (kernel,) = plan.record.kernels()
    assert kernel.split["k"] > 1
    assert plan.verify().passed


def test_the_pass_finds_what_exporters_wrote(installed: Path, decomposed: Path, tmp_path: Path) -> None:
    """From the command line, verified after each pass; without it the model is compiled as it stands."""
    folder = tmp_path / "p"
    options = ("-o", folder, "--target", "example8", "--effort", 0, "-q", "--verify-passes")
    place = ("--before", "fold-constants")
    result = _wsec("compile", decomposed, *options, "--pass", "recognize-squared-distance", *place)
    assert result.exit_code == ExitStatus.OK, result.output
    assert _kernel(wsec.load_plan(folder)) == KIND
    assert wsec.load_plan(folder).verify().passed
    many = "recognize-squared-distance{least=100000}"
    result = _wsec("compile", decomposed, *options, "--pass", many, *place)
    assert result.exit_code == ExitStatus.OK, result.output
    assert _kernel(wsec.load_plan(folder)) == "reduction"


def test_the_pass_from_python(installed: Path, decomposed: Path) -> None:
    """The same as an object, beside the passes of the pipeline."""
    from wsec.api.passes import PlacedPass
    from wsec_example.recognition import RecognizeSquaredDistance

    placed = PlacedPass(RecognizeSquaredDistance(), before="fold-constants")
    plan = wsec.compile(decomposed, target="example8", effort=0, passes=[placed], verify_passes=True)
    assert _kernel(plan) == KIND
    assert plan.record.notes[:-1] == ("custom pass recognize-squared-distance changed the model",)


def test_what_is_installed_is_listed_with_its_origin(installed: Path) -> None:
    """`wsec passes`, `wsec kernels` and `wsec targets` tell wsec's own from what others bring."""
    others = json.loads(_wsec("passes", "--json").stdout)["others"]
    assert [(entry["name"], entry["origin"]) for entry in others] == [
        ("recognize-squared-distance", "wsec-example 0.1.0")
    ]
    kernels = json.loads(_wsec("kernels", "--json").stdout)["kernels"]
    assert {
        "kind": KIND,
        "operators": ["example.wsec.SquaredDistance"],
        "origin": "wsec-example 0.1.0",
    } in kernels
    assert {entry["origin"] for entry in kernels} == {"wsec-example 0.1.0", f"wsec {version('wsec')}"}
    targets = json.loads(_wsec("targets", "--json").stdout)["targets"]
    assert [entry["name"] for entry in targets if entry["origin"] == "wsec-example 0.1.0"] == ["example8"]
    assert "recognize-squared-distance\n" in _wsec("passes").stdout
    assert "from wsec-example" in " ".join(_wsec("kernels").stdout.split())


def test_without_the_package_the_function_is_inlined(
    with_operator: Path, site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model is compiled with the kernels that there are; its function says the same in standard operators."""
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry != str(site)])
    plan = wsec.compile(with_operator, target="mesh16", effort=0)
    assert {kernel.kind.partition(".")[0] for kernel in plan.record.kernels()} >= {"matmul", "reduction"}
    assert plan.verify().passed


def test_a_plan_names_the_package_that_it_needs(
    with_operator: Path, site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who receives a plan without the package learns which one is missing; nothing is imported by its name."""
    folder = tmp_path / "p"
    wsec.compile(with_operator, target="mesh16", effort=0, output=folder)
    record = (folder / "plan.json").read_text().replace(KIND, "colorsys.squared_distance")
    (folder / "plan.json").write_text(record)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry != str(site)])
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)
    expected = (
        "error[WSEC570]: the plan needs a package of kernels that is not installed\n"
        "  where:    kernel distance\n"
        "  expected: an installed package that brings the kernels of 'colorsys'\n"
        "  found:    no package of kernels\n"
        "  try:      install the package that holds 'colorsys'; `wsec kernels` lists what is installed"
    )
    plan = wsec.load_plan(folder)
    inputs = {"x": np.zeros((ROWS, 12), np.float32)}
    for action in (plan.check, plan.verify, lambda: plan.run(inputs)):
        with pytest.raises(WsecError) as caught:
            action()
        assert str(caught.value) == expected
        assert caught.value.exit_status is ExitStatus.PLAN
    assert "colorsys" not in sys.modules
