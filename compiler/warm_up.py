"""Compile the compiled searches ahead of their first use; `wsec.warm_up` does it with all the rest.

What numba compiles is kept on disk, so that this takes half a minute once and a second afterwards.
"""

from __future__ import annotations

import numpy as np

from wsec.compiler.cost.instruction_walks import walks
from wsec.compiler.cost.reshardings import LaidTensor, resharding_cycles
from wsec.compiler.defects import map_defects
from wsec.compiler.placement import Limits, Net, PlacementKernel, PlacementProblem, ShapeOptions, place
from wsec.compiler.plan import Rectangle
from wsec.compiler.sharding import Mesh, MeshAxis, Sharding, cut
from wsec.compiler.target import load_target

_SIDE = 24
_EFFORT = 0.25  # the least with which floorplans are annealed


def warm_up() -> None:
    """Place toy problems, of different kernels and of equal ones, map a dead core, walk through two loops, and reshard a vector."""
    sides = np.arange(1, 9)
    widths, heights = (side.ravel() for side in np.meshgrid(sides, sides))
    curves = [ShapeOptions(widths, heights, -(-work // (widths * heights))) for work in range(600, 1800, 100)]
    for kinds in (len(curves), 2):
        kernels = tuple(
            PlacementKernel(f"kernel {at}", curves[at % kinds], rotatable=at % 2 == 0)
            for at in range(len(curves))
        )
        nets = tuple(Net(at, at + 1, 1.0) for at in range(len(kernels) - 1))
        place(PlacementProblem(_SIDE, _SIDE, kernels, nets), Limits(effort=_EFFORT))
    map_defects([(1, 1)], 4, 4)
    walks(np.ones((1, 2), np.int64), np.zeros(2, np.bool_))
    row = Mesh((MeshAxis("i", _SIDE, "columns"),))
    halves, thirds = (Sharding((cut(_SIDE, parts, ("i",)),)) for parts in (_SIDE // 2, _SIDE // 3))
    place_of = Rectangle(0, 0, _SIDE, 1)
    resharding_cycles(
        LaidTensor(halves, row, place_of), LaidTensor(thirds, row, place_of), _SIDE, load_target("wse3")
    )
