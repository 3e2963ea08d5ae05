"""Which kernels and reshardings are equal, so that one of them is simulated for all: cycles depend on no number and no name."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from wsec.compiler.plan import ChainStep, Kernel, Link


def turn_signature(kernels: Sequence[Kernel]) -> object:
    """Equal for turns whose programs are equal."""
    return tuple(_kernel_signature(kernel) for kernel in kernels)


def _kernel_signature(kernel: Kernel) -> object:
    """The record without its names: roles stay, results of steps are numbered."""
    names = {step.output: f"step {number}" for number, step in enumerate((*kernel.body, *kernel.chain))}
    nameless = replace(
        kernel,
        name="",
        operators=(),
        arguments={},
        inputs=tuple(replace(item, tensor="") for item in kernel.inputs),
        outputs=tuple(replace(item, tensor="") for item in kernel.outputs),
        chain=tuple(_renamed(kernel.chain, names)),
        body=tuple(_renamed(kernel.body, names)),
    )
    arguments = sorted((name, _renamed_argument(value, names)) for name, value in kernel.arguments.items())
    return repr(nameless), repr(arguments)


def _renamed(steps: Iterable[ChainStep], names: dict[str, str]) -> Iterable[ChainStep]:
    for step in steps:
        inputs = tuple(names.get(name, name) for name in step.inputs)
        yield replace(step, inputs=inputs, output=names[step.output])


def _renamed_argument(value: object, names: dict[str, str]) -> object:
    if isinstance(value, tuple):
        return tuple(_renamed_argument(item, names) for item in value)
    return names.get(value, value) if isinstance(value, str) else value


def resharding_signature(link: Link, source: Kernel, target: Kernel) -> object:
    """Equal for links whose programs are equal."""
    made = next(item for item in source.outputs if item.tensor == link.tensor)
    entry = next(item for item in target.inputs if item.role == link.role)
    ends = (replace(made, tensor=""), source.mesh), (entry.sharding, target.mesh, link.role[:1] == "e")
    root = target.outputs[0].sharding.root, target.collectives
    return repr((ends, root, link.exchanges))
