"""Says which weights hold NaN or infinity: they are kept, and what is computed from them may well be NaN too."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

if TYPE_CHECKING:
    from collections.abc import Iterator

_SHOWN = 5


def unusual_weights(model: ir.Model) -> tuple[str, ...]:
    """A note on weights with elements that are not finite; those that lie in other files are not read for it."""
    found = list(_not_finite(model.graph))
    if not found:
        return ()
    rest = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return (f"weights that are not finite are kept as they are: {', '.join(found[:_SHOWN])}{rest}",)


def _not_finite(graph: ir.Graph) -> Iterator[str]:
    for name, value in graph.initializers.items():
        tensor = value.const_value
        if not isinstance(tensor, ir.Tensor | ir.TensorProtoTensor) or tensor.dtype not in _FLOATS:
            continue
        # The sum tells in one read, without room for a mask; only where it is not finite is there something to count.
        array = tensor.numpy()
        with np.errstate(all="ignore"):
            if np.isfinite(np.sum(array)):
                continue
        count = int(np.count_nonzero(~np.isfinite(array)))
        if count:
            yield f"{name} ({count:,} of {array.size:,} elements)"


_FLOATS = frozenset({ir.DataType.FLOAT16, ir.DataType.FLOAT, ir.DataType.DOUBLE})
