"""Ways to spoil a good plan, each of which the checker or the numbers must catch.

Each works on any plan that has what it spoils, and raises LookupError where the plan has nothing of the kind (no
reduction that is cut, no chain ...). Compiled plans of real networks have nearly all of it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from legal_plans import change_dimension, change_input, change_kernel, change_link

from wsec.compiler.plan import HOST, Kernel, KernelInput, Link, Phase, Plan, Rectangle, Route, Wafer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

T = TypeVar("T")


class Corruption(NamedTuple):
    """A name, and what makes a bad plan of a good one."""

    name: str
    apply: Callable[[Plan], Plan]


def _first(candidates: Iterable[T]) -> T:
    for candidate in candidates:
        return candidate
    raise LookupError("the plan has nothing of the kind")


def _inputs(plan: Plan) -> Iterator[tuple[Kernel, KernelInput]]:
    return ((kernel, entry) for kernel in plan.kernels() for entry in kernel.inputs)


def _link_to(plan: Plan, kernel: Kernel, entry: KernelInput) -> Link:
    return _first(link for link in plan.links() if (link.target, link.role) == (kernel.name, entry.role))


def _kernel_where(plan: Plan, fits: Callable[[Kernel], bool]) -> Kernel:
    return _first(kernel for kernel in plan.kernels() if fits(kernel))


def _with_kernels(plan: Plan, change: Callable[[tuple[Kernel, ...]], tuple[Kernel, ...]]) -> Plan:
    def of_phase(phase: Phase) -> Phase:
        return replace(phase, kernels=change(phase.kernels))

    return replace(
        plan, wafers=tuple(Wafer(tuple(of_phase(phase) for phase in wafer.phases)) for wafer in plan.wafers)
    )


def _rectangle_outside(plan: Plan) -> Plan:
    name = _first(plan.kernels()).name
    outside = plan.region_width
    return change_kernel(
        plan, name, lambda kernel: replace(kernel, rectangle=replace(kernel.rectangle, x=outside))
    )


def _rectangle_on_another(plan: Plan) -> Plan:
    first, second = list(plan.kernels())[:2]
    place = first.rectangle
    return change_kernel(
        plan,
        second.name,
        lambda kernel: replace(kernel, rectangle=replace(kernel.rectangle, x=place.x, y=place.y)),
    )


def _rectangles_swapped(plan: Plan) -> Plan:
    first, second = list(plan.kernels())[:2]
    swapped = change_kernel(plan, first.name, lambda kernel: replace(kernel, rectangle=second.rectangle))
    return change_kernel(swapped, second.name, lambda kernel: replace(kernel, rectangle=first.rectangle))


def _mesh_axes_turned(plan: Plan) -> Plan:
    """All axes on the other side: the mesh is as high as it was wide."""
    kernel = _kernel_where(plan, lambda kernel: kernel.mesh.width != kernel.mesh.height)
    axes = tuple(
        replace(axis, side="columns" if axis.side == "rows" else "rows") for axis in kernel.mesh.axes
    )
    return change_kernel(
        plan, kernel.name, lambda kernel: replace(kernel, mesh=replace(kernel.mesh, axes=axes))
    )


def _shards_swapped(plan: Plan) -> Plan:
    """Two axes exchanged in a weight: cores hold each other's shards."""
    kernel, entry = _first(
        (kernel, entry)
        for kernel, entry in _inputs(plan)
        if sum(1 for dimension in entry.sharding.dimensions if dimension.axes) > 1
    )
    cut = [i for i, dimension in enumerate(entry.sharding.dimensions) if dimension.axes]
    axes = [entry.sharding.dimensions[i].axes for i in cut[:2]]
    sharding = change_dimension(entry.sharding, cut[0], axes=axes[1])
    sharding = change_dimension(sharding, cut[1], axes=axes[0])
    return change_kernel(
        plan, kernel.name, lambda kernel: change_input(kernel, entry.role, sharding=sharding)
    )


def _halo(plan: Plan) -> tuple[Kernel, KernelInput, int]:
    return _first(
        (kernel, entry, position)
        for kernel, entry in _inputs(plan)
        for position, dimension in enumerate(entry.sharding.dimensions)
        if not entry.constant
        and dimension.axes
        and dimension.block > dimension.step > 0
        and dimension.divisor == 1
    )


