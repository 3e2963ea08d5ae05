"""All that the page shows, as plain values: lists by column for what there may be thousands of."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from wsec.compiler.plan import HOST
from wsec.runtime.report.fabric_maps import colours_of, fabric_map, tile_side, traffic_of
from wsec.runtime.report.lanes import middle_path
from wsec.runtime.report.limits import limits_of, room_of
from wsec.runtime.report.timeline import timeline_of
from wsec.runtime.report.work import roofline_point

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wsec.compiler.plan import Kernel, Link, Plan
    from wsec.runtime.estimate import Estimate


def contents_of(plan: Plan, estimate: Estimate) -> dict[str, Any]:
    """The plan as the page's script reads it. Linear in kernels, links and the cores of a region for each phase."""
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
        "facts": _facts(plan, estimate),
        "parts": list(_parts(plan, estimate)),
        "kernels": _kernels(plan, estimate, timeline.starts, timeline.ends),
        "links": _links(plan),
        "stages": [asdict(stage) for stage in timeline.stages],
        "room": room_of(plan, estimate),
        "limits": [asdict(limit) for limit in limits_of(plan, estimate)],
        "host_operators": [
            {"name": item.name, "operator": item.operator, "reason": item.reason}
            for item in plan.host_operators
        ],
        "notes": list(plan.notes),
        "versions": plan.versions,
    }


def _facts(plan: Plan, estimate: Estimate) -> list[tuple[str, str, str]]:
    """Label, number and explanation of what is said first."""
    used = sum(wafer.cores_used for wafer in estimate.wafers)
    cores = plan.region_width * plan.region_height * max(len(plan.wafers), 1)
    placed = plan.placement
    gap = placed.interval / placed.interval_bound - 1 if placed.interval_bound else 0.0
    sram = plan.target.core.sram_bytes
    kernels, links = len(estimate.kernels), len(estimate.links)
    return [
        ("Interval", f"{estimate.interval_cycles:,} cycles", "between two samples"),
        (
            "Throughput",
            f"{estimate.samples_per_second:,.0f} samples/s",
            f"at {plan.target.clock_hz / 1e9:g} GHz",
        ),
        ("Latency", f"{estimate.latency_cycles:,} cycles", _milliseconds(estimate.latency_seconds)),
        ("Bottleneck", f"{estimate.bottleneck.kind} {estimate.bottleneck.name}", estimate.bottleneck.reason),
        (
            "Placement",
            f"{gap:.1%} above bound",
            f"{placed.interval:,} cycles; no placement of these kernels is below {placed.interval_bound:,}",
        ),
        ("Cores", f"{used / cores:.1%} in kernels", f"{used:,} of {cores:,}"),
        ("Utilisation", f"{estimate.utilisation:.1%}", "of the cycles of all cores do arithmetic"),
        (
            "Memory",
            f"{estimate.fullest_core_bytes / 1024:.1f} of {sram / 1024:.0f} KiB",
            f"on the fullest core, of {estimate.fullest_kernel}",
        ),
        ("Size", f"{kernels:,} kernels", f"{links:,} links, {estimate.split.operators:,} operators"),
    ]


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1e6:,.1f} us" if seconds < 1e-3 else f"{seconds * 1e3:,.2f} ms"


def _parts(plan: Plan, estimate: Estimate) -> Iterator[dict[str, Any]]:
    """What is on a wafer at once: a phase, with the pictures of its fabric."""
    side = tile_side(plan)
    count = 0
    for number, wafer in enumerate(plan.wafers):
        for position, phase in enumerate(wafer.phases):
            cost = estimate.phases[count] if estimate.phases else estimate.wafers[number]
            count += 1
            placed = (phase.summary.placement if phase.summary else wafer.placement) or plan.placement
            yield {
                "wafer": number,
                "phase": position,
                "interval": cost.interval_cycles,
                "placed": placed.interval,
                "bound": placed.interval_bound,
                "cores": cost.cores_used,
                "tile": side,
                "traffic": asdict(fabric_map(traffic_of(phase, plan), side)),
                "colours": asdict(fabric_map(colours_of(phase, plan), side)),
            }


def _kernels(
    plan: Plan, estimate: Estimate, starts: tuple[int, ...], ends: tuple[int, ...]
) -> dict[str, list[Any]]:
    """One list for each column, in the order of the plan."""
    places = [
        (wafer, phase)
        for wafer, each in enumerate(plan.wafers)
        for phase, part in enumerate(each.phases)
        for _ in part.kernels
    ]
    kernels = list(plan.kernels())
    points = [roofline_point(kernel, plan.target) for kernel in kernels]
    return {
        "name": [kernel.name for kernel in kernels],
        "kind": [kernel.kind for kernel in kernels],
        "operators": [kernel.operators for kernel in kernels],
        "wafer": [wafer for wafer, _ in places],
        "phase": [phase for _, phase in places],
        "x": [kernel.rectangle.x for kernel in kernels],
        "y": [kernel.rectangle.y for kernel in kernels],
        "width": [kernel.rectangle.width for kernel in kernels],
        "height": [kernel.rectangle.height for kernel in kernels],
        "split": [_split(kernel) for kernel in kernels],
        "weights": [kernel.memory.weights for kernel in kernels],
        "activations": [kernel.memory.activations for kernel in kernels],
        "buffers": [kernel.memory.buffers for kernel in kernels],
        "code": [kernel.memory.code for kernel in kernels],
        "compute": [kernel.cycles.compute for kernel in kernels],
        "memory": [kernel.cycles.memory for kernel in kernels],
        "communication": [kernel.cycles.communication for kernel in kernels],
        "transfer": [kernel.cycles.transfer for kernel in kernels],
        "total": [kernel.cycles.total for kernel in kernels],
        "bound": [each.bound_by for each in estimate.kernels],
        "start": list(starts),
        "end": list(ends),
        "operations": [point.operations for point in points],
        "intensity": [round(point.intensity, 4) for point in points],
        "performance": [round(point.performance, 4) for point in points],
        "roof": [point.roof for point in points],
    }


def _split(kernel: Kernel) -> str:
    parts = " ".join(f"{loop}={parts}" for loop, parts in kernel.split.items() if parts > 1)
    turns = " ".join(f"{loop}/{turns}" for loop, turns in kernel.turns.items() if turns > 1)
    return " ".join(filter(None, (parts, turns and f"turns {turns}"))) or "-"


def _links(plan: Plan) -> dict[str, list[Any]]:
    """One list for each column; ends are numbers of kernels, -1 for the host."""
    numbers = {kernel.name: number for number, kernel in enumerate(plan.kernels())}
    placed = [
        (wafer, phase, link)
        for wafer, each in enumerate(plan.wafers)
        for phase, part in enumerate(each.phases)
        for link in part.links
    ]
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
