"""What tests of several folders share."""

from __future__ import annotations

import os
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

import pytest
from hypothesis import settings

from real_models import RealModel, list_real_models

if TYPE_CHECKING:
    from collections.abc import Callable

MODELS = Path(__file__).parents[1] / "build" / "models"

# Deadlines measure the machine, and random seeds make a failure come and go.
settings.register_profile("wsec", deadline=None, derandomize=True)
settings.load_profile("wsec")


class InstallPackage(Protocol):
    """Makes it look as if a package were installed: its entry points, and modules by name with their source."""

    def __call__(self, package: str, entry_points: str, **modules: str) -> None:
        """Of version 1.5, for the rest of the test."""


@pytest.fixture
def install_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> InstallPackage:
    """Packages of other people's, in a folder of the test's."""

    def install(package: str, entry_points: str, **modules: str) -> None:
        folder = tmp_path / f"site_of_{package}"
        metadata = folder / f"{package}-1.5.dist-info"
        metadata.mkdir(parents=True)
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.5\n")
        (metadata / "entry_points.txt").write_text(textwrap.dedent(entry_points))
        for name, source in modules.items():
            (folder / f"{name}.py").write_text(textwrap.dedent(source))
            monkeypatch.delitem(sys.modules, name, raising=False)
        monkeypatch.syspath_prepend(str(folder))

    return install


class FetchedModel(NamedTuple):
    """A real model on disk, with its entry of the manifest."""

    path: Path
    entry: RealModel


@pytest.fixture(scope="session")
def real_model() -> Callable[[str], FetchedModel]:
    """Finds a real model by name; without it the test is skipped, and in CI it fails."""

    def find(name: str) -> FetchedModel:
        path = MODELS / f"{name}.onnx"
        if path.is_file():
            return FetchedModel(path, list_real_models()[name])
        if os.environ.get("CI") == "true":
            pytest.fail(f"{name} is not fetched: run make models")
        pytest.skip(f"{name} is not fetched: run make models")

    return find
