"""Where the elements of a tensor are seen through movements of data, as extents and strides.

A dimension is a tuple of factors `(extent, stride)`, the most significant first: position `i` in mixed radix over the
extents lies at the sum of digit times stride, in elements. Reshapes divide and join factors, transpositions permute
dimensions, and expansions have stride 0, so every chain of them that repeats no irregular part has such a form. These
are the layouts of CuTe (NVIDIA CUTLASS 3), nested one level deep.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from wsec.compiler.kernels.operator_view import Unsplittable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Factor = tuple[int, int]
Dimension = tuple[Factor, ...]
Layout = tuple[Dimension, ...]


def contiguous(shape: Sequence[int]) -> Layout:
    """The layout of a row-major tensor; dimensions of extent 1 have no factor."""
    layout: list[Dimension] = []
    stride = 1
    for extent in reversed(shape):
        layout.append(((extent, stride),) if extent > 1 else ())
        stride *= extent
    return tuple(reversed(layout))


def expanded(layout: Layout, shape: Sequence[int]) -> Layout:
    """The layout broadcast to `shape`, as ONNX broadcasts: repeated dimensions have stride 0."""
    padded = ((),) * (len(shape) - len(layout)) + layout
    return tuple(
        ((extent, 0),) if not dimension and extent > 1 else dimension
        for dimension, extent in zip(padded, shape, strict=True)
    )


def reshaped(layout: Layout, shape: Sequence[int]) -> Layout:
    """The layout under a row-major reshape. Raises Unsplittable where a factor would have to be cut unevenly."""
    return tuple(grouped([factor for dimension in layout for factor in dimension], shape))


def grouped(factors: Iterable[Factor], shape: Sequence[int]) -> list[Dimension]:
    """The factors divided among dimensions of these extents. Raises Unsplittable where they do not divide evenly."""
    rest = list(factors)
    dimensions: list[Dimension] = []
    for extent in reversed(shape):
        taken: list[Factor] = []
        need = extent
        while need > 1:
            if not rest:
                raise Unsplittable("a reshape changes the number of elements")
            size, stride = rest.pop()
            common = math.gcd(size, need)
            if common not in (size, need):
                raise Unsplittable(f"a reshape cuts a dimension of {size} in parts of {need}")
            taken.append((common, stride))
            need //= common
            if size > common:
                rest.append((size // common, stride * common))
        dimensions.append(tuple(reversed(taken)))
    return dimensions[::-1]


def boundaries(factors: Sequence[Factor]) -> set[int]:
    """Where one factor ends and the next begins, in positions counted from the innermost."""
    ends: set[int] = set()
    position = 1
    for size, _ in reversed(factors):
        position *= size
        ends.add(position)
    return ends


def common_extents(cuts: Iterable[int]) -> tuple[int, ...]:
    """Extents, outermost first, of the coarsest factors that end at all of `cuts`, which hold the outermost end.

    Raises:
        Unsplittable: They are no chain of divisors.
    """
    extents: list[int] = []
    position = 1
    for end in sorted(set(cuts) - {1}):
        if end % position:
            raise Unsplittable("its operands divide the batch in ways that do not nest")
        extents.append(end // position)
        position = end
    return tuple(reversed(extents))


def stored_order(strides: dict[str, Factor], elements: int) -> tuple[str, ...]:
    """Loops in the order in which a tensor of so many elements stores them; `strides` has extent and stride of each.

    Raises:
        Unsplittable: They walk through a part of the tensor, or through some of it twice.
    """
    walked = {loop: (extent, stride) for loop, (extent, stride) in strides.items() if extent > 1 and stride}
    order = sorted(walked, key=lambda loop: -walked[loop][1])
    step = 1
    for loop in reversed(order):
        extent, stride = walked[loop]
        if stride != step:
            raise Unsplittable("an operand is not stored in one piece")
        step *= extent
    if step != elements:
        raise Unsplittable("an operand is read in part only")
    return tuple(order)
