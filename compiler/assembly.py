"""From what the stages decided to the records of the plan."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from wsec.compiler.cost.collective_uses import collective_cycles
from wsec.compiler.fabric.collective_choice import choose_collectives, chosen_cycles
from wsec.compiler.fabric.holdings import held_words
from wsec.compiler.kernels.graph import HOST_INDEX, slots_of
from wsec.compiler.kernels.splits import (
    cycles_of,
    ledger_of,
    mesh_of,
    rotation_of,
    sharding_of,
    split_of,
    turns_of,
)
from wsec.compiler.plan import HOST, Kernel, KernelInput, KernelOutput, Link, Rectangle
from wsec.compiler.routing import RoutingLink
from wsec.compiler.sharding import Sharding, whole

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from wsec.compiler.kernels.graph import GraphLink, KernelGraph
    from wsec.compiler.kernels.splits import SplitTable
    from wsec.compiler.placement.problem import Placement
    from wsec.compiler.plan import Collective, Cycles
    from wsec.compiler.routing import RoutedLink
    from wsec.compiler.sharding import Mesh
    from wsec.compiler.target import Target


def assemble_kernels(
    tables: Sequence[SplitTable], placement: Placement, target: Target
) -> tuple[Kernel, ...]:
    """The record of each kernel at the option and position that placement chose."""
    return tuple(
        kernel_record(table, option, x, y, target)
        for table, option, x, y in zip(tables, placement.option, placement.x, placement.y, strict=True)
    )


def kernel_record(table: SplitTable, option: int, x: int, y: int, target: Target) -> Kernel:
    """The record of a kernel in one way of its table, with its first core at (x, y)."""
    nest = table.nest
    mesh = mesh_of(table, option)
    split, turns = split_of(table, option), int(table.turns[option])
    rotation = rotation_of(table, option)
    collectives = () if rotation else choose_collectives(nest, split, turns, mesh, target.fabric)
    return Kernel(
        name=nest.name,
        kind=nest.kind,
        operators=nest.operators,
        arguments=nest.arguments,
        split=split,
        turns=turns_of(table, option),
        rectangle=Rectangle(x, y, mesh.width, mesh.height),
        mesh=mesh,
        inputs=tuple(
            KernelInput(
                role=operand.role,
                tensor=operand.tensor,
                dtype=operand.dtype,
                constant=operand.constant,
                sharding=sharding_of(table, option, operand, output=False),
                slots=operand.slots,
                state=operand.state,
            )
            for operand in nest.inputs
        ),
        outputs=tuple(
            KernelOutput(
                tensor=operand.tensor,
                dtype=operand.dtype,
                sharding=sharding_of(table, option, operand, output=True),
                slots=1 if operand.state else nest.output_slots,
                state=operand.state,
            )
            for operand in nest.outputs
        ),
        chain=nest.chain,
        memory=ledger_of(table, option, target),
        cycles=cycles_of(table, option)
        if rotation
        else _with_collectives(table, option, collectives, mesh, target),
        body=nest.body,
        collectives=collectives,
        rotation=rotation,
    )


def _with_collectives(
    table: SplitTable, option: int, collectives: Sequence[Collective], mesh: Mesh, target: Target
) -> Cycles:
    """The cycles of the split, with the collectives that were chosen for its mesh where they take longer than it expected."""
    cycles, parts = cycles_of(table, option), table.parts[option : option + 1].astype(float)
    turns = table.turns[option : option + 1]
    expected = int(collective_cycles(table.nest, parts, turns, target.fabric, table.on_rows[option])[0])
    chosen = chosen_cycles(collectives, mesh, target.fabric)
    return replace(cycles, communication=cycles.communication + max(0, chosen - expected))


def routing_links(
    graph: KernelGraph,
    kernels: Sequence[Kernel],
    word_bytes: int,
    *,
    inside: bool = True,
    ordered: Sequence[bool] = (),
) -> list[RoutingLink]:
    """What routing has to join: rectangles, words of a sample, and where the producer holds them, if that is followed.

    Args:
        graph: The kernels and links.
        kernels: Their records.
        word_bytes: Of the fabric.
        inside: Whether words are followed inside kernels.
        ordered: Of each link, whether rows follow the same order at both ends; empty: of none.
    """
    return [
        RoutingLink(
            name=_link_name(link, kernels),
            source=None if link.source == HOST_INDEX else kernels[link.source].rectangle,
            target=None if link.target == HOST_INDEX else kernels[link.target].rectangle,
            words=link.words,
            held=_held(link, kernels[link.source], word_bytes)
            if inside and link.source != HOST_INDEX
            else None,
            inside=inside,
            ordered=keeps,
        )
        for link, keeps in zip(graph.links, ordered or (False,) * len(graph.links), strict=True)
    ]


def _held(link: GraphLink, producer: Kernel, word_bytes: int) -> NDArray[np.int64]:
    output = next(item for item in producer.outputs if item.tensor == link.tensor)
    return held_words(output, producer.mesh, word_bytes)


def assemble_links(
    graph: KernelGraph, kernels: Sequence[Kernel], routed: Sequence[RoutedLink]
) -> tuple[Link, ...]:
    """The record of each link: it brings exactly what the consumer's sharding asks for."""
    return tuple(
        Link(
            name=_link_name(link, kernels),
            tensor=link.tensor,
            source=HOST if link.source == HOST_INDEX else kernels[link.source].name,
            target=HOST if link.target == HOST_INDEX else kernels[link.target].name,
            role=link.role,
            sharding=_delivered(link, kernels),
            words=link.words,
            slots=slots_of(link, graph.stages, graph.samples),
            routes=routes.routes,
            cycles=routes.cycles,
            interval=routes.interval,
        )
        for link, routes in zip(graph.links, routed, strict=True)
    )


def _link_name(link: GraphLink, kernels: Sequence[Kernel]) -> str:
    source = HOST if link.source == HOST_INDEX else kernels[link.source].name
    if link.target == HOST_INDEX:
        return f"{link.tensor}: {source} -> {HOST}"
    return f"{link.tensor}: {source} -> {kernels[link.target].name}.{link.role}"


def _delivered(link: GraphLink, kernels: Sequence[Kernel]) -> Sharding:
    """Towards a kernel, what it needs; towards the host, the tensor whole."""
    if link.target != HOST_INDEX:
        return next(item.sharding for item in kernels[link.target].inputs if item.role == link.role)
    output = next(item for item in kernels[link.source].outputs if item.tensor == link.tensor)
    return Sharding(tuple(whole(extent) for extent in output.sharding.shape))
