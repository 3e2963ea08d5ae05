"""Executes a plan shard by shard: the numbers that the wafer would give. Host operators run between its kernels.

Reads the plan folder and nothing else, and imports nothing of what made the plan. Every kernel sees only its blocks of
its inputs, as the links bring them; what a link should have brought and did not is poison, and shows in the outputs.
Partial sums are combined in the order of the fabric. The same plan and inputs give the same numbers.
"""

from __future__ import annotations

import math
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

import numpy as np

from wsec.compiler.errors import WsecError
from wsec.compiler.kernel_packages import RUNTIME, blamed
from wsec.compiler.onnxruntime_session import SESSION_ERRORS
from wsec.compiler.plan import HOST, HostOperator
from wsec.compiler.sharding import Mesh, Sharding, whole
from wsec.runtime.batched import run_batched
from wsec.runtime.blocks import gather, reach, scatter
from wsec.runtime.delivery import deliver
from wsec.runtime.element_types import Array, DType, element_type
from wsec.runtime.elementwise import RESULT, apply_chain
from wsec.runtime.inputs import as_held, check_inputs
from wsec.runtime.kernels.custom import program_named
from wsec.runtime.lowered_model import LoweredModel
from wsec.runtime.ordered.elementwise import apply_chain_in_order
from wsec.runtime.ordered.kinds import ORDERED_PROGRAMS
from wsec.runtime.programs.unsupported import not_simulated
from wsec.runtime.rotary import rotate_blocks, rotation_of
from wsec.runtime.schedule import Schedule, make_schedule
from wsec.runtime.shared_weights import SharedWeights
from wsec.runtime.states import StateStore
from wsec.runtime.unsplit import run_unsplit
from wsec.runtime.weights import require_weights

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from wsec.compiler.plan import Kernel, KernelInput, Link, Value
    from wsec.compiler.plan_io import LoadedPlan

    Observer = Callable[[str, Array], None]

Arithmetic = Literal["usual", "ordered"]

_NO_MESH = Mesh(())
_SLACK = 64
_SMALL = 1 << 20
_RECORD_ERRORS: tuple[type[Exception], ...] = (
    ArithmeticError,
    LookupError,
    MemoryError,
    TypeError,
    ValueError,
    *SESSION_ERRORS,
)


def execute(
    loaded: LoadedPlan, inputs: Mapping[str, Array], observe: Observer | None = None
) -> dict[str, Array]:
    """The outputs of the model by name, in the model's order: arrays, of objects where they hold text, or lists of these.

    Args:
        loaded: The plan.
        inputs: Every input of the model by name.
        observe: Called with the name and the value of every kernel's outputs, in the order of execution.

    Raises:
        WsecError: WSEC560 an input is missing or unknown, WSEC561 one has another shape or type, WSEC563 a record cannot
            be executed, WSEC564 no link brings a tensor, WSEC565 kernels wait for each other, WSEC567 the lowered model
            cannot be read, WSEC571 the plan was made without weights.
    """
    return Executor(loaded).run(inputs, observe)


