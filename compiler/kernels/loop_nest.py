"""The form every kernel takes before it is cut: named loops, and the elements each tensor needs for a range of them.

A dimension of an operand follows at most one loop, by an affine map. That is what lets splits, shardings, memory and
cycles be derived for all kinds by the same arithmetic.
"""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from wsec.compiler.sharding import DimensionSharding, whole

if TYPE_CHECKING:
    from wsec.compiler.plan import Argument, ChainStep


class LoopRole(enum.Enum):
    """What cutting a loop means for the result."""

    PARALLEL = "parallel"  # each part owns a part of the output
    REDUCTION = "reduction"  # each part leaves a partial result
    COLLECTIVE = "collective"  # parallel, but the parts exchange statistics


@dataclass(frozen=True, slots=True)
class Loop:
    """A loop of a kernel. `cuttable` is False where its parts could not work apart."""

    name: str
    extent: int
    role: LoopRole = LoopRole.PARALLEL
    cuttable: bool = True


@dataclass(frozen=True, slots=True)
class DimensionMap:
    """The elements of one dimension that loop positions read.

    Position `l` of `loop` reads elements from `(l * stride + offset) // divisor` on; a range of positions reads
    everything up to `reach` scaled elements behind its last one. Without a loop, every core needs the whole dimension.
    What cores add to partial sums, once, those along the loop `shared` hold in equal shares, where all parts of `loop` are equal.
    """

    extent: int
    loop: str = ""
    stride: int = 1
    offset: int = 0
    divisor: int = 1
    reach: int = 1
    shared: str = ""

    def sharding(self, block: int, axes: tuple[str, ...]) -> DimensionSharding:
        """The sharding of the dimension where the loop is cut in blocks of `block` positions along `axes`."""
        if not self.loop:
            return whole(self.extent)
        backwards = (block - 1) * self.stride if self.stride < 0 else 0
        return DimensionSharding(
            extent=self.extent,
            block=self.block_elements(block),
            step=block * self.stride,
            axes=axes,
            offset=self.offset + backwards,
            divisor=self.divisor,
        )

    def block_elements(self, block: int) -> int:
        """Elements that `block` consecutive positions read at most, where every block begins at a multiple of `block`."""
        if not self.loop:
            return self.extent
        span = (block - 1) * abs(self.stride) + self.reach - 1
        if not self.shares_elements:
            return -(-span // self.divisor) + 1
        begun = self.divisor - math.gcd(
            block, self.divisor
        )  # positions before the block, of its first element
        return min(self.extent, (begun + span) // self.divisor + 1)

    @property
    def shares_elements(self) -> bool:
        """Whether `divisor` positions after each other read one element: a scale for each block of weights."""
        return self.divisor > 1 and (self.stride, self.offset, self.reach) == (1, 0, 1)


def follows(loop: Loop) -> DimensionMap:
    """The map of a dimension that a loop walks through one by one."""
    return DimensionMap(extent=loop.extent, loop=loop.name)


def fixed(extent: int) -> DimensionMap:
    """The map of a dimension that every core needs whole."""
    return DimensionMap(extent=extent)


@dataclass(frozen=True, slots=True)
class Operand:
    """A tensor of a kernel: its role, element type, and the map of each dimension of its view.

    A `state` stays on the cores from one run to the next: as an input no link brings it, as an output it takes the place of the
    input, whose maps it shares.
    """

    role: str
    tensor: str
    dtype: str
    item_bytes: float
    constant: bool
    maps: tuple[DimensionMap, ...]
    slots: int = 1
    state: bool = False

    @property
    def resident(self) -> bool:
        """Whether it stays on the cores, so that no link brings it."""
        return self.constant or self.state


@dataclass(frozen=True, slots=True)
class Product:
    """How multiply-adds are products of matrices, which a matrix unit takes tile by tile.

    Attributes:
        rows: Loops that only the first factor follows: positions that share the second.
        columns: Loops that only the second factor follows.
    """

    rows: tuple[str, ...]
    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Work:
    """Arithmetic for each point of the product of `loops`, in vector operations of the result's element type.

    Attributes:
        loops: The loops whose points are counted.
        operations: Multiply-adds or other operations that take a cycle an element, each a pass over all points.
        divisions: Divisions and square roots, likewise.
        transcendentals: exp, log, tanh, erf ..., likewise.
        dtype: Element type that decides the lanes.
        collectives: Statistics that are all-reduced over the collective loops.
        walks: Loops that instructions walk through one by one, those together that lie dense in all operands. Empty: all
            loops together.
        summed: Those of its loops that are summed, in their order and together likewise; taps come behind them.
        taps: Extents of loops over a window, which are not cut.
        taps_over: For each tap the loop whose positions the window slides over, where taps lie dense under one position; else empty.
        every: Loops of which an operation takes only each so-manieth position, and how many.
        unread: Loops that it walks through as they lie in an operand, not in the result: all elements that the part of a core reads.
        row: Whether the last of `walks` is a row that one look-up copies, however long it is.
        scalar: Whether each element is an instruction of its own.
        serial: True where one core does all of it.
        weight_reads: How often a serial core reads the weights, which other cores hold; everything else it reads once.
        gathered: Loops of a state that cores gather from each other along the collective loops, so that each has all.
        gathers: How often, for one sample. As often are partial results combined over the reduction loops.
        partials: Partial results for each element of the state.
        partial_bytes: Bytes of an element of a partial result, where they are not those of the result.
        resident_bytes: Bytes that every core holds beside its blocks: what an operator has in its attributes.
        statistics: Loops of a statistic that is all-reduced over the collective loops, or else the reduction loops,
            `collectives` times.
        interim: Loops of an intermediate result of which a core holds a turn.
        interim_bytes: Bytes of an element of it, and of a statistic.
        exchanged: Whether the interim is a sum over the collective loops, which is all-reduced over them, and again with what is
            computed of it in shares; statistics are then of the reduction loops.
        shared_out: A loop along whose parts cores share out the last of `loops`, of which all hold the same block.
        chosen: Loops of which no more than so many positions are computed, which ones the data says: the busiest core
            has all of them, or its whole block.
        product: Where it is one of matrices; loops that are neither its rows or columns nor summed lie apart.
    """

    loops: tuple[str, ...]
    operations: float
    divisions: float = 0
    transcendentals: float = 0
    dtype: str = "float32"
    collectives: int = 0
    walks: tuple[tuple[str, ...], ...] = ()
    summed: tuple[tuple[str, ...], ...] = ()
    taps: tuple[int, ...] = ()
    taps_over: tuple[str, ...] = ()
    every: tuple[tuple[str, int], ...] = ()
    unread: tuple[DimensionMap, ...] = ()
    row: bool = False
    scalar: bool = False
    serial: bool = False
    weight_reads: int = 1
    gathered: tuple[str, ...] = ()
    gathers: int = 0
    partials: int = 1
    partial_bytes: int = 0
    resident_bytes: int = 0
    statistics: tuple[str, ...] = ()
    interim: tuple[str, ...] = ()
    interim_bytes: float = 0
    exchanged: bool = False
    shared_out: str = ""
    chosen: tuple[tuple[str, int], ...] = ()
    product: Product | None = None


@dataclass(frozen=True, slots=True)
class LoopNest:
    """A kernel before it is cut.

    Attributes:
        kind: Kind of the kernel, docs/kernels.md.
        operators: Names of the lowered model's nodes it computes.
        loops: Its loops.
        inputs: What it reads.
        outputs: What it produces; every dimension follows a parallel loop one by one, or is fixed.
        arguments: Formal arguments of the kind.
        work: Its own arithmetic.
        further_work: More of it, over other loops.
        output_groups: For each dimension of the output tensor, the dimensions of the view that make it up.
        chain: Element-wise operators behind its own.
        chain_work: Arithmetic of the chain.
        reason: Why an unsplit kernel is unsplit.
        output_slots: Samples of the result that it holds: one is sent while the next is computed.
        words_in: Words of a sample that links bring to it.
        words_out: Words of a sample that links take from it, each consumer's by itself.
        body: Its own operators in order, where they are several.
        turned: The loop that it walks in turns, where that is not the longest that no weight follows.
        collective: The algorithm that its collectives shall have; `auto`: the cheapest of each.
        meshed: Loops in the order of the axes of its mesh, where that is given.
    """

    kind: str
    operators: tuple[str, ...]
    loops: tuple[Loop, ...]
    inputs: tuple[Operand, ...]
    outputs: tuple[Operand, ...]
    arguments: dict[str, Argument]
    work: Work
    further_work: tuple[Work, ...] = ()
    output_groups: tuple[tuple[int, ...], ...] = ()
    chain: tuple[ChainStep, ...] = ()
    chain_work: Work | None = None
    reason: str = ""
    output_slots: int = 2
    words_in: int = 0
    words_out: int = 0
    body: tuple[ChainStep, ...] = ()
    turned: str = ""
    collective: str = "auto"
    meshed: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Name of the kernel: that of its first operator."""
        return self.operators[0]

    def position(self, loop: str) -> int:
        """Index of the loop of that name. Raises StopIteration where there is none."""
        return next(index for index, candidate in enumerate(self.loops) if candidate.name == loop)

    def mesh_order(self) -> tuple[int, ...]:
        """Indices of the loops, the most significant axis of the mesh first.

        Loops along which cores talk come last, so that those cores are near each other: reductions and statistics
        innermost, around them the loops along which some activation is the same and is passed around.
        """
        if self.meshed:
            return tuple(map(self.position, self.meshed))
        activations = [{m.loop for m in item.maps} for item in self.inputs if not item.resident]

        def talks(index: int) -> tuple[bool, bool]:
            loop = self.loops[index]
            return loop.role is not LoopRole.PARALLEL, any(loop.name not in loops for loops in activations)

        return tuple(sorted(range(len(self.loops)), key=talks))

    def cost_key(self) -> object:
        """What its splits, bytes and cycles depend on: all but the names. Nests with equal keys are cut alike."""
        operands = tuple(
            (item.role, item.item_bytes, item.constant, item.maps, item.slots, item.state)
            for item in (*self.inputs, *self.outputs)
        )
        return (
            self.kind,
            self.loops,
            operands,
            self.works(),
            self.chain_keeps_a_copy(),
            self.turned,
            self.collective,
            self.meshed,
            self.words_in,
            self.words_out,
        )

    def chain_keeps_a_copy(self) -> bool:
        """Whether a value of the chain is used more than once, so that the chain needs a second block."""
        operands = {operand.role for operand in self.inputs}
        uses = [wire for step in self.chain for wire in step.inputs if wire and wire not in operands]
        return len(uses) > len(set(uses))

    def works(self) -> tuple[Work, ...]:
        """Its own arithmetic and that of the chain."""
        own = (self.work, *self.further_work)
        return own if self.chain_work is None else (*own, self.chain_work)

    def points(self, work: Work) -> int:
        """Points of the whole kernel for which `work` counts."""
        most = dict(work.chosen)
        extents = {name: self.loops[self.position(name)].extent for name in work.loops}
        return math.prod(work.taps) * math.prod(
            min(extent, most.get(name, extent)) for name, extent in extents.items()
        )

    def turn_loop(self) -> str:
        """The loop that a kernel may walk in several turns, to work on less of its blocks at once; empty for none.

        The longest parallel loop that no weight follows: a turn along another would need its weights again.
        """
        if self.turned:
            return self.turned
        weights = {m.loop for operand in self.inputs if operand.constant for m in operand.maps}
        free = [loop for loop in self.loops if loop.role is LoopRole.PARALLEL and loop.name not in weights]
        longest = max(free, key=lambda loop: loop.extent, default=None)
        return "" if longest is None or self.work.serial else longest.name

    @property
    def sums_in_turns(self) -> bool:
        """Whether a turn is a part of what is summed: it needs a part of the factors, and all of the results."""
        loop = self.turn_loop()
        return bool(loop) and self.loops[self.position(loop)].role is LoopRole.REDUCTION

    def with_links(self, slots: dict[str, int], output_slots: int, words: tuple[int, int]) -> LoopNest:
        """The same kernel, holding `slots[role]` samples of its inputs, with these words going in and out."""
        inputs = tuple(replace(item, slots=slots.get(item.role, item.slots)) for item in self.inputs)
        return replace(self, inputs=inputs, output_slots=output_slots, words_in=words[0], words_out=words[1])
