"""A phase of a plan as what the simulator runs, and what its cores hold when it has run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from wsec.runtime.blocks import scatter
from wsec.runtime.element_types import element_type
from wsec.runtime.executor import block_fill
from wsec.runtime.programs.events import Transfers
from wsec.runtime.programs.host import HostPrograms, host_programs, words_to_send
from wsec.runtime.programs.kernel_program import KernelCircuits, KernelPrograms, kernel_programs
from wsec.runtime.programs.kinds.registry import program_of
from wsec.runtime.programs.links import LinkWords, follow_link
from wsec.runtime.programs.settings import expand, routes
from wsec.runtime.programs.unsupported import not_simulated
from wsec.runtime.programs.words import block_words
from wsec.runtime.simulator.simulation import Simulation
from wsec.runtime.simulator.timing import engine_timing, fabric_timing

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from wsec.compiler.plan import Circuit, Kernel, KernelInput, Phase, Plan
    from wsec.runtime.element_types import Array
    from wsec.runtime.lowered_model import LoweredModel
    from wsec.runtime.programs.kernel_program import Compute
    from wsec.runtime.programs.settings import Settings

    Words = NDArray[np.float32]

WORD_TYPES = ("float32", "int32", "int64", "bool")
"""Element types that can be simulated, in numpy's words: every element is one word, a float of the same value."""

_EXACT = 2**24


@dataclass(frozen=True, slots=True, eq=False)
class PhasePrograms:
    """What the simulator is given for a phase.

    Attributes:
        phase: Of the plan.
        links: Followed, in the order of the plan.
        kernels: Their programs, in the order of the plan.
        host: The programs of the host's columns.
        settings: Of all circuits.
        transfers: Turns and filters of all colours.
        width: Columns of the simulated grid, those of the host included.
        height: Rows.
        samples: That it is made for.
    """

    phase: Phase
    links: tuple[LinkWords, ...]
    kernels: tuple[KernelPrograms, ...]
    host: HostPrograms
    settings: tuple[Settings, ...]
    transfers: Transfers
    width: int
    height: int
    samples: int


def phase_programs(
    plan: Plan, phase: Phase, model: LoweredModel, *, samples: int, holds: Mapping[str, int] | None = None
) -> PhasePrograms:
    """Routes and programs of a phase; `holds` as of `simulate_plan`.

    Raises:
        WsecError: WSEC591, WSEC597 the plan is broken, WSEC596 a part of it cannot be simulated.
    """
    region = plan.region_width, plan.region_height
    wide = region[0] + 2
    kernels = {kernel.name: kernel for kernel in phase.kernels}
    programs = {kernel.name: check_kernel(kernel, model) for kernel in phase.kernels}
    of_links = _by_name(phase.circuits, links=True)
    transfers = Transfers()
    settings: list[Settings] = []
    links = []
    for link in phase.links:
        ends = kernels.get(link.source), kernels.get(link.target)
        words = follow_link(link, of_links.get(link.name, ()), ends, region)
        for flow, positions in zip(words.flows, words.positions, strict=True):
            transfers.pass_words(flow.settings, positions)
            settings.append(flow.settings)
        links.append(words)
    of_kernels = _by_name(phase.circuits, links=False)
    made = []
    for kernel in phase.kernels:
        circuits = _kernel_circuits(of_kernels.get(kernel.name, ()), region)
        settings += [each for each, _ in circuits]
        made.append(
            kernel_programs(
                kernel,
                (_incoming(kernel, links), [words for words in links if words.link.source == kernel.name]),
                _grouped(circuits),
                programs[kernel.name],
                wide=wide,
                samples=samples,
                hold=(holds or {}).get(kernel.name, 0),
                transfers=transfers,
                fills={item.role: _before(kernel, item, model) for item in kernel.inputs},
            )
        )
    return PhasePrograms(
        phase=phase,
        links=tuple(links),
        kernels=tuple(made),
        host=host_programs(links, wide=wide, samples=samples),
        settings=tuple(settings),
        transfers=transfers,
        width=wide,
        height=region[1],
        samples=samples,
    )