class Executor:
    """A plan made ready to be run many times: models read, kernels ordered, sessions kept.

    Args:
        loaded: The plan.
        arithmetic: `usual`: each core's own sums in any order. `ordered`: everything in the order, and by the formulas, of the
            core programs (docs/core-programs.md), for kinds that have one; what a simulation gives bit for bit.
        decoder: The plan whose weights this one uses where they lie, or brings from there (docs/pairs.md); without it they
            are those of its own model.

    Raises:
        WsecError: WSEC156 it was not made for that decoder, WSEC596 a kind of kernel has no order.
    """

    def __init__(
        self, loaded: LoadedPlan, arithmetic: Arithmetic = "usual", decoder: LoadedPlan | None = None
    ) -> None:
        require_weights(loaded.plan)
        self.plan = loaded.plan
        self._model = LoweredModel(loaded.lowered_path)
        self._ordered = arithmetic == "ordered"
        for kernel in loaded.plan.kernels():
            program_named(kernel.kind, f"kernel {kernel.name}")  # all packages that it needs are installed
            known = kernel.kind in {"elementwise", *ORDERED_PROGRAMS} or rotation_of(kernel, self._model)
            if self._ordered and not known:
                raise not_simulated(f"kernel {kernel.name} of kind {kernel.kind}", f"kind {kernel.kind}")
            if self._ordered and kernel.rotation is not None:
                raise not_simulated(f"kernel {kernel.name}", "a product whose operands shift")
        self._states = StateStore(loaded.plan)
        self._schedule: Schedule = make_schedule(loaded.plan, self._model.is_initializer)
        self._shared = SharedWeights(loaded, decoder)

    def run(self, inputs: Mapping[str, Array], observe: Observer | None = None) -> dict[str, Array]:
        """As `execute`; states that are not among the inputs are as the last run left them, and zeros before the first."""
        given = self._states.completed(inputs)
        check_inputs(self.plan.inputs, given)
        tensors: dict[tuple[str, str], Array] = {
            (HOST, value.name): as_held(value, given[value.name]) for value in self.plan.inputs
        }
        with np.errstate(all="ignore"):
            for step, done in zip(self._schedule.steps, self._schedule.done_after, strict=True):
                if isinstance(step, HostOperator):
                    tensors.update(self._run_on_host(step, tensors))
                else:
                    for name, value in self._run_kernel(step, tensors).items():
                        tensors[step.name, name] = value
                        if observe is not None:
                            observe(name, value)
                for produced in done:
                    tensors.pop(produced, None)
            outputs = {value.name: self._output(value, tensors) for value in self.plan.outputs}
        written = {state.output for state in self.plan.states}
        self._states.keep(
            {
                name: tensors[kernel, name]
                for name, kernel in self._schedule.writers.items()
                if name in written
            }
        )
        return outputs

    @property
    def states(self) -> dict[str, Array]:
        """What stays on the wafer, as the last run left it, by the name of the input that it is."""
        return self._states.values()

    def reset(self) -> None:
        """Forget all states: they are zeros again."""
        self._states.reset()

    def _run_on_host(
        self, operator: HostOperator, tensors: Mapping[tuple[str, str], Array]
    ) -> dict[tuple[str, str], Array]:
        """What the operator gives, by what it is held under."""
        operands = {name: self._on_host(name, tensors) for name in operator.inputs}
        with _executing("host operator", f"host operator {operator.name} ({operator.operator})"):
            results = self._model.run_node(operator.name, operands)
        return {(HOST, name): value for name, value in results.items()}

    def _on_host(self, name: str, tensors: Mapping[tuple[str, str], Array]) -> Array:
        """A tensor as the host has it: its own, a weight, or brought whole by a link."""
        if (HOST, name) in tensors:
            return tensors[HOST, name]
        link = self._schedule.outgoing.get(name)
        if link is None:
            return self._model.constant(name)
        with _executing("link", f"link {link.name}"):
            return self._brought(link, self._model.value_shape(name), tensors)

    def _run_kernel(self, kernel: Kernel, tensors: Mapping[tuple[str, str], Array]) -> dict[str, Array]:
        with _executing("kernel", f"kernel {kernel.name} of kind {kernel.kind}"):
            _check_blocks(kernel)
            blocks = {item.role: self._input_blocks(kernel, item, tensors) for item in kernel.inputs}
            if kernel.kind == "unsplit":
                return run_unsplit(kernel, blocks, self._model)
            results = self._compute(kernel, blocks)
            return {
                made.tensor: gather(result, made.sharding, kernel.mesh)
                for made, result in zip(kernel.outputs, results, strict=True)
            }

    def _compute(self, kernel: Kernel, blocks: Mapping[str, Array]) -> tuple[Array, ...]:
        """Every core's blocks of the kernel's outputs, in their order."""
        results = self._own_results(kernel, blocks)
        if not kernel.chain:
            return results
        values = _at_root(kernel, blocks) | dict(zip((RESULT,), results, strict=False))
        if self._ordered:
            return (apply_chain_in_order(kernel.chain, values), *results[1:])
        return (apply_chain(kernel.chain, values, self._model.sessions), *results[1:])

    def _own_results(self, kernel: Kernel, blocks: Mapping[str, Array]) -> tuple[Array, ...]:
        """What the kernel's own operator gives; nothing where a chain stands alone."""
        if kernel.kind == "elementwise":
            return ()
        if self._ordered:
            return self._in_order(kernel, blocks)
        if kernel.kind == "batched":
            return run_batched(kernel, blocks, self._model)
        program = program_named(kernel.kind, f"kernel {kernel.name}")
        if program is None:
            raise KeyError(kernel.kind)
        with blamed(kernel.kind, RUNTIME, f"kernel {kernel.name}"):
            results = program.compute(kernel, blocks)
        return results if isinstance(results, tuple) else (results,)

    def _in_order(self, kernel: Kernel, blocks: Mapping[str, Array]) -> tuple[Array, ...]:
        rotation = rotation_of(kernel, self._model)
        if rotation is not None:
            return (rotate_blocks(kernel, blocks, rotation),)
        results = ORDERED_PROGRAMS[kernel.kind](kernel, blocks)
        return results if isinstance(results, tuple) else (results,)

    def _input_blocks(
        self, kernel: Kernel, item: KernelInput, tensors: Mapping[tuple[str, str], Array]
    ) -> Array:
        fill = block_fill(kernel, item)
        if item.constant:
            held = self._shared.find(kernel.name, item)
            tensor = self._model.constant(item.tensor) if held is None else held
            return scatter(_typed(tensor, item), item.sharding, kernel.mesh, fill)
        if item.state:
            return scatter(_typed(tensors[HOST, item.tensor], item), item.sharding, kernel.mesh, fill)
        link = self._schedule.incoming[kernel.name, item.role]
        tensor = _typed(self._source(link, tensors), item)
        return deliver(tensor, link.sharding, item.sharding, kernel.mesh, fill)

    def _source(self, link: Link, tensors: Mapping[tuple[str, str], Array]) -> Array:
        return tensors[link.source, link.tensor]

    def _brought(self, link: Link, shape: tuple[int, ...], tensors: Mapping[tuple[str, str], Array]) -> Array:
        needed = Sharding(tuple(whole(extent) for extent in shape))
        return np.array(deliver(self._source(link, tensors), link.sharding, needed, _NO_MESH, 0))

    def _output(self, value: Value, tensors: Mapping[tuple[str, str], Array]) -> Array:
        link = self._schedule.outgoing.get(value.name)
        if link is None and value.name in self._schedule.writers:
            written = tensors[self._schedule.writers[value.name], value.name]
            return np.array(written).reshape(value.extents or ())
        if link is None:
            found = self._on_host(value.name, tensors)
            return np.array(found) if isinstance(found, np.ndarray) else found
        with _executing("link", f"link {link.name}"):
            if value.extents is None:
                raise ValueError(f"{value.name} comes from a kernel and has no shape")
            return self._brought(link, value.extents, tensors)


