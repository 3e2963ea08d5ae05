"""Who computes what, and who brings it: every node once, every activation over one link, every output to the host."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from wsec.compiler.plan import HOST
from wsec.compiler.plan_checker.findings import DATAFLOW, Finding, count
from wsec.compiler.plan_checker.host_operators import check_host_operators
from wsec.compiler.plan_checker.wafers import from_elsewhere

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wsec.compiler.plan import Kernel, KernelInput, Link, Plan
    from wsec.compiler.plan_checker.model_facts import ModelFacts


def check_dataflow(plan: Plan, model: ModelFacts | None) -> list[Finding]:
    """Findings on names, nodes and the ends of links."""
    findings = [
        *_repeated("kernel", [kernel.name for kernel in plan.kernels()]),
        *_repeated("link", [link.name for link in plan.links()]),
        *_repeated("tensor", _computed_tensors(plan)),
    ]
    if model is not None:
        findings += _check_nodes(plan, model)
    producers = _producers(plan)
    findings += _check_ends(plan)
    arriving: dict[tuple[str, str], list[Link]] = {}
    for link in plan.links():
        arriving.setdefault((link.target, link.role), []).append(link)
    for kernel in plan.kernels():
        for entry in kernel.inputs:
            findings += _check_delivery(kernel, entry, arriving.get((kernel.name, entry.role), []), producers)
    findings += check_host_operators(plan, model)
    findings += _check_outputs(plan, producers)
    if _has_circle(plan):
        rule = "a kernel does not wait for itself"
        findings.append(Finding(DATAFLOW, rule, "links", "no circle", "a circle of links"))
    return findings


def _computed_tensors(plan: Plan) -> list[str]:
    """What kernels and host operators give."""
    on_wafer = [output.tensor for kernel in plan.kernels() for output in kernel.outputs]
    return on_wafer + [value.name for item in plan.host_operators for value in item.outputs]


def _has_circle(plan: Plan) -> bool:
    """Whether some kernel or host operator never has all that it waits for."""
    given = {value.name: f"{HOST}: {item.name}" for item in plan.host_operators for value in item.outputs}
    edges = [
        (given.get(link.tensor, "") if link.source == HOST else link.source, link.target)
        for link in plan.links()
        if link.target != HOST
    ]
    sent = {link.tensor: link.source for link in plan.links() if link.target == HOST}
    for item in plan.host_operators:
        edges += [(sent.get(name, given.get(name, "")), f"{HOST}: {item.name}") for name in item.inputs]
    waiting = Counter[str]()
    after: dict[str, list[str]] = {kernel.name: [] for kernel in plan.kernels()}
    after |= {f"{HOST}: {item.name}": [] for item in plan.host_operators}
    for source, target in edges:
        if source in after and target in after:
            after[source].append(target)
            waiting[target] += 1
    ready = [name for name in after if not waiting[name]]
    started = 0
    while ready:
        started += 1
        for target in after[ready.pop()]:
            waiting[target] -= 1
            if not waiting[target]:
                ready.append(target)
    return started < len(after)


def _repeated(what: str, names: list[str]) -> Iterator[Finding]:
    for name, times in Counter(names).items():
        if times > 1:
            rule = f"a {what} is there once"
            yield Finding(DATAFLOW, rule, f"{what} {name}", "one", str(times))


def _check_nodes(plan: Plan, model: ModelFacts) -> Iterator[Finding]:
    computed = Counter([name for kernel in plan.kernels() for name in kernel.operators])
    computed.update(item.name for item in plan.host_operators)
    for operator in model.operators:
        times = computed.pop(operator.name, 0)
        if times != 1:
            rule = "each node of the lowered model is computed once"
            where = f"node {operator.name} ({operator.op_type})"
            yield Finding(DATAFLOW, rule, where, "one kernel, or the host", f"{times} of them")
    for name in computed:
        rule = "operators are nodes of the lowered model"
        yield Finding(DATAFLOW, rule, f"operator {name}", "a node of that name", "nothing")


def _producers(plan: Plan) -> dict[str, str]:
    """Who gives each tensor that is not a weight: a kernel, or the host."""
    producers = {value.name: HOST for value in plan.inputs}
    for item in plan.host_operators:
        producers.update(dict.fromkeys((value.name for value in item.outputs), HOST))
    for kernel in plan.kernels():
        producers.update({output.tensor: kernel.name for output in kernel.outputs})
    return producers


def _check_ends(plan: Plan) -> Iterator[Finding]:
    roles = {kernel.name: {entry.role for entry in kernel.inputs} for kernel in plan.kernels()}
    roles[HOST] = {""}
    for link in plan.links():
        where = f"link {link.name}"
        if link.source not in roles:
            rule = "a link comes from a kernel or the host"
            yield Finding(DATAFLOW, rule, where, "a kernel of the plan", link.source)
        if link.role not in roles.get(link.target, ()):
            rule = "a link goes to an input of a kernel, or to the host"
            found = f"role {link.role!r} of {link.target}"
            yield Finding(DATAFLOW, rule, where, "a kernel of the plan and one of its roles", found)


def _check_delivery(
    kernel: Kernel, entry: KernelInput, links: list[Link], producers: dict[str, str]
) -> Iterator[Finding]:
    where = f"kernel {kernel.name}, input {entry.role}"
    wanted = 0 if entry.resident else 1
    if len(links) != wanted:
        rule = "a weight is loaded, a state stays, an activation comes over one link"
        yield Finding(DATAFLOW, rule, where, count(wanted, "link"), count(len(links), "link"))
    for link in links:
        place = f"link {link.name}"
        if link.tensor != entry.tensor:
            rule = "a link brings the tensor that its input reads"
            yield Finding(DATAFLOW, rule, place, entry.tensor, link.tensor)
        yield from _check_source(link, producers, place)


def _check_source(link: Link, producers: dict[str, str], where: str) -> Iterator[Finding]:
    source = producers.get(link.tensor)
    if source != link.source:
        rule = "a link begins where its tensor is produced"
        yield Finding(
            DATAFLOW, rule, where, source or "a tensor that is produced", f"{link.tensor} from {link.source}"
        )


def _check_outputs(plan: Plan, producers: dict[str, str]) -> Iterator[Finding]:
    links = [link for link in plan.links() if link.target == HOST]
    to_host = Counter(link.tensor for link in links)
    updates = {state.output for state in plan.states}
    if plan.shared is not None:
        updates.update(cache.output for cache in plan.shared.caches)
    for value in plan.outputs:
        wanted = int(producers.get(value.name, HOST) != HOST and value.name not in updates)
        if to_host[value.name] != wanted:
            rule = "each output of the model that a kernel gives goes to the host once"
            yield Finding(
                DATAFLOW,
                rule,
                f"output {value.name}",
                count(wanted, "link"),
                count(to_host[value.name], "link"),
            )
    read = {value.name for value in plan.outputs} - updates
    read.update(name for item in plan.host_operators for name in item.inputs)
    read |= from_elsewhere(plan)
    for link in links:
        if link.tensor not in read:
            rule = "the host is given what it asks for"
            yield Finding(
                DATAFLOW,
                rule,
                f"link {link.name}",
                "an output of the model, or what a host operator or another wafer or phase reads",
                link.tensor,
            )
        yield from _check_source(link, producers, f"link {link.name}")
