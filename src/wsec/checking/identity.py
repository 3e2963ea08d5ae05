"""What a plan depends on, as digests: the model with its weights files, the options, the target, and wsec itself.

Every byte is read: a weights file that was changed in place has the same size, and copies have other times.
"""

from __future__ import annotations

import functools
import hashlib
import json
from dataclasses import fields
from importlib.metadata import entry_points, version
from pathlib import Path
from typing import TYPE_CHECKING

from wsec.compiler.plan_io import sha256_of_file
from wsec.compiler.record_json import to_plain
from wsec.compiler.target import Target, load_target

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from wsec.driver import Options

_GROUPS = ("wsec.passes", "wsec.kernels", "wsec.targets")
_LIBRARIES = (
    "wsec",
    "numpy",
    "onnx",
    "onnx-ir",
    "onnx-shape-inference",
    "onnxruntime",
    "onnxscript",
    "ortools",
)
_NO_PART_OF_PLANS = {
    "dump_passes",
    "max_memory",
    "passes",
    "pass_timeout",
    "pipeline",
    "target",
    "verify_passes",
}


def is_cacheable(options: Options) -> bool:
    """Whether plans with these options follow from digests: the code of passes of the caller's own has none."""
    records = not isinstance(options.constraints, str | Path) and bool(options.constraints)
    return not (options.passes or options.pipeline or options.dump_passes or options.verify_passes or records)


def target_of(options: Options) -> Target:
    """The machine.

    Raises:
        WsecError: WSEC2xx.
    """
    return options.target if isinstance(options.target, Target) else load_target(str(options.target))


def target_digest(target: Target) -> str:
    """SHA-256 of all that a target says of its machine."""
    return _digest(to_plain(target))


def options_digest(options: Options) -> str:
    """SHA-256 of the options but the target, with the contents of the files that they name.

    Raises:
        OSError: One of them cannot be read.
    """
    said: dict[str, object] = {}
    for field in fields(options):
        if field.name in _NO_PART_OF_PLANS:
            continue
        value = getattr(options, field.name)
        if field.name in {"defects", "constraints"}:
            value = sha256_of_file(Path(value)) if value else ""
        said[field.name] = dict(value or {}) if field.name == "dims" else value
    return _digest(said)


def model_digest(model: Path, weights: Iterable[str]) -> str:
    """SHA-256 of an ONNX file and of the weights files that it names, relative to its folder; some may be absent.

    Raises:
        OSError: The model cannot be read, or a weights file that is there.
    """
    digests = [sha256_of_file(model)]
    for location in sorted(set(weights)):
        path = model.parent / location
        digests.append(f"{location}: {sha256_of_file(path) if path.is_file() else 'absent'}")
    return _digest(digests)


def weights_files(model: Path) -> tuple[str, ...]:
    """The files in which an ONNX file says that its weights are, those of bodies and functions included.

    Raises:
        WsecError: WSEC1xx it is no ONNX model.
    """
    import onnx
    from google.protobuf.message import DecodeError

    proto = onnx.ModelProto()
    try:
        proto.ParseFromString(model.read_bytes())
    except DecodeError:
        return ()  # the importer says what is wrong with it
    found: set[str] = set()
    graphs = [proto.graph]
    nodes = [node for function in proto.functions for node in function.node]
    while graphs or nodes:
        tensors: list[onnx.TensorProto] = []
        if graphs:
            graph = graphs.pop()
            nodes.extend(graph.node)
            tensors.extend(graph.initializer)
            for sparse in graph.sparse_initializer:
                tensors.extend((sparse.values, sparse.indices))
        for node in nodes:
            for attribute in node.attribute:
                graphs.extend([attribute.g] if attribute.HasField("g") else [])
                graphs.extend(attribute.graphs)
                tensors.extend([attribute.t] if attribute.HasField("t") else [])
                tensors.extend(attribute.tensors)
        nodes = []
        for tensor in tensors:
            found.update(entry.value for entry in tensor.external_data if entry.key == "location")
    return tuple(sorted(found))


@functools.cache
def wsec_digest() -> str:
    """SHA-256 of this wsec: its sources, the versions of the libraries that decide plans, and installed extensions."""
    root = Path(__file__).resolve().parents[1]
    digest = hashlib.sha256()
    for path in _sources(root):
        digest.update(f"{path.relative_to(root).as_posix()}\0".encode())
        digest.update(path.read_bytes())
    extensions = sorted(
        f"{entry.dist.name if entry.dist else ''} {entry.dist.version if entry.dist else ''} {entry.name} {entry.value}"
        for group in _GROUPS
        for entry in entry_points(group=group)
    )
    return _digest([digest.hexdigest(), [f"{name} {version(name)}" for name in _LIBRARIES], extensions])


def _sources(root: Path) -> list[Path]:
    """Modules and shipped targets; the links of a checkout are followed."""
    folders = [root, *(path for path in sorted(root.iterdir()) if path.is_symlink() and path.is_dir())]
    found = {path for folder in folders for suffix in ("py", "toml") for path in folder.rglob(f"*.{suffix}")}
    return sorted(found)


def plan_key(model: Path, digest: str, target: Target, options: Options) -> str:
    """The name of a plan in the cache.

    Args:
        model: Its name is in the plan.
        digest: Of the model, `model_digest`.
        target: The machine.
        options: How to compile.

    Raises:
        OSError: A file that the options name cannot be read.
    """
    return _digest([model.name, digest, target_digest(target), options_digest(options), wsec_digest()])


def _digest(value: object) -> str:
    encode: Callable[[object], object] = str
    text = json.dumps(value, sort_keys=True, default=encode)
    return hashlib.sha256(text.encode()).hexdigest()