@contextmanager
def _executing(record: str, where: str) -> Iterator[None]:
    """What a contradiction in a record raises becomes an error that names the record."""
    try:
        yield
    except _RECORD_ERRORS as error:
        raise WsecError(
            code="WSEC563",
            what=f"the record of a {record} cannot be executed",
            where=where,
            expected="arguments and shardings as docs/kernels.md describes them",
            found=f"{type(error).__name__}: {error}",
            hint="`wsec check-plan` lists what is wrong with the plan; compile the model again",
        ) from error


def _check_blocks(kernel: Kernel) -> None:
    """Refuses blocks that reach far beyond anything the kernel works on, before memory is asked for.

    Halos, padding and the ragged ends of blocks stay well below the bound.
    """
    shardings = [item.sharding for item in kernel.inputs] + [item.sharding for item in kernel.outputs]
    most = _SLACK * max((math.prod(sharding.shape) for sharding in shardings), default=0) + _SMALL
    for sharding in shardings:
        reached = math.prod(reach(dimension, kernel.mesh) for dimension in sharding.dimensions)
        if reached > most:
            raise ValueError(
                f"blocks of {sharding.block_shape} reach over {reached:,} elements of {sharding.shape}"
            )


def _at_root(kernel: Kernel, blocks: Mapping[str, Array]) -> dict[str, Array]:
    """The blocks that the chain sees: those of the cores where the result lies."""
    root = [kernel.mesh.index(name) for name in kernel.outputs[0].sharding.root]
    section = tuple(slice(1) if axis in root else slice(None) for axis in range(len(kernel.mesh.axes)))
    return {role: value[section] for role, value in blocks.items()}


def block_fill(kernel: Kernel, item: KernelInput) -> object:
    """What stands outside the extents; operands of the chain get 1, which no operator fails on."""
    program = program_named(kernel.kind, f"kernel {kernel.name}")
    if program is None or item.role[:1] == "e":
        return 1 if kernel.kind == "elementwise" or item.role[:1] == "e" else 0
    return program.fill(kernel, item.role, element_type(item.dtype))


def _typed(tensor: Array, item: KernelInput) -> Array:
    wanted: DType = element_type(item.dtype)
    if tensor.dtype != wanted:
        raise TypeError(f"input {item.role} is {tensor.dtype}, the record says {wanted}")
    return tensor
