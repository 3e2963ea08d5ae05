"""Where words land and who sends which in an exchange: examples worked by hand from docs/fabric.md.

Compiler, checker and runtime each read the contract for themselves; these keep the three readings equal. Cores are
(row, column) of the consumer's rectangle, words are row-major numbers of elements.
"""

from __future__ import annotations

from dataclasses import dataclass

from wsec.compiler.plan import Exchange
from wsec.compiler.sharding import DimensionSharding, Mesh, MeshAxis, Sharding, cut, whole

Core = tuple[int, int]
Words = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class DeliveryExample:
    """One end of a link.

    Attributes:
        name: What it shows.
        mesh: Of the consumer.
        sharding: What its cores need.
        groups: The lane that reaches each core, row by row.
        streams: The words of each lane, in order. Those from the host follow from where they land.
        exchanges: Of the link.
        landed: The words dealt to each core, in the order in which they come; cores that get none are left out.
        sent: For each exchange, the words that each core sends, in order; cores that send none are left out.
        from_host: Whether the words come from the host.
        direct: Whether each core takes what it needs out of its stream; nothing lands then.
    """

    name: str
    mesh: Mesh
    sharding: Sharding
    groups: tuple[Words, ...]
    streams: tuple[Words, ...]
    exchanges: tuple[Exchange, ...]
    landed: dict[Core, Words]
    sent: tuple[dict[Core, Words], ...] = ()
    from_host: bool = False
    direct: bool = False


def _mesh(**sizes: tuple[int, str]) -> Mesh:
    sides = {"rows": "rows", "columns": "columns"}
    return Mesh(tuple(MeshAxis(name, size, sides[side]) for name, (size, side) in sizes.items()))  # type: ignore[arg-type]


COPIES = DeliveryExample(
    name="cores that need the same block hold it together, an equal share each",
    mesh=_mesh(a=(4, "rows"), b=(2, "columns")),
    sharding=Sharding((cut(8, 4, ("a",)),)),
    groups=((0, 0), (0, 0), (1, 1), (1, 1)),
    streams=((1, 0, 2, 3), (4, 5, 6, 7)),
    exchanges=(Exchange("rows", 2),),
    landed={
        (0, 0): (1,),
        (0, 1): (0,),
        (1, 0): (2,),
        (1, 1): (3,),
        (2, 0): (4,),
        (2, 1): (5,),
        (3, 0): (6,),
        (3, 1): (7,),
    },
    sent=(
        {
            (0, 0): (1,),
            (0, 1): (0,),
            (1, 0): (2,),
            (1, 1): (3,),
            (2, 0): (4,),
            (2, 1): (5,),
            (3, 0): (6,),
            (3, 1): (7,),
        },
    ),
)

# Blocks are [-1, 3), [1, 5), [3, 7): elements 1 and 2 lie in the first two, 3 and 4 in the last two. Twice the middles are
# 2, 6 and 10, so 1 belongs to the first block, 2 and 3 to the second, 4 to the third.
HALO = DeliveryExample(
    name="two tilings bring halos to neighbours",
    mesh=_mesh(a=(3, "rows")),
    sharding=Sharding((DimensionSharding(extent=6, block=4, step=2, axes=("a",), offset=-1),)),
    groups=((0,), (0,), (0,)),
    streams=((5, 4, 3, 2, 1, 0),),
    exchanges=(Exchange("columns", 2), Exchange("columns", 2, 1)),
    landed={(0, 0): (1, 0), (1, 0): (3, 2), (2, 0): (5, 4)},
    sent=({(0, 0): (1,), (1, 0): (2,)}, {(1, 0): (3,), (2, 0): (4,)}),
)

ONE_SIDE = DeliveryExample(
    name="words land on the line of their owners where their group does not reach the owners themselves",
    mesh=_mesh(a=(2, "rows"), b=(2, "columns")),
    sharding=Sharding((cut(2, 2, ("a",)), cut(2, 2, ("b",)))),
    groups=((0, 1), (0, 1)),
    streams=((3, 0), (2, 1)),
    exchanges=(Exchange("rows", 2),),
    landed={(0, 0): (0,), (1, 0): (3,), (1, 1): (2,), (0, 1): (1,)},
    sent=({(1, 0): (3,), (1, 1): (2,)},),
)

# Word 3 belongs to core (1, 1) and comes to row 0, where column 1 is the right one; word 1 likewise.
ACROSS = DeliveryExample(
    name="words that come to other lines land where exchanges along the other side alone bring them home",
    mesh=_mesh(a=(2, "rows"), b=(2, "columns")),
    sharding=Sharding((cut(2, 2, ("a",)), cut(2, 2, ("b",)))),
    groups=((0, 0), (1, 1)),
    streams=((3, 0), (2, 1)),
    exchanges=(Exchange("columns", 2), Exchange("rows", 1)),
    landed={(0, 0): (0,), (0, 1): (3,), (1, 0): (2,), (1, 1): (1,)},
    sent=({(0, 1): (3,), (1, 1): (1,)}, {}),
)