def _by_name(circuits: Sequence[Circuit], *, links: bool) -> dict[str, list[Circuit]]:
    found: dict[str, list[Circuit]] = {}
    for circuit in circuits:
        if (circuit.purpose == "link") == links:
            found.setdefault(circuit.name, []).append(circuit)
    return found


def _kernel_circuits(circuits: Sequence[Circuit], region: tuple[int, int]) -> list[tuple[Settings, Circuit]]:
    return [(expand(each, width=region[0], height=region[1], edges=False), each) for each in circuits]


def _grouped(circuits: Sequence[tuple[Settings, Circuit]]) -> KernelCircuits:
    exchanges: dict[tuple[str, int, int], Settings] = {}
    reduces: dict[str, list[Settings]] = {}
    broadcasts: dict[str, list[Settings]] = {}
    for settings, circuit in circuits:
        if circuit.purpose == "exchange":
            exchanges[circuit.axis, circuit.segment, circuit.offset] = settings
        else:
            sides = reduces if circuit.purpose == "reduce" else broadcasts
            sides.setdefault(circuit.axis, []).append(settings)
    return KernelCircuits(exchanges, reduces, broadcasts)


def _incoming(kernel: Kernel, links: Sequence[LinkWords]) -> list[tuple[str, LinkWords]]:
    by_role = {words.link.role: words for words in links if words.link.target == kernel.name}
    return [(item.role, by_role[item.role]) for item in kernel.inputs if item.role in by_role]


def check_kernel(kernel: Kernel, model: LoweredModel) -> Compute:
    """The program of a kernel; kinds without one, and element types without words, are refused.

    Raises:
        WsecError: WSEC596 the kernel has one of these.
    """
    compute = program_of(kernel, model)
    if compute is None:
        where = f"kernel {kernel.name} of kind {kernel.kind}"
        raise not_simulated(where, f"kernels of kind {kernel.kind} have no core program")
    if kernel.kind == "attention" and kernel.turns.get("t", 1) > 1:
        raise not_simulated(f"kernel {kernel.name}", "an attention that walks its keys in turns")
    if kernel.rotation is not None:
        hint = "compile with `--products sums`"
        raise not_simulated(f"kernel {kernel.name}", "a product whose operands shift", hint)
    types = {item.tensor: item.dtype for item in kernel.inputs} | {
        item.tensor: item.dtype for item in kernel.outputs
    }
    for tensor, dtype in types.items():
        if dtype not in WORD_TYPES:
            raise not_simulated(
                f"kernel {kernel.name}, tensor {tensor}",
                f"element type {dtype}",
                f"words of the simulator are {', '.join(WORD_TYPES)}: convert the model",
            )
    return compute


def _before(kernel: Kernel, item: KernelInput, model: LoweredModel) -> Words:
    """Every core's block of an input before the first sample: weights, and what stands outside the extents."""
    mesh = kernel.mesh
    fill: Any = block_fill(kernel, item)
    if not item.constant:
        return np.full((1, item.sharding.block_elements), fill, np.float32)
    tensor = as_words(model.constant(item.tensor), item.tensor)
    blocks = scatter(tensor, item.sharding, mesh, np.float32(fill))
    full = np.broadcast_to(blocks, (*mesh.shape, *item.sharding.block_shape))
    rows = [index for index, axis in enumerate(mesh.axes) if axis.side == "rows"]
    columns = [index for index, axis in enumerate(mesh.axes) if axis.side == "columns"]
    rest = range(len(mesh.axes), full.ndim)
    return full.transpose(*rows, *columns, *rest).reshape(mesh.height * mesh.width, -1)


def as_words(tensor: Array, name: str) -> Words:
    """A tensor as words in core memory, flat.

    Raises:
        WsecError: WSEC596 its type has no words, or a whole number is not exact as a float.
    """
    if tensor.dtype.name not in WORD_TYPES:
        raise not_simulated(f"tensor {name}", f"element type {tensor.dtype}")
    if tensor.dtype.kind == "i":
        beyond = tensor[(tensor > _EXACT) | (tensor < -_EXACT)]
        if beyond.size:
            found = f"{int(beyond.flat[0]):,}, beyond {_EXACT:,}; {beyond.size:,} of such numbers"
            raise not_simulated(
                f"tensor {name}", found, "whole numbers of the simulator lie in floats of 32 bits"
            )
    return tensor.astype(np.float32).reshape(-1)


