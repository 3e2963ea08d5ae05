"""All that the page shows, as plain values: lists by column for what there may be thousands of."""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any

from wsec.compiler.plan import HOST, MemoryLedger
from wsec.runtime.fullest_core import resident_core
from wsec.runtime.report.fabric_maps import colours_of, fabric_map, followed_traffic, tile_side, traffic_of
from wsec.runtime.report.figures import key_figures
from wsec.runtime.report.lanes import middle_path
from wsec.runtime.report.limits import limits_of, room_of
from wsec.runtime.report.timeline import places_of, timeline_of
from wsec.runtime.report.work import roofline_point

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from wsec.compiler.plan import Kernel, Link, Plan
    from wsec.compiler.target import Target
    from wsec.runtime.estimate import Estimate
    from wsec.runtime.report.timeline import Place, Timeline

LEDGER = tuple(field.name for field in fields(MemoryLedger))
"""The entries of the memory ledger, in the order in which they are stacked."""


def contents_of(plan: Plan, estimate: Estimate) -> dict[str, Any]:
    """The plan as the page's script reads it. Linear in kernels, links and the cores of a region for each phase."""
    places = places_of(plan, estimate)
    timeline = timeline_of(plan, estimate)
    return {
        "model": plan.model,
        "target": plan.target.name,
        "columns": plan.region_width,
        "rows": plan.region_height,
        "sram_bytes": plan.target.core.sram_bytes,
        "code_reserve_bytes": plan.target.core.code_reserve_bytes,
        "link_words_per_cycle": plan.target.fabric.link_words_per_cycle,
        "colours": plan.target.fabric.colours,
        "clock_hz": plan.target.clock_hz,
        "fabric": plan.fabric,
        "interval": estimate.interval_cycles,
        "facts": [[each.label, each.text, each.more] for each in key_figures(estimate)],
        "parts": list(_parts(places, plan, estimate)),
        "ledger": LEDGER,
        "residents": [
            {"wafer": number, **asdict(resident_core(wafer, plan))}
            for number, wafer in enumerate(plan.wafers)
            if wafer.mode == "sequential"
        ],
        "kernels": _kernels(places, plan.target, estimate, timeline),
        "links": _links(places),
        "stages": [asdict(stage) for stage in timeline.stages],
        "room": room_of(plan, estimate),
        "limits": [asdict(limit) for limit in limits_of(plan, estimate)],
        "host_operators": [
            {"name": item.name, "operator": item.operator, "reason": item.reason}
            for item in plan.host_operators
        ],
        "alternatives": [asdict(each) for each in plan.alternatives],
        "notes": list(plan.notes),
        "versions": plan.versions,
    }


def _parts(places: Sequence[Place], plan: Plan, estimate: Estimate) -> Iterator[dict[str, Any]]:
    """What is on a wafer at once: a phase, with the pictures of its fabric."""
    side = tile_side(plan)
    for place in places:
        wafer, phase = plan.wafers[place.wafer], place.phase
        cost = place.turn or estimate.wafers[place.wafer]
        followed = followed_traffic(phase, plan)
        placed = (phase.summary.placement if phase.summary else wafer.placement) or plan.placement
        yield {
            "wafer": place.wafer,
            "phase": place.number,
            "mode": wafer.mode,
            "takes_turns": place.turn is not None,
            "interval": cost.interval_cycles,
            "placed": placed.interval,
            "bound": placed.interval_bound,
            "cores": cost.cores_used,
            "tile": side,
            "followed": followed is not None,
            "traffic": asdict(fabric_map(traffic_of(phase, plan, followed), side)),
            "colours": asdict(fabric_map(colours_of(phase, plan), side)),
        }


def _kernels(
    places: Sequence[Place], target: Target, estimate: Estimate, timeline: Timeline
) -> dict[str, list[Any]]:
    """One list for each column, in the order of the plan."""
    placed = [(place.wafer, place.number, kernel) for place in places for kernel in place.phase.kernels]
    kernels = [kernel for _, _, kernel in placed]
    points = [roofline_point(kernel, target) for kernel in kernels]
    return {
        "name": [kernel.name for kernel in kernels],
        "kind": [kernel.kind for kernel in kernels],
        "operators": [kernel.operators for kernel in kernels],
        "wafer": [wafer for wafer, _, _ in placed],
        "phase": [phase for _, phase, _ in placed],
        "x": [kernel.rectangle.x for kernel in kernels],
        "y": [kernel.rectangle.y for kernel in kernels],
        "width": [kernel.rectangle.width for kernel in kernels],
        "height": [kernel.rectangle.height for kernel in kernels],
        "split": [_split(kernel) for kernel in kernels],
        **{entry: [getattr(kernel.memory, entry) for kernel in kernels] for entry in LEDGER},
        "compute": [kernel.cycles.compute for kernel in kernels],
        "memory": [kernel.cycles.memory for kernel in kernels],
        "communication": [kernel.cycles.communication for kernel in kernels],
        "transfer": [kernel.cycles.transfer for kernel in kernels],
        "total": [kernel.cycles.total for kernel in kernels],
        "bound": [each.bound_by for each in estimate.kernels],
        "start": list(timeline.starts),
        "end": list(timeline.ends),
        "operations": [point.operations for point in points],
        "intensity": [round(point.intensity, 4) for point in points],
        "performance": [round(point.performance, 4) for point in points],
        "roof": [point.roof for point in points],
    }


def _split(kernel: Kernel) -> str:
    parts = " ".join(f"{loop}={parts}" for loop, parts in kernel.split.items() if parts > 1)
    turns = " ".join(f"{loop}/{turns}" for loop, turns in kernel.turns.items() if turns > 1)
    return " ".join(filter(None, (parts, turns and f"turns {turns}"))) or "-"


def _links(places: Sequence[Place]) -> dict[str, list[Any]]:
    """One list for each column; ends are numbers of kernels, -1 for the host."""
    kernels = (kernel for place in places for kernel in place.phase.kernels)
    numbers = {kernel.name: number for number, kernel in enumerate(kernels)}
    placed = [(place.wafer, place.number, link) for place in places for link in place.phase.links]
    links = [link for _, _, link in placed]
    return {
        "tensor": [link.tensor for link in links],
        "source": [_end(link.source, numbers) for link in links],
        "target": [_end(link.target, numbers) for link in links],
        "wafer": [wafer for wafer, _, _ in placed],
        "phase": [phase for _, phase, _ in placed],
        "words": [link.words for link in links],
        "cycles": [link.cycles for link in links],
        "interval": [link.interval for link in links],
        "lanes": [sum(route.lanes for route in link.routes) for link in links],
        "paths": [_paths(link) for link in links],
    }


def _end(name: str, numbers: dict[str, int]) -> int:
    return -1 if name == HOST else numbers.get(name, -1)


def _paths(link: Link) -> list[list[int]]:
    """Of each route its colour, and the corners of the lane in its middle."""
    return [[route.colour, *middle_path(route)] for route in link.routes]