# Word 3 belongs to core (1, 1), but the group of its lane is core (0, 0). It goes down column 0 first, then along row 1.
BOTH_SIDES = DeliveryExample(
    name="words that come to other lines and lines across go along the other side first",
    mesh=_mesh(a=(2, "rows"), b=(2, "columns")),
    sharding=Sharding((cut(2, 2, ("a",)), cut(2, 2, ("b",)))),
    groups=((0, 1), (1, 1)),
    streams=((3, 0), (2, 1)),
    exchanges=(Exchange("columns", 2), Exchange("rows", 2)),
    landed={(0, 0): (3, 0), (1, 0): (2,), (0, 1): (1,)},
    sent=({(0, 0): (3,)}, {(1, 0): (3,)}),
)

# Blocks are [0, 3) and [4, 7): words 3 and 7 are needed nowhere. Both rows need the same, and each lane reaches one of them.
GAPS = DeliveryExample(
    name="words that no core needs land nowhere",
    mesh=_mesh(r=(2, "rows"), b=(2, "columns")),
    sharding=Sharding((DimensionSharding(extent=8, block=3, step=4, axes=("b",)),)),
    groups=((0, 0), (1, 1)),
    streams=((0, 1, 2, 3), (4, 5, 6, 7)),
    exchanges=(Exchange("columns", 2),),
    landed={(0, 0): (0, 1, 2), (1, 1): (4, 5, 6)},
    sent=({(0, 0): (0, 1, 2), (1, 1): (4, 5, 6)},),
)

SPREAD_EVENLY = DeliveryExample(
    name="words whose owners are out of reach are dealt evenly over the cores of their line",
    mesh=_mesh(b=(3, "columns")),
    sharding=Sharding((cut(9, 3, ("b",)),)),
    groups=((0, 0, 1),),
    streams=((6, 0, 7, 8), (1, 2, 3, 4, 5)),
    exchanges=(Exchange("rows", 3),),
    landed={(0, 0): (6, 0, 7), (0, 1): (8,), (0, 2): (1, 2, 3, 4, 5)},
    sent=({(0, 0): (6, 7), (0, 1): (8,), (0, 2): (1, 2, 3, 4, 5)},),
)

# The stream of lane 0 is all of block 0, of which one core of its group is an owner: 12 words are more than twice a share of
# 12 over 6 cores. Column 0, across, has one core as well. Of lane 1 each owner takes its 12 words, of 60 over 6 cores.
_BLOCKS = range(1, 6)
CROWDED = DeliveryExample(
    name="few cores do not take what the whole group can hold",
    mesh=_mesh(r=(2, "rows"), b=(6, "columns")),
    sharding=Sharding((cut(72, 6, ("b",)),)),
    groups=((0,) * 6, (1,) * 6),
    streams=(tuple(range(12)), tuple(range(12, 72))),
    exchanges=(Exchange("columns", 2), Exchange("rows", 6)),
    landed={(0, at): (2 * at, 2 * at + 1) for at in range(6)}
    | {(1, at): tuple(range(12 * at, 12 * at + 12)) for at in _BLOCKS},
    sent=(
        {(0, at): (2 * at, 2 * at + 1) for at in range(6)}
        | {(1, at): tuple(range(12 * at, 12 * at + 12)) for at in _BLOCKS},
        {(row, at): (2 * at, 2 * at + 1) for row in range(2) for at in _BLOCKS},
    ),
)

FROM_HOST = DeliveryExample(
    name="the host sends each word along the lane of the core on which it lands",
    mesh=_mesh(r=(2, "rows"), b=(2, "columns")),
    sharding=Sharding((cut(4, 2, ("b",)), whole(2))),
    groups=((0, 0), (1, 1)),
    streams=((0, 1, 4, 5), (2, 3, 6, 7)),
    exchanges=(Exchange("columns", 2),),
    landed={(0, 0): (0, 1), (1, 0): (2, 3), (0, 1): (4, 5), (1, 1): (6, 7)},
    sent=({(0, 0): (0, 1), (1, 0): (2, 3), (0, 1): (4, 5), (1, 1): (6, 7)},),
    from_host=True,
)

DIRECT_FROM_HOST = DeliveryExample(
    name="of a direct link the host sends along each lane what its group needs, some words twice",
    mesh=_mesh(r=(2, "rows"), b=(2, "columns")),
    sharding=Sharding((DimensionSharding(extent=5, block=3, step=2, axes=("r",)),)),
    groups=((0, 0), (1, 1)),
    streams=((0, 1, 2), (2, 3, 4)),
    exchanges=(),
    landed={},
    from_host=True,
    direct=True,
)

DELIVERY_EXAMPLES = (
    COPIES,
    HALO,
    ONE_SIDE,
    ACROSS,
    BOTH_SIDES,
    GAPS,
    SPREAD_EVENLY,
    CROWDED,
    FROM_HOST,
    DIRECT_FROM_HOST,
)