def load(
    programs: PhasePrograms,
    plan: Plan,
    tensors: Sequence[Mapping[tuple[str, str], Array]],
    *,
    threads: int,
    limit_bytes: int,
) -> Simulation:
    """The simulation of a phase, its memories filled; `tensors` has those of each sample by who made them and name.

    Raises:
        WsecError: WSEC350 it is too large, WSEC590, WSEC591, WSEC593 it does not fit the machine.
    """
    areas = [area for kernel in programs.kernels for area in kernel.areas]
    simulation = Simulation(
        [route for each in programs.settings for route in routes(each)],
        (*areas, *programs.host.areas),
        width=programs.width,
        height=programs.height,
        fabric=fabric_timing(plan.target),
        engines=engine_timing(plan.target),
        turns=programs.transfers.switch_turns(programs.settings),
        filters=programs.transfers.ramp_filters(),
        threads=threads,
        limit_bytes=limit_bytes,
    )
    for kernel in programs.kernels:
        for area, rows in zip(kernel.areas, kernel.rows, strict=True):
            for number, row in enumerate(rows.tolist()):
                y, x = divmod(number, area.width)
                simulation.memory(area.x + x, area.y + y)[:] = kernel.memory[row]
    sources = {link.link.name: link.link.source for link in programs.links}
    for place in programs.host.sends:
        source = sources[place.link]
        by_name = [{place.tensor: as_words(sample[source, place.tensor], place.tensor)} for sample in tensors]
        y, x = divmod(place.core, programs.width)
        words = words_to_send(place, by_name)
        simulation.memory(x, y)[place.address : place.address + words.size] = words
    return simulation


def taken_by_host(programs: PhasePrograms, simulation: Simulation) -> dict[tuple[str, str], list[Words]]:
    """What the host took over the east edge, by (kernel, tensor), flat, a tensor for each sample."""
    found: dict[tuple[str, str], list[Words]] = {}
    by_name = {words.link.name: words.link for words in programs.links}
    sizes = {
        (kernel.kernel.name, item.tensor): int(np.prod(item.sharding.shape))
        for kernel in programs.kernels
        for item in kernel.kernel.outputs
    }
    for place in programs.host.takes:
        key = by_name[place.link].source, place.tensor
        if key not in found:
            found[key] = [np.full(sizes[key], np.nan, np.float32) for _ in range(programs.samples)]
        y, x = divmod(place.core, programs.width)
        memory = simulation.memory(x, y)[place.address :]
        for sample, tensor in enumerate(found[key]):
            tensor[place.elements] = memory[sample * place.elements.size :][: place.elements.size]
    return found


def made_by_kernel(
    kernel: KernelPrograms, simulation: Simulation, samples: int
) -> dict[tuple[str, int], Words]:
    """What lies in the cores of a kernel at the end, by tensor and sample: the last samples, one for each output buffer."""
    found = {}
    cores = kernel.kernel.mesh.height * kernel.kernel.mesh.width
    memory = np.zeros((cores, kernel.memory.shape[1]), np.float32)
    for area, rows in zip(kernel.areas, kernel.rows, strict=True):
        for number, row in enumerate(rows.tolist()):
            y, x = divmod(number, area.width)
            memory[row] = simulation.memory(area.x + x, area.y + y)
    for item in kernel.kernel.outputs:
        held = block_words(item.sharding, kernel.kernel.mesh, once=True)
        slots = min(samples, item.slots)
        for slot in range(slots):
            sample = slot + (samples - 1 - slot) // slots * slots
            tensor = np.full(held.total, np.nan, np.float32)
            address = kernel.outputs[item.tensor, slot]
            tensor[held.elements.values] = memory[held.elements.rows, address + held.places.values]
            found[item.tensor, sample] = tensor
    return found


def as_tensor(words: Words, dtype: str, shape: Sequence[int]) -> Array:
    """Words as a tensor of a type."""
    return words.astype(element_type(dtype)).reshape(tuple(shape))
