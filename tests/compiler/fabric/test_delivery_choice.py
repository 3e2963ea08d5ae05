"""Which delivery a kernel gets, and what it does to its memory and cycles."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from wsec.compiler.errors import WsecError
from wsec.compiler.fabric.delivery_choice import Delivered, deliver
from wsec.compiler.fabric.link_fans import link_fans
from wsec.compiler.plan import (
    HOST,
    Cycles,
    Kernel,
    KernelInput,
    KernelOutput,
    Link,
    MemoryLedger,
    Rectangle,
    Route,
)
from wsec.compiler.sharding import Mesh, MeshAxis, Sharding, cut
from wsec.compiler.target import load_target

TARGET = load_target("mesh16")
COUNT = 2000


def _kernel(weights: int = 0, slots: int = 2) -> Kernel:
    """Four cores side by side that need all of a vector each."""
    mesh = Mesh((MeshAxis("k", 4, "columns"),))
    share = COUNT // 4 * 4
    return Kernel(
        name="sum",
        kind="matmul",
        operators=("sum",),
        arguments={},
        split={"k": 4},
        rectangle=Rectangle(2, 0, 4, 1),
        mesh=mesh,
        inputs=(KernelInput("x", "x", "float32", constant=False, sharding=_whole(), slots=slots),),
        outputs=(KernelOutput("y", "float32", Sharding((cut(8, 4, ("k",)),))),),
        chain=(),
        memory=MemoryLedger(weights=weights, activations=slots * share + 16, buffers=COUNT * 4, code=8192),
        cycles=Cycles(compute=100, communication=COUNT + 50, memory=0, transfer=COUNT // 4),
    )


def _whole() -> Sharding:
    return Sharding((cut(COUNT, 1, ()),))


def _delivered(kernel: Kernel, lanes: int = 1) -> Delivered:
    """Its vector from the host, on lanes along its row."""
    strip = Rectangle(0, 0, 1, lanes)
    route = Route(0, strip, replace(strip, x=kernel.rectangle.x))
    link = Link("x", "x", HOST, "sum", "x", _whole(), COUNT, 2, (route,), cycles=0, interval=0)
    fans = link_fans((route,), None, kernel.rectangle, None)
    return deliver([kernel], [(link, fans)], {"sum": 50}, TARGET, 1000)


def test_a_vector_that_all_need_is_taken_from_the_stream_where_there_is_memory() -> None:
    """Protects direct links: nothing is exchanged, and whole blocks wait."""
    home = _delivered(_kernel())
    assert home.links[0].direct
    assert home.links[0].exchanges == ()
    assert home.kernels[0].memory.activations == 2 * COUNT * 4 + 16
    assert home.kernels[0].cycles == Cycles(compute=100, communication=0, memory=0, transfer=COUNT)


def test_cores_hold_a_vector_together_where_memory_is_short() -> None:
    """Protects the choice of what needs less memory: an equal share each, exchanged when its turn comes."""
    home = _delivered(_kernel(weights=20_000))
    assert not home.links[0].direct
    assert [each.along for each in home.links[0].exchanges] == ["rows"]
    assert home.kernels[0].memory.activations == 2 * COUNT + 16
    assert home.kernels[0].memory.total <= TARGET.core.sram_bytes
    way = 2 * np.ceil(TARGET.fabric.hop_cycles * 3) + 2 * TARGET.fabric.ramp_cycles + 1  # there and back
    assert home.kernels[0].cycles.communication == COUNT + way


def test_fewer_samples_wait_where_memory_is_shorter_still() -> None:
    """Protects plans from cores that hold more than they can: slots go before anything is refused."""
    kernel = _kernel(weights=TARGET.core.sram_bytes - 8192 - 16 - COUNT * 4 - COUNT)
    home = _delivered(replace(kernel, memory=replace(kernel.memory, activations=2 * COUNT + 16)))
    assert home.kernels[0].inputs[0].slots == 1
    assert home.links[0].slots == 1
    assert home.kernels[0].memory.total <= TARGET.core.sram_bytes


def test_what_no_core_can_hold_is_refused() -> None:
    """Protects the user from a plan that does not fit: what came to how much, and what to do."""
    kernel = _kernel(weights=TARGET.core.sram_bytes - 8192 - 16 - COUNT * 4 - COUNT + 1)
    with pytest.raises(WsecError) as caught:
        _delivered(kernel)
    assert str(caught.value) == (
        "error[WSEC344]: the words that links bring to a kernel do not fit its cores\n"
        "  where:    kernel 'sum', 4 x 1 cores, input 'x'\n"
        f"  expected: at most {TARGET.core.sram_bytes} bytes on a core\n"
        f"  found:    {TARGET.core.sram_bytes + 1} bytes with one sample of each input, 500 elements of this one dealt to one core\n"
        "  try:      give a larger --region, or another --seed or --effort, with which rectangles and lanes lie elsewhere"
    )