def _halo_changed(plan: Plan, block: int, offset: int) -> Plan:
    kernel, entry, position = _halo(plan)
    dimension = entry.sharding.dimensions[position]
    sharding = change_dimension(
        entry.sharding, position, block=dimension.block + block, offset=dimension.offset + offset
    )
    changed = change_kernel(
        plan, kernel.name, lambda kernel: change_input(kernel, entry.role, sharding=sharding)
    )
    link = _link_to(plan, kernel, entry)
    return change_link(changed, link.name, lambda link: replace(link, sharding=sharding))


def _halo_short_on_link(plan: Plan) -> Plan:
    kernel, entry, position = _halo(plan)
    sharding = change_dimension(entry.sharding, position, block=entry.sharding.dimensions[position].block - 1)
    link = _link_to(plan, kernel, entry)
    return change_link(plan, link.name, lambda link: replace(link, sharding=sharding))


def _reduction_skipped(plan: Plan) -> Plan:
    kernel = _kernel_where(plan, lambda kernel: any(output.sharding.root for output in kernel.outputs))
    outputs = tuple(replace(output, sharding=replace(output.sharding, root=())) for output in kernel.outputs)
    return change_kernel(plan, kernel.name, lambda kernel: replace(kernel, outputs=outputs))


def _output_gap(plan: Plan) -> Plan:
    """One element fewer in each block of an output, and the last ones missing."""
    kernel = _kernel_where(
        plan, lambda kernel: any(dim.axes for dim in kernel.outputs[0].sharding.dimensions)
    )
    output = kernel.outputs[0]
    position = _first(i for i, dimension in enumerate(output.sharding.dimensions) if dimension.axes)
    block = output.sharding.dimensions[position].block - 1
    sharding = change_dimension(output.sharding, position, block=block, step=block)
    outputs = (replace(output, sharding=sharding), *kernel.outputs[1:])
    return change_kernel(plan, kernel.name, lambda kernel: replace(kernel, outputs=outputs))


def _split_changed(plan: Plan) -> Plan:
    kernel = _kernel_where(plan, lambda kernel: bool(kernel.mesh.axes))
    name = kernel.mesh.axes[0].name
    split = {**kernel.split, name: kernel.split[name] + 1}
    return change_kernel(plan, kernel.name, lambda kernel: replace(kernel, split=split))


def _weights_of_another_layer(plan: Plan) -> Plan:
    """Two weights of one shape exchanged between kernels, their shardings kept."""
    weights = [(kernel, entry) for kernel, entry in _inputs(plan) if entry.constant]
    first, second = _first(
        (a, b)
        for i, a in enumerate(weights)
        for b in weights[i + 1 :]
        if a[1].tensor != b[1].tensor
        and a[1].sharding.shape == b[1].sharding.shape
        and a[1].dtype == b[1].dtype
    )
    changed = change_kernel(
        plan, first[0].name, lambda kernel: change_input(kernel, first[1].role, tensor=second[1].tensor)
    )
    return change_kernel(
        changed, second[0].name, lambda kernel: change_input(kernel, second[1].role, tensor=first[1].tensor)
    )


def _dtype_changed(plan: Plan) -> Plan:
    kernel, entry = _first((kernel, entry) for kernel, entry in _inputs(plan) if entry.dtype == "float32")
    return change_kernel(plan, kernel.name, lambda kernel: change_input(kernel, entry.role, dtype="int32"))


def _slots_reduced(plan: Plan) -> Plan:
    """Fewer samples on their way than the consumer holds."""
    link = _between_kernels(plan)
    return change_link(plan, link.name, lambda link: replace(link, slots=link.slots - 1))


def _no_room_for_a_sample(plan: Plan) -> Plan:
    kernel = _first(plan.kernels())
    outputs = tuple(replace(output, slots=0) for output in kernel.outputs)
    return change_kernel(plan, kernel.name, lambda kernel: replace(kernel, outputs=outputs))


def _more_turns(plan: Plan) -> Plan:
    """Turns over a loop that a core has not as many positions of."""
    kernel = _kernel_where(plan, lambda kernel: bool(kernel.split))
    turns = dict.fromkeys(list(kernel.split)[:1], 10**6)
    return change_kernel(plan, kernel.name, lambda kernel: replace(kernel, turns=turns))


def _chain_step_dropped(plan: Plan) -> Plan:
    kernel = _kernel_where(plan, lambda kernel: bool(kernel.chain))
    return change_kernel(plan, kernel.name, lambda kernel: replace(kernel, chain=kernel.chain[:-1]))


