"""Turns of a prefill on the wafers of its decoder: ways that find the decoder's weights where they lie, and what the others take.

Ways that are cut as the decoder is find weights in place; these are added to those of a kernel alone. In all others matrices are brought
from the decoder's cores for each run, which takes cycles, so that they are there once. Vectors may be copied, which takes some bytes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import product
from typing import TYPE_CHECKING, Final

import numpy as np

from wsec.compiler.cost.reshardings import common_view, resharding_table
from wsec.compiler.errors import ExitStatus, WsecError
from wsec.compiler.kernels.graph import HOST_INDEX, KernelGraph
from wsec.compiler.kernels.loop_nest import LoopRole
from wsec.compiler.kernels.splits import fitting_splits, loop_parts
from wsec.compiler.plan import SharedCache, SharedWeight
from wsec.compiler.schedule.sequential.joining import joined
from wsec.compiler.schedule.sequential.options import TurnTable, priced, select_splits
from wsec.compiler.schedule.sequential.turns import Turn

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from wsec.compiler.kernels.loop_nest import LoopNest, Operand
    from wsec.compiler.plan import Kept
    from wsec.compiler.residents import Held, Residents
    from wsec.compiler.target import Target

_KEPT: Final[tuple[Kept, ...]] = ("in_place", "moved", "copied")
_IN_PLACE, _MOVED, _COPIED = range(3)
_NEVER: Final = 1 << 40  # cycles of a way that is not taken
_SHARES_OF_ROOM: Final = (
    1.0,
    0.7,
    0.4,
)  # of the memory beside the decoder, where tensors wait for later turns too
_PARTS_OF_FREE_LOOPS: Final = (
    4  # in how many ways at most a loop that weights do not follow is cut beside them
)


@dataclass(frozen=True, slots=True, eq=False)
class _Weight:
    """A weight of a kernel of a turn in each way.

    Attributes:
        member: Which kernel of the turn.
        role: As which it reads it.
        held: Where the decoder has it; None where it has not.
        vector: Whether it may be copied, having one dimension at most.
        bytes: On the fullest core, [ways].
        cycles: Of bringing it from the decoder's cores, 0 where it is in place; [ways].
    """

    member: int
    role: str
    held: Held | None
    vector: bool
    bytes: NDArray[np.float64]
    cycles: NDArray[np.float64]


@dataclass(frozen=True)
class SharedTurn(Turn):
    """A turn of a prefill beside a decoder.

    Attributes:
        weights: That its kernels read.
        caches: What it makes of the decoder's states, by member and output, with the cycles of bringing it there, [ways].
        copied: Ways that have vectors which are not in place a second time; the others bring them; [ways].
        barred: Ways that are not taken, [ways]; None where all may be.
    """

    weights: tuple[_Weight, ...] = ()
    caches: tuple[tuple[int, str, Held, NDArray[np.float64]], ...] = ()
    copied: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, np.bool_))
    barred: NDArray[np.bool_] | None = None

    def added(self, member: int) -> NDArray[np.int64]:
        """Cycles in which what a kernel shares is brought, [ways]."""
        total = np.zeros(len(self.option))
        for weight in self.weights:
            if weight.member == member and weight.held is not None:
                total += np.where(self._kept(weight) == _MOVED, weight.cycles, 0)
        for of_member, _, _, cycles in self.caches:
            total += cycles if of_member == member else 0
        return np.ceil(total).astype(np.int64)

    @cached_property
    def cycles(self) -> NDArray[np.int64]:
        """Cycles of all kernels, and of what is brought for them, [ways]."""
        found: NDArray[np.int64] = super().cycles.copy()
        for member in range(len(self.kernels)):
            found += self.added(member)
        return found if self.barred is None else np.where(self.barred, found + _NEVER, found)

    @cached_property
    def resident(self) -> NDArray[np.float64]:
        """Bytes on the fullest core that stay there beside what the decoder keeps, [ways]."""
        states = [table.splits.costs.states[self.option[:, at]] for at, table in enumerate(self.tables)]
        total: NDArray[np.float64] = self._bytes(_COPIED) + np.sum(states, axis=0)
        return total

    @cached_property
    def brought(self) -> NDArray[np.float64]:
        """Bytes on the fullest core of weights that are there for this turn only, [ways]."""
        return self._bytes(_MOVED)

    @cached_property
    def working(self) -> NDArray[np.float64]:
        """Bytes on the fullest core that the turn works with, [ways]."""
        costs = [table.splits.costs for table in self.tables]
        each = [(cost.activations + cost.buffers)[self.option[:, at]] for at, cost in enumerate(costs)]
        total: NDArray[np.float64] = np.sum(each, axis=0) + self.brought
        return total

    def without(self, ways: NDArray[np.bool_]) -> SharedTurn:
        """The same turn, some of whose ways are never taken."""
        return replace(self, barred=ways, signature=(self.signature, ways.tobytes())) if ways.any() else self

    def _bytes(self, kept: int) -> NDArray[np.float64]:
        total = np.zeros(len(self.option))
        for weight in self.weights:
            total += np.where(self._kept(weight) == kept, weight.bytes, 0)
        return total

    def _kept(self, weight: _Weight) -> NDArray[np.int64]:
        """How a weight is kept, [ways]."""
        if weight.held is None:
            return np.full(len(self.option), _COPIED)
        copied = np.logical_and(self.copied, weight.vector)
        return np.where(weight.cycles == 0, _IN_PLACE, np.where(copied, _COPIED, _MOVED))

    def shared_weights(self, way: int, names: Sequence[str]) -> Iterator[SharedWeight]:
        """The records of one way; `names` are those of the kernels."""
        for weight in self.weights:
            if weight.held is None:
                continue
            kept = _KEPT[int(self._kept(weight)[way])]
            nest = self.tables[weight.member].splits.nest
            tensor = next(item.tensor for item in nest.inputs if item.role == weight.role)
            yield SharedWeight(
                kernel=names[weight.member],
                role=weight.role,
                tensor=tensor,
                decoder_tensor=weight.held.tensor,
                holder=weight.held.kernel,
                kept=kept,
                bytes=math.ceil(weight.bytes[way]),
                cycles=math.ceil(weight.cycles[way]) if kept == "moved" else 0,
            )

    def shared_caches(self, way: int, names: Sequence[str]) -> Iterator[SharedCache]:
        """The records of one way."""
        for member, output, state, cycles in self.caches:
            yield SharedCache(names[member], output, state.tensor, math.ceil(cycles[way]))


def wafers_of_turns(turns: Sequence[Turn], residents: Residents) -> list[int]:
    """The wafer of each turn: in order, none without a turn, and the fewest bytes away from where the decoder has them.

    Raises:
        WsecError: WSEC367 there are fewer turns than wafers.
    """
    count = len(residents.resident_bytes)
    if len(turns) < count:
        raise WsecError(
            "WSEC367",
            "there are more wafers than turns",
            expected=f"at most {len(turns)} wafers, one turn of the prefill on each",
            found=f"{count} wafers of the decoder",
            hint="compile the decoder for fewer wafers, or the two models apart",
        )
    away = np.zeros((len(turns), count))
    for at, turn in enumerate(turns):
        for table in turn.tables:
            for size, wafers in _found_on(table.splits.nest, residents):
                away[at] += [0 if wafer in wafers else size for wafer in range(count)]
    least = np.full((len(turns) + 1, count), np.inf)
    least[len(turns), count - 1] = 0
    for at in range(len(turns) - 1, -1, -1):
        stay, go = least[at + 1], np.append(least[at + 1][1:], np.inf)
        least[at] = away[at] + np.minimum(stay, go)
    found = [0]
    for at in range(1, len(turns)):
        before = found[-1]
        further = before + 1 < count and least[at, before + 1] < least[at, before]
        found.append(before + further)
    return found


def _found_on(nest: LoopNest, residents: Residents) -> Iterator[tuple[float, set[int]]]:
    """Bytes of what a kernel shares, and the wafers on which the decoder has it."""
    for item in nest.inputs:
        if item.constant and item.tensor in residents.weights:
            yield _size(item), {held.wafer for held in residents.weights[item.tensor]}
    for item in nest.outputs:
        if item.tensor in residents.caches:
            yield _size(item), {residents.caches[item.tensor].wafer}


def _size(item: Operand) -> float:
    return item.item_bytes * math.prod(dimension.extent for dimension in item.maps)


def without_links_to_host(graph: KernelGraph, tensors: set[str]) -> KernelGraph:
    """The same graph, but nothing takes these tensors to the host."""
    kept = [link for link in graph.links if link.target != HOST_INDEX or link.tensor not in tensors]
    return replace(graph, links=tuple(kept))


def shared_turns(
    turns: Sequence[Turn], wafers: Sequence[int], residents: Residents, target: Target, algorithm: str
) -> list[SharedTurn]:
    """The turns with all that the decoder's weights and caches mean for their ways; equal ones share tables."""
    known: dict[object, SharedTurn] = {}
    found = []
    for turn, wafer in zip(turns, wafers, strict=True):
        signature = turn.signature, _key(turn, wafer, residents)
        if signature not in known:
            known[signature] = _shared(turn, wafer, residents, (target, algorithm), signature)
        found.append(_named(known[signature], turn, wafer, residents))
    return found


