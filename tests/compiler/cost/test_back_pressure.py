"""Back-pressure: the interval is that of an execution in which kernels wait for buffers, and no longer than that."""

from __future__ import annotations

import itertools
from functools import partial

from hypothesis import given, settings
from hypothesis import strategies as st

from wsec.compiler.cost.back_pressure import phase_interval, settled_timing
from wsec.compiler.cost.host_clock import HostClock
from wsec.compiler.cost.pipeline import fixed_interval, timing_of
from wsec.compiler.plan import HOST, Cycles, Kernel, KernelOutput, Link, MemoryLedger, Rectangle
from wsec.compiler.sharding import Mesh, Sharding, whole

CLOCK = partial(HostClock, ())
TENSOR = Sharding((whole(1),))


def kernel(name: str, cycles: int) -> Kernel:
    """A kernel of one core with two buffers for its result."""
    return Kernel(
        name=name,
        kind="elementwise",
        operators=(name,),
        arguments={},
        split={},
        rectangle=Rectangle(0, 0, 1, 1),
        mesh=Mesh(()),
        inputs=(),
        outputs=(KernelOutput(tensor=name, dtype="float32", sharding=TENSOR, slots=2),),
        chain=(),
        memory=MemoryLedger(0, 0, 0, 0),
        cycles=Cycles(cycles, 0, 0),
    )


def link(source: str, target: str, cycles: int, slots: int) -> Link:
    """A link that takes a word each cycle."""
    return Link(
        name=f"{source} -> {target}",
        tensor=source,
        source=source,
        target=target,
        role="x",
        sharding=TENSOR,
        words=1,
        slots=slots,
        routes=(),
        cycles=cycles,
        interval=1,
    )


def chain(length: int, cycles: int) -> tuple[list[Kernel], list[Link]]:
    """Kernels k0, k1 ... one behind the other, the first fed by the host."""
    kernels = [kernel(f"k{index}", cycles) for index in range(length)]
    names = [HOST, *(each.name for each in kernels)]
    return kernels, [link(*ends, cycles=1, slots=2) for ends in itertools.pairwise(names)]


def test_what_the_host_alone_feeds_comes_when_it_is_due() -> None:
    """A mask that a kernel prepares for the end of the pipeline needs two buffers there, not one for each stage."""
    kernels, links = chain(9, cycles=10)
    mask = kernel("mask", 10)
    late = [link(HOST, "mask", 1, 2), link("mask", "k8", 1, 2)]
    assert phase_interval([mask, *kernels], [*links, *late], CLOCK) == fixed_interval(kernels, links)
    timing = settled_timing([mask, *kernels], [*links, *late], CLOCK)
    assert timing.start["mask"] > 0
    assert timing.end == timing_of(kernels, links).end


def test_a_way_around_the_pipeline_with_few_buffers_holds_it_up() -> None:
    """Kernel k0 cannot wait: k8 needs it. 2 buffers for 8 transfers of a cycle and 8 kernels of ten."""
    kernels, links = chain(9, cycles=10)
    around = link("k0", "k8", 1, 2)
    assert phase_interval(kernels, [*links, around], CLOCK) == (8 * 10 + 8) // 2


@st.composite
def phases(draw: st.DrawFn) -> tuple[list[Kernel], list[Link]]:
    """Up to six kernels, each fed by the host or some before it."""
    kernels = [kernel(f"k{index}", draw(st.integers(1, 9))) for index in range(draw(st.integers(1, 6)))]
    links: list[Link] = []
    for index, reader in enumerate(kernels):
        sources = st.sets(st.sampled_from([HOST, *(each.name for each in kernels[:index])]), min_size=1)
        for source in sorted(draw(sources)):
            cycles, slots = (1, 2) if source == HOST else (draw(st.integers(1, 5)), draw(st.integers(1, 3)))
            links.append(link(source, reader.name, cycles, slots))
    return kernels, links


def executed(kernels: list[Kernel], links: list[Link], pace: int, samples: int) -> list[dict[str, int]]:
    """When each kernel is done with each sample if it begins as soon as inputs, buffers and its pace allow."""
    between = [each for each in links if each.source != HOST]
    done: list[dict[str, int]] = []
    for number in range(samples):
        now: dict[str, int] = {}
        for each in kernels:
            at = [max((way.cycles for way in links if way.target == each.name), default=0)]
            at += [now[way.source] + way.cycles for way in between if way.target == each.name]
            at = [moment + each.cycles.total for moment in at]
            at += [done[-1][each.name] + pace] if done else []
            freed = [way for way in between if way.source == each.name and way.slots <= number]
            at += [done[number - way.slots][way.target] for way in freed]
            now[each.name] = max(at)
        done.append(now)
    return done


@settings(max_examples=60, deadline=None)
@given(phase=phases())
def test_the_interval_is_that_of_an_execution(phase: tuple[list[Kernel], list[Link]]) -> None:
    """No sample is later than the settled times say, and with a cycle less between samples they would fall behind."""
    kernels, links = phase
    interval, timing = phase_interval(kernels, links, CLOCK), settled_timing(kernels, links, CLOCK)
    fixed = fixed_interval(kernels, links)
    done = executed(kernels, links, fixed, samples=400)
    for number, moments in enumerate(done):
        assert all(at <= timing.finish[name] + number * interval for name, at in moments.items())
    around = sum(each.cycles.total for each in kernels) + sum(
        way.cycles for way in links
    )  # no circuit is longer
    slowest = max(done[-1].values())
    assert interval == fixed or slowest + around > (len(done) - 1) * (interval - 1)