def _chain_inputs_swapped(plan: Plan) -> Plan:
    kernel, position = _first(
        (kernel, position)
        for kernel in plan.kernels()
        for position, step in enumerate(kernel.chain)
        if len(step.inputs) == 2 and step.inputs[0] != step.inputs[1]
    )
    chain = list(kernel.chain)
    chain[position] = replace(chain[position], inputs=chain[position].inputs[::-1])
    return change_kernel(plan, kernel.name, lambda kernel: replace(kernel, chain=tuple(chain)))


def _chain_operator_changed(plan: Plan) -> Plan:
    kernel = _kernel_where(plan, lambda kernel: bool(kernel.chain))
    operator = "Neg" if kernel.chain[0].operator != "Neg" else "Abs"
    chain = (replace(kernel.chain[0], operator=operator), *kernel.chain[1:])
    return change_kernel(plan, kernel.name, lambda kernel: replace(kernel, chain=chain))


def _argument_changed(plan: Plan, name: str) -> Plan:
    """One more in a tuple of integers."""
    kernel = _kernel_where(plan, lambda kernel: isinstance(kernel.arguments.get(name), tuple))
    value = kernel.arguments[name]
    assert isinstance(value, tuple)
    arguments = {**kernel.arguments, name: (*value[:-1], int(value[-1]) + 1)}
    return change_kernel(plan, kernel.name, lambda kernel: replace(kernel, arguments=arguments))


def _block_beyond_memory(plan: Plan) -> Plan:
    kernel, entry = _first((kernel, entry) for kernel, entry in _inputs(plan) if entry.sharding.dimensions)
    block = plan.target.core.sram_bytes + 1
    sharding = change_dimension(entry.sharding, 0, block=block)
    return change_kernel(
        plan, kernel.name, lambda kernel: change_input(kernel, entry.role, sharding=sharding)
    )


def _ledger_understated(plan: Plan) -> Plan:
    kernel = _kernel_where(plan, lambda kernel: any(entry.constant for entry in kernel.inputs))
    memory = replace(kernel.memory, weights=0)
    return change_kernel(plan, kernel.name, lambda kernel: replace(kernel, memory=memory))


def _between_kernels(plan: Plan) -> Link:
    return _first(link for link in plan.links() if HOST not in (link.source, link.target))


def _link_dropped(plan: Plan) -> Plan:
    return change_link(plan, _between_kernels(plan).name, lambda _link: None)


def _output_link_dropped(plan: Plan) -> Plan:
    return change_link(
        plan, _first(link for link in plan.links() if link.target == HOST).name, lambda _link: None
    )


def _link_changed(plan: Plan, **changes: object) -> Plan:
    return change_link(plan, _between_kernels(plan).name, lambda link: replace(link, **changes))  # type: ignore[arg-type] # names are the caller's


def _link_from_itself(plan: Plan) -> Plan:
    link = _between_kernels(plan)
    return change_link(plan, link.name, lambda link: replace(link, source=link.target))


def _words_understated(plan: Plan) -> Plan:
    link = _between_kernels(plan)
    return change_link(plan, link.name, lambda link: replace(link, words=link.words - 1))


def _link_cycles_understated(plan: Plan) -> Plan:
    link = _first(link for link in plan.links() if link.routes)
    return change_link(plan, link.name, lambda link: replace(link, cycles=0))


def _routed(plan: Plan) -> Link:
    return _first(link for link in plan.links() if link.routes and HOST not in (link.source, link.target))


def _routes_changed(plan: Plan, change: Callable[[Route], Route]) -> Plan:
    link = _routed(plan)
    routes = (change(link.routes[0]), *link.routes[1:])
    return change_link(plan, link.name, lambda link: replace(link, routes=routes))


def _kernel_cycles_understated(plan: Plan) -> Plan:
    kernel = _kernel_where(plan, lambda kernel: kernel.kind in {"matmul", "convolution"})
    return change_kernel(
        plan, kernel.name, lambda kernel: replace(kernel, cycles=replace(kernel.cycles, compute=1))
    )


def _route_shifted(plan: Plan) -> Plan:
    """The source strip one rectangle further: outside of the kernel that sends."""
    link = _routed(plan)
    place = _kernel_where(plan, lambda kernel: kernel.name == link.source).rectangle
    return _routes_changed(plan, lambda route: replace(route, source=_moved(route.source, place.height)))


