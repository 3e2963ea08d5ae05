"""Weights that a model gives as a list of those that are not zero become ordinary, dense ones."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import onnx
from onnx import numpy_helper

from wsec.compiler.errors import WsecError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

_MOST_BYTES = 1 << 30  # a few bytes may claim any size


def fill_sparse_initializers(proto: onnx.ModelProto, path: Path) -> tuple[str, ...]:
    """Replace the sparse initializers of the main graph of the model that was read from `path`, in place.

    Returns:
        A note, where there were any.

    Raises:
        WsecError: WSEC102 values and indices do not fit, or the dense weight would be too large.
    """
    graph = proto.graph
    names = [sparse.values.name for sparse in graph.sparse_initializer]
    for sparse in graph.sparse_initializer:
        graph.initializer.append(_dense(sparse, path))
    graph.ClearField("sparse_initializer")
    return (f"sparse weights are stored dense: {', '.join(names)}",) if names else ()


def _dense(sparse: onnx.SparseTensorProto, path: Path) -> onnx.TensorProto:
    name, shape = sparse.values.name, tuple(sparse.dims)
    outside = onnx.TensorProto.EXTERNAL
    if outside in {sparse.values.data_location, sparse.indices.data_location}:
        raise _broken(name, path, "values and indices in the model file", "data in another file")
    try:
        values, indices = (numpy_helper.to_array(tensor) for tensor in (sparse.values, sparse.indices))
    except (TypeError, ValueError) as error:
        raise _broken(name, path, "values and indices as their types and shapes say", str(error)) from error
    if any(extent < 0 for extent in shape) or math.prod(shape) * values.dtype.itemsize > _MOST_BYTES:
        raise _broken(name, path, f"a shape of at most {_MOST_BYTES:,} bytes", f"shape {list(shape)}")
    places = _places(indices, shape)
    if places is None or values.shape != places.shape or not _inside(places, math.prod(shape)):
        found = f"values {list(values.shape)}, indices {list(indices.shape)}, shape {list(shape)}"
        raise _broken(name, path, "an index inside the shape for each value", found)
    dense = np.zeros(math.prod(shape), dtype=values.dtype)
    dense[places] = values
    return numpy_helper.from_array(dense.reshape(shape), name)


def _places(indices: NDArray[np.generic], shape: tuple[int, ...]) -> NDArray[np.int64] | None:
    """Row-major positions; indices are such positions, or give one number for each dimension."""
    whole = indices.astype(np.int64)
    if whole.ndim == 1:
        return whole
    if whole.ndim != 2 or whole.shape[1] != len(shape) or bool(np.any((whole < 0) | (whole >= shape))):
        return None
    steps = [math.prod(shape[axis + 1 :]) for axis in range(len(shape))]
    places: NDArray[np.int64] = whole @ np.array(steps, dtype=np.int64)
    return places


def _inside(places: NDArray[np.int64], elements: int) -> bool:
    return not places.size or (int(places.min()) >= 0 and int(places.max()) < elements)


def _broken(name: str, path: Path, expected: str, found: str) -> WsecError:
    return WsecError(
        "WSEC102",
        "the file is not a valid ONNX model",
        where=f"sparse initializer {name!r} in {path}",
        expected=expected,
        found=found,
        hint="fetch or copy the file again, or export the model again",
    )
