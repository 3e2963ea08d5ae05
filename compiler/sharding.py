"""How a tensor lies on a rectangle of cores, in GSPMD terms, answered in closed form.

A kernel's rectangle is a *mesh*: named axes laid on rows or columns in mixed radix, the first the most significant.
A *sharding* cuts the dimensions of a tensor along mesh axes. Axes it does not name replicate it. Blocks are equal and
padded: a block may reach over the ends of its dimension, and what lies outside is not there. Nothing here lists cores.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Side = Literal["rows", "columns"]


@dataclass(frozen=True, slots=True)
class MeshAxis:
    """One named axis of a mesh, `size` cores or groups of cores long, laid on rows (y) or columns (x)."""

    name: str
    size: int
    side: Side


@dataclass(frozen=True, slots=True)
class Mesh:
    """The axes of a rectangle of cores. The product of the sizes on a side is the rectangle's extent there."""

    axes: tuple[MeshAxis, ...]

    @property
    def height(self) -> int:
        """Rows of the rectangle."""
        return math.prod(axis.size for axis in self.axes if axis.side == "rows")

    @property
    def width(self) -> int:
        """Columns of the rectangle."""
        return math.prod(axis.size for axis in self.axes if axis.side == "columns")

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes of the axes in order: the leading axes of every array the runtime keeps."""
        return tuple(axis.size for axis in self.axes)

    def index(self, name: str) -> int:
        """Position of the axis `name`. Raises KeyError where the mesh has none of that name."""
        for position, axis in enumerate(self.axes):
            if axis.name == name:
                return position
        raise KeyError(name)

    def size(self, name: str) -> int:
        """Size of the axis `name`. Raises KeyError where the mesh has none of that name."""
        return self.axes[self.index(name)].size

    def spacing(self, name: str) -> int:
        """Cores between neighbours along the axis `name`: the product of the less significant sizes on its side."""
        position = self.index(name)
        side = self.axes[position].side
        return math.prod(axis.size for axis in self.axes[position + 1 :] if axis.side == side)

    def coordinate(self, name: str) -> NDArray[np.int64]:
        """Index along the axis `name` of every core, shape [height, 1] or [1, width]."""
        import numpy as np

        position = self.index(name)
        rows = self.axes[position].side == "rows"
        along = np.arange(self.height if rows else self.width, dtype=np.int64)
        indices = along // self.spacing(name) % self.axes[position].size
        return indices[:, None] if rows else indices[None, :]


@dataclass(frozen=True, slots=True)
class DimensionSharding:
    """How one dimension is cut.

    Block `i` holds elements `[start, start + block)`, `start = (i * step + offset) // divisor`, clipped to
    `[0, extent)`. `i` counts in mixed radix over `axes`, the first the most significant. A plain cut has
    `step == block`, a halo makes `block` greater than `step` and `offset` negative, a dimension that no axis cuts has
    `axes == ()` and `block == extent`. `step` may be negative (a reversed slice).
    """

    extent: int
    block: int
    step: int
    axes: tuple[str, ...] = ()
    offset: int = 0
    divisor: int = 1

    def starts(self, indices: NDArray[np.int64]) -> NDArray[np.int64]:
        """First element, before clipping, of the blocks with these indices; the shape of `indices`."""
        return (indices * self.step + self.offset) // self.divisor

    @property
    def plain(self) -> bool:
        """True where blocks neither overlap nor leave gaps: what an output must be."""
        return self.offset == 0 and self.divisor == 1 and self.step == self.block


def whole(extent: int) -> DimensionSharding:
    """The sharding of a dimension that every core holds whole."""
    return DimensionSharding(extent=extent, block=extent, step=extent)


def cut(extent: int, parts: int, axes: tuple[str, ...]) -> DimensionSharding:
    """The plain sharding of a dimension in `parts` equal padded blocks along `axes`."""
    block = -(-extent // parts)
    return DimensionSharding(extent=extent, block=block, step=block, axes=axes)


@dataclass(frozen=True, slots=True)
class Sharding:
    """How a tensor lies on a mesh.

    `dimensions` may describe a row-major *view* of the tensor: any shape with as many elements. Axes in `root` hold
    the tensor at index 0 only; along axes in `partial` every core holds a partial result still to be reduced; along
    all other axes that no dimension names the tensor is replicated.
    """

    dimensions: tuple[DimensionSharding, ...]
    root: tuple[str, ...] = ()
    partial: tuple[str, ...] = ()

    @property
    def shape(self) -> tuple[int, ...]:
        """Extents of the view."""
        return tuple(dimension.extent for dimension in self.dimensions)

    @property
    def block_shape(self) -> tuple[int, ...]:
        """Elements of one core's padded block, by dimension."""
        return tuple(dimension.block for dimension in self.dimensions)

    @property
    def block_elements(self) -> int:
        """Elements of one core's padded block."""
        return math.prod(self.block_shape)


def parts(dimension: DimensionSharding, mesh: Mesh) -> int:
    """How many blocks the dimension is cut in: the product of the sizes of its axes."""
    return math.prod(mesh.size(name) for name in dimension.axes)


def share_elements(sharding: Sharding, mesh: Mesh) -> int:
    """Elements of a block that one core keeps where all cores that need the same block hold it together."""
    copies = math.prod(mesh.shape) // math.prod(parts(dimension, mesh) for dimension in sharding.dimensions)
    return -(-sharding.block_elements // copies)


def block_indices(dimension: DimensionSharding, mesh: Mesh) -> NDArray[np.int64]:
    """Block index of every core along one dimension, broadcastable to [height, width]."""
    import numpy as np

    indices = np.zeros((1, 1), dtype=np.int64)
    for name in dimension.axes:
        indices = indices * mesh.size(name) + mesh.coordinate(name)
    return indices


def block_bounds(sharding: Sharding, mesh: Mesh) -> tuple[tuple[NDArray[np.int64], NDArray[np.int64]], ...]:
    """Clipped (start, stop) of every core's block, by dimension; each array broadcastable to [height, width]."""
    import numpy as np

    bounds = []
    for dimension in sharding.dimensions:
        starts = dimension.starts(block_indices(dimension, mesh))
        bounds.append(
            (np.clip(starts, 0, dimension.extent), np.clip(starts + dimension.block, 0, dimension.extent))
        )
    return tuple(bounds)