def _moved(strip: Rectangle, rows: int) -> Rectangle:
    return replace(strip, y=strip.y + rows)


def _widened(route: Route) -> Route:
    return replace(route, source=replace(route.source, width=route.source.width + 1, height=2))


def _colour_reused(plan: Plan) -> Plan:
    """Every route on colour 0."""
    changed = plan
    for link in plan.links():
        routes = tuple(replace(route, colour=0) for route in link.routes)
        changed = change_link(changed, link.name, lambda link, routes=routes: replace(link, routes=routes))  # type: ignore[misc] # default binds
    if all(route.colour == 0 for link in plan.links() for route in link.routes):
        raise LookupError("the plan needs one colour only")
    return changed


def _kernel_deleted(plan: Plan) -> Plan:
    name = _first(plan.kernels()).name
    return _with_kernels(plan, lambda kernels: tuple(kernel for kernel in kernels if kernel.name != name))


def _kernel_twice(plan: Plan) -> Plan:
    """A second kernel of another name computes the same, in the same place."""
    copy = replace(_first(plan.kernels()), name="the same again")
    return _with_kernels(plan, lambda kernels: (*kernels, copy))


def _output_renamed(plan: Plan) -> Plan:
    outputs = (replace(plan.outputs[0], name=plan.outputs[0].name + "'"), *plan.outputs[1:])
    return replace(plan, outputs=outputs)


def _interval_understated(plan: Plan) -> Plan:
    return replace(plan, placement=replace(plan.placement, interval=1, interval_bound=1))


CORRUPTIONS = (
    Corruption("rectangle moved out of the region", _rectangle_outside),
    Corruption("rectangle moved onto another", _rectangle_on_another),
    Corruption("rectangles swapped", _rectangles_swapped),
    Corruption("mesh axes turned", _mesh_axes_turned),
    Corruption("shards swapped", _shards_swapped),
    Corruption("halo shortened", lambda plan: _halo_changed(plan, block=-1, offset=0)),
    Corruption("halo shifted", lambda plan: _halo_changed(plan, block=0, offset=1)),
    Corruption("halo begun early", lambda plan: _halo_changed(plan, block=1, offset=-1)),
    Corruption("halo shortened on the link", _halo_short_on_link),
    Corruption("reduction skipped", _reduction_skipped),
    Corruption("output with a gap", _output_gap),
    Corruption("split changed", _split_changed),
    Corruption("weights of another layer", _weights_of_another_layer),
    Corruption("element type changed", _dtype_changed),
    Corruption("slots reduced", _slots_reduced),
    Corruption("no room for a sample", _no_room_for_a_sample),
    Corruption("more turns than positions", _more_turns),
    Corruption("chain step dropped", _chain_step_dropped),
    Corruption("chain inputs swapped", _chain_inputs_swapped),
    Corruption("chain operator changed", _chain_operator_changed),
    Corruption("stride changed", lambda plan: _argument_changed(plan, "strides")),
    Corruption("pads changed", lambda plan: _argument_changed(plan, "pads")),
    Corruption("block beyond memory", _block_beyond_memory),
    Corruption("ledger understated", _ledger_understated),
    Corruption("link dropped", _link_dropped),
    Corruption("output link dropped", _output_link_dropped),
    Corruption("link to a wrong role", lambda plan: _link_changed(plan, role="nothing")),
    Corruption("link of another tensor", lambda plan: _link_changed(plan, tensor="nothing")),
    Corruption("link from another kernel", _link_from_itself),
    Corruption("words understated", _words_understated),
    Corruption("cycles of a link understated", _link_cycles_understated),
    Corruption("cycles of a kernel understated", _kernel_cycles_understated),
    Corruption("route removed", lambda plan: _link_changed(plan, routes=())),
    Corruption("route shifted", _route_shifted),
    Corruption("route widened", lambda plan: _routes_changed(plan, _widened)),
    Corruption("colour reused", _colour_reused),
    Corruption(
        "colour over the budget", lambda plan: _routes_changed(plan, lambda route: replace(route, colour=21))
    ),
    Corruption("kernel deleted", _kernel_deleted),
    Corruption("kernel twice", _kernel_twice),
    Corruption("output renamed", _output_renamed),
    Corruption("interval understated", _interval_understated),
    Corruption(
        "region beyond the wafer", lambda plan: replace(plan, region_width=plan.target.grid.width + 1)
    ),
    Corruption("another format", lambda plan: replace(plan, format=99)),
)
