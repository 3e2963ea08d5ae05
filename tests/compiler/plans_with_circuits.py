"""The legal plan with circuits, as the compiler makes them of fans and trees, and deliveries by hand: whole rows and columns."""

from __future__ import annotations

from dataclasses import replace

from legal_plans import network_plan

from wsec.compiler.fabric.circuits import phase_circuits
from wsec.compiler.fabric.holdings import held_words
from wsec.compiler.fabric.link_fans import LinkFans, link_fans
from wsec.compiler.plan import Collective, Exchange, Kernel, Link, Phase, Plan, Wafer

INTERVAL = 5000
"""Cycles that leave time for anything that the plan moves."""


def plan_with_circuits() -> Plan:
    """The legal plan: each link on a colour of its own, all words exchanged, and one reduction in each of two kernels."""
    plan = network_plan()
    (phase,) = plan.wafers[0].phases
    kernels = tuple(_combining(kernel) for kernel in phase.kernels)
    links = tuple(_exchanged(link, number, kernels) for number, link in enumerate(phase.links))
    circuits = phase_circuits(
        kernels, links, [_fans(link, kernels, plan) for link in links], plan.target.fabric
    )
    wafers = (Wafer((Phase(kernels, links, circuits=circuits),)),)
    placement = replace(plan.placement, interval=INTERVAL)
    return replace(plan, wafers=wafers, placement=placement)


def _combining(kernel: Kernel) -> Kernel:
    axis = {"conv": "c", "product": "k"}.get(kernel.name)
    if axis is None:
        return kernel
    words = kernel.outputs[0].sharding.block_elements
    return replace(kernel, collectives=(Collective("reduce", axis, "chain", 0, words),))


def _exchanged(link: Link, number: int, kernels: tuple[Kernel, ...]) -> Link:
    target = next((kernel for kernel in kernels if kernel.name == link.target), None)
    routes = tuple(replace(route, colour=number) for route in link.routes)
    exchanges = (
        ()
        if target is None
        else (Exchange("columns", target.mesh.height), Exchange("rows", target.mesh.width))
    )
    return replace(link, routes=routes, exchanges=exchanges, interval=INTERVAL, cycles=INTERVAL)


def _fans(link: Link, kernels: tuple[Kernel, ...], plan: Plan) -> LinkFans:
    by_name = {kernel.name: kernel for kernel in kernels}
    source, target = by_name.get(link.source), by_name.get(link.target)
    held = None
    if source is not None:
        held = held_words(source.outputs[0], source.mesh, plan.target.fabric.word_bytes)
    return link_fans(
        link.routes,
        None if source is None else source.rectangle,
        None if target is None else target.rectangle,
        held,
    )