def _key(turn: Turn, wafer: int, residents: Residents) -> object:
    """Where what the turn shares lies on its wafer."""
    found: list[object] = []
    for table in turn.tables:
        nest = table.splits.nest
        found += [tuple(held.laid for held in _held(item, wafer, residents)) for item in nest.inputs]
        states = [_state(item, wafer, residents) for item in nest.outputs]
        found += [None if state is None else state.laid for state in states]
    return tuple(found)


def _held(item: Operand, wafer: int, residents: Residents) -> list[Held]:
    if not item.constant:
        return []
    return [held for held in residents.weights.get(item.tensor, ()) if held.wafer == wafer]


def _state(item: Operand, wafer: int, residents: Residents) -> Held | None:
    held = residents.caches.get(item.tensor)
    return held if held is not None and held.wafer == wafer else None


def _shared(
    turn: Turn, wafer: int, residents: Residents, machine: tuple[Target, str], signature: object
) -> SharedTurn:
    turn = _with_ways_in_place(turn, wafer, residents, machine)
    target = machine[0]
    weights: list[_Weight] = []
    caches = []
    for member, table in enumerate(turn.tables):
        weights += [
            _weight(turn, member, item, _held(item, wafer, residents), target)
            for item in table.splits.nest.inputs
            if item.constant
        ]
        for item in table.splits.nest.outputs:
            state = _state(item, wafer, residents)
            if state is not None:
                laid = [turn.laid(member, way, item, output=True) for way in range(len(turn.option))]
                words = -(-math.ceil(_size(item)) // target.fabric.word_bytes)
                cycles = resharding_table(laid, [state.laid], words, target)[:, 0]
                caches.append((member, item.tensor, state, cycles))
    once = np.zeros(len(turn.option), dtype=np.bool_)
    away = np.zeros(len(turn.option), dtype=np.bool_)
    for weight in weights:
        away |= weight.held is not None and weight.vector and (weight.cycles > 0)
    ways = np.concatenate([np.arange(len(once)), np.flatnonzero(away)])
    copied = np.concatenate([~away, np.ones(int(away.sum()), dtype=np.bool_)])
    return SharedTurn(
        turn.kernels,
        turn.tables,
        turn.option[ways],
        turn.x[ways],
        turn.y[ways],
        signature,
        tuple(replace(weight, bytes=weight.bytes[ways], cycles=weight.cycles[ways]) for weight in weights),
        tuple((member, tensor, state, cycles[ways]) for member, tensor, state, cycles in caches),
        copied,
    )


def _weight(turn: Turn, member: int, item: Operand, held: Sequence[Held], target: Target) -> _Weight:
    """A weight in every way, brought from the nearest kernel of the decoder that holds it."""
    laid = [turn.laid(member, way, item, output=False) for way in range(len(turn.option))]
    size = np.array(
        [math.ceil(each.sharding.block_elements * item.item_bytes) for each in laid], dtype=np.float64
    )
    words = -(-math.ceil(_size(item)) // target.fabric.word_bytes)
    views: dict[tuple[int, ...], list[int]] = {}  # ways in which it is seen alike
    for way, one in enumerate(laid):
        views.setdefault(one.sharding.shape, []).append(way)
    best, cycles = None, np.full(len(laid), np.inf)
    for each in held:
        extents = tuple(dimension.extent for dimension in item.maps)
        if common_view(each.laid.sharding.shape, extents) is None:
            continue  # no view shows blocks of both
        found = np.zeros(len(laid))
        for ways in views.values():
            found[ways] = resharding_table([each.laid], [laid[way] for way in ways], words, target)[0]
        if best is None or found.min() < cycles.min():
            best, cycles = each, found
    vector = len(_longer_than_one([dimension.extent for dimension in item.maps])) <= 1
    return _Weight(member, item.role, best, vector, size, cycles)


def _longer_than_one(shape: Sequence[int]) -> list[int]:
    return [extent for extent in shape if extent > 1]


def _named(shared: SharedTurn, turn: Turn, wafer: int, residents: Residents) -> SharedTurn:
    """The same for another turn that is equal but for names."""
    if shared.kernels == turn.kernels:
        return shared
    nests = [table.splits.nest for table in turn.tables]
    tables = tuple(
        replace(table, splits=replace(table.splits, nest=nest))
        for table, nest in zip(shared.tables, nests, strict=True)
    )
    weights = []
    for weight in shared.weights:
        item = next(item for item in nests[weight.member].inputs if item.role == weight.role)
        same = [
            held
            for held in _held(item, wafer, residents)
            if weight.held is not None and held.laid == weight.held.laid
        ]
        weights.append(replace(weight, held=same[0] if same else None))
    caches = []
    for member, tensor, _, cycles in shared.caches:
        position = [item.tensor for item in shared.tables[member].splits.nest.outputs].index(tensor)
        item = nests[member].outputs[position]
        state = _state(item, wafer, residents)
        assert state is not None  # noqa: S101 - the signature says where it lies
        caches.append((member, item.tensor, state, cycles))
    return replace(shared, kernels=turn.kernels, tables=tables, weights=tuple(weights), caches=tuple(caches))


def _with_ways_in_place(turn: Turn, wafer: int, residents: Residents, machine: tuple[Target, str]) -> Turn:
    """The turn with ways, beside its own, in which its largest weight is cut as the decoder has it."""
    if len(turn.kernels) > 1 or turn.tables[0].splits.nest.kind == "unsplit":
        return turn
    table, nest = turn.tables[0], turn.tables[0].splits.nest
    rotated = table.splits.rotated
    if rotated is not None and (rotated >= 0).all():  # its operands shall shift
        return turn
    shared = [(item, held) for item in nest.inputs for held in _held(item, wafer, residents)]
    if not shared:
        return turn
    largest = max(_size(item) for item, _ in shared)
    tables, places = [table], [(turn.x[:, 0], turn.y[:, 0])]
    for item, held in shared:
        for share in _SHARES_OF_ROOM if _size(item) == largest else ():
            left = _with_room_left(machine[0], residents.resident_bytes[wafer], share, (item, held))
            found = _cut_alike(nest, item, held, (left, machine[1]))
            if found is None or any(
                np.array_equal(found.splits.turns, each.splits.turns) for each in tables[1:]
            ):
                continue  # as with more room
            tables.append(found)
            ones = np.ones(len(found.cycles), dtype=np.int64)
            places.append((ones * held.laid.rectangle.x, ones * held.laid.rectangle.y))
    every = joined(tables)
    x, y = (np.concatenate([place[side] for place in places])[:, None] for side in (0, 1))
    return replace(turn, tables=(every,), option=np.arange(len(every.cycles))[:, None], x=x, y=y)


def _with_room_left(target: Target, resident: int, share: float, weight: tuple[Operand, Held]) -> Target:
    """The target with a share of the memory that the decoder leaves, and that of the weight itself, which it has."""
    item, held = weight
    block = math.ceil(held.laid.sharding.block_elements * item.item_bytes)
    left = math.floor((target.core.data_bytes - resident) * share)
    core = replace(target.core, sram_bytes=left + block + target.core.code_reserve_bytes)
    return replace(target, core=core)


def _cut_alike(nest: LoopNest, item: Operand, held: Held, machine: tuple[Target, str]) -> TurnTable | None:
    """The ways in which the loops of a weight are cut as the decoder has it, other loops along the lines where it is repeated."""
    target, algorithm = machine
    cuts = _cuts(nest, item, held)
    if cuts is None:
        return None
    mesh, place = held.laid.mesh, held.laid.rectangle
    used = {
        side: math.prod(count for count, on in cuts.values() if on == side) for side in ("rows", "columns")
    }
    lines = {"rows": mesh.height // used["rows"], "columns": mesh.width // used["columns"]}
    free = [
        at
        for at, loop in enumerate(nest.loops)
        if loop.name not in cuts and loop.cuttable and loop.role is LoopRole.PARALLEL and loop.extent > 1
    ]
    found: list[TurnTable] = []
    for on_rows, parts in _arranged(nest, cuts, free, lines).items():
        sides = np.array(on_rows)
        try:
            some, turns, costs = fitting_splits(nest, np.array(parts, dtype=np.float64), target)
        except WsecError as error:
            if error.exit_status is not ExitStatus.DOES_NOT_FIT:
                raise
            continue
        ways = some, turns, np.broadcast_to(sides, (len(some), len(sides)))
        table = priced(nest, ways, costs, target, algorithm)
        inside = (place.x + table.shapes.widths <= target.grid.width) & (
            place.y + table.shapes.heights <= target.grid.height
        )
        table = select_splits(table, np.flatnonzero(inside))
        found.append(TurnTable(table, np.ones((len(table.turns), 2), dtype=np.int64)))
    return joined(found) if found else None


def _cuts(nest: LoopNest, item: Operand, held: Held) -> dict[str, tuple[int, str]] | None:
    """Parts and side of the loops that a weight follows, as the decoder has it; None where no cut of loops is like it."""
    dimensions = held.laid.sharding.dimensions
    if tuple(each.extent for each in dimensions) != tuple(each.extent for each in item.maps):
        return None
    axes = {axis.name: axis for axis in held.laid.mesh.axes}
    cuts: dict[str, tuple[int, str]] = {}
    for dimension, follows in zip(dimensions, item.maps, strict=True):
        cutting = [axes[name] for name in dimension.axes if name in axes and axes[name].size > 1]
        sides = {axis.side for axis in cutting}
        if len(sides) > 1 or (cutting and not follows.loop):
            return None
        if follows.loop and not nest.loops[nest.position(follows.loop)].cuttable and cutting:
            return None
        if follows.loop:
            cuts[follows.loop] = math.prod(axis.size for axis in cutting), sides.pop() if sides else "rows"
    return cuts


def _arranged(
    nest: LoopNest, cuts: dict[str, tuple[int, str]], free: Sequence[int], lines: dict[str, int]
) -> dict[tuple[bool, ...], list[list[int]]]:
    """Parts of all loops by the sides that they lie on; one loop that the weight does not follow on each side at most."""
    found: dict[tuple[bool, ...], list[list[int]]] = {}
    for rows, columns in product([None, *free], repeat=2):
        if rows is not None and rows == columns:
            continue
        choices = (_counts(nest, rows, lines["rows"]), _counts(nest, columns, lines["columns"]))
        for high, wide in product(*choices):
            parts = [cuts.get(loop.name, (1, ""))[0] for loop in nest.loops]
            on_rows = [cuts.get(loop.name, (1, "rows"))[1] == "rows" for loop in nest.loops]
            for at, count, side in ((rows, high, True), (columns, wide, False)):
                if at is not None:
                    parts[at], on_rows[at] = count, side
            ways = found.setdefault(tuple(on_rows), [])
            if parts not in ways:
                ways.append(parts)
    return found


def _counts(nest: LoopNest, loop: int | None, lines: int) -> list[int]:
    """Parts of a loop, the most first, that lie on so many lines."""
    if loop is None:
        return [1]
    useful = loop_parts(nest.loops[loop].extent)
    useful = useful[(useful > 1) & (useful <= lines)]
    return [int(count) for count in useful[::-1][:_PARTS_OF_FREE_LOOPS]]
