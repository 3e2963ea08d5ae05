"""Floorplans that no cut divides: five parts around a core, like the sails of a windmill; compiled.

A wheel is the smallest arrangement that is not slicing. Part 1 lies at the top left and ends at column `right` and row
`upper`; part 2 is to its right, down to row `lower`; part 3 is below that and begins at column `left`; part 4 is to the
left of that, below part 1; part 5 is the core, columns `left` ... `right` and rows `upper` ... `lower`. Its mirror image
needs no search of its own: it takes the same boxes.

After Wang and Wong, "Optimal floorplan area optimization" (1992), who treat wheels beside cuts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from wsec.compiler.native import compiled
from wsec.compiler.placement.slicing.subsets import WIDTH_FROM, WIDTH_TO, Subsets, next_part

if TYPE_CHECKING:
    from numpy.typing import NDArray

LEFT: Final = 5
RIGHT: Final = 6
UPPER: Final = 7
LOWER: Final = 8
"""Where a wheel, nine int64, holds the lines of its core; the first five are its parts, as subsets."""


@compiled
def find_wheel(
    subsets: Subsets,
    first: NDArray[np.int64],
    waste: int,
    steps: NDArray[np.int64],
    wheel: NDArray[np.int64],
) -> bool:
    """Look for a wheel of all items in the grid, in which part 1 is one of `first`.

    Parts 1 and 2 waste no more than half of what the grid can spare; turned by half a circle, every wheel that fits
    has such a form, so that none is missed.

    Args:
        subsets: Curves of all subsets for boxes up to the size of the grid.
        first: Subsets to try as part 1.
        waste: Cores that the grid can spare.
        steps: One number: how many arrangements may still be tried; counted down.
        wheel: Where to write the wheel.

    Returns:
        Whether there is one; False too when the steps are used up, which then are below 0.
    """
    wide, everything = subsets.height.shape[1] - 1, len(subsets.area) - 1
    taken = np.zeros((3, len(subsets.number)), dtype=np.int64)
    for one in first:
        others = (everything - one) // subsets.stride % (subsets.number + 1)
        for right in range(max(1, subsets.window[one, WIDTH_FROM]), min(wide, subsets.window[one, WIDTH_TO])):
            upper = np.int64(subsets.height[one, right])
            wasted = right * upper - subsets.area[one]
            if wasted > waste // 2:
                continue
            taken[0, :] = 0
            two = next_part(taken[0], others, subsets.stride, 0)
            while two > 0:
                lower = np.int64(subsets.height[two, wide - right])
                both = wasted + (wide - right) * lower - subsets.area[two]
                if lower > upper and both <= waste // 2:
                    wheel[0], wheel[1], wheel[RIGHT], wheel[UPPER], wheel[LOWER] = (
                        one,
                        two,
                        right,
                        upper,
                        lower,
                    )
                    if _close_wheel(subsets, waste - both, taken[1:], steps, wheel):
                        return True
                    if steps[0] < 0:
                        return False
                two = next_part(taken[0], others, subsets.stride, two)
    return False


@compiled
def _close_wheel(
    subsets: Subsets,
    waste: int,
    taken: NDArray[np.int64],
    steps: NDArray[np.int64],
    wheel: NDArray[np.int64],
) -> bool:
    """Whether the other three parts can be chosen so that the wheel fits; `LOWER` is first what part 2 needs at least."""
    area, height, stride = subsets.area, subsets.height, subsets.stride
    wide, high, everything = height.shape[1] - 1, subsets.width.shape[1] - 1, len(area) - 1
    right, upper, lowest = wheel[RIGHT], wheel[UPPER], wheel[LOWER]
    if lowest >= high:
        return False
    left_over = everything - wheel[0] - wheel[1]
    have = left_over // subsets.stride % (subsets.number + 1)
    taken[0, :] = 0
    four = next_part(taken[0], have, stride, 0)
    while four > 0:
        left = np.int64(subsets.width[four, high - upper])
        spare = waste - left * (high - upper) + area[four]
        if left < right and spare >= 0:
            box = (wide - left) * (high - lowest)
            rest = have - taken[0]
            taken[1, :] = 0
            three = next_part(taken[1], rest, stride, 0)
            while three > 0:
                steps[0] -= 1
                if box - spare <= area[three] <= box:
                    lower = high - np.int64(height[three, wide - left])
                    core = left_over - four - three
                    if lower >= lowest and core > 0 and height[core, right - left] <= lower - upper:
                        wheel[2], wheel[3], wheel[4], wheel[LEFT], wheel[LOWER] = (
                            three,
                            four,
                            core,
                            left,
                            lower,
                        )
                        return True
                three = next_part(taken[1], rest, stride, three)
            if steps[0] < 0:
                return False
        four = next_part(taken[0], have, stride, four)
    return False
