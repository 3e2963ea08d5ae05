"""Shardings and meshes by themselves: whether they mean anything, and whether they fit their tensors."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from wsec.compiler.plan_checker.findings import SHARDING, Finding, words
from wsec.compiler.plan_checker.positions import axis_sizes, parts_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wsec.compiler.plan import Kernel, KernelInput, KernelOutput
    from wsec.compiler.plan_checker.model_facts import ModelFacts
    from wsec.compiler.sharding import Mesh, Sharding


def check_kernel_shardings(kernel: Kernel, model: ModelFacts | None) -> list[Finding]:
    """Findings on a kernel's mesh, split, inputs and outputs."""
    where = f"kernel {kernel.name}"
    findings = list(_check_mesh(kernel, where))
    if findings:
        return findings
    roles = [entry.role for entry in kernel.inputs]
    if len(set(roles)) < len(roles):
        findings.append(
            Finding(SHARDING, "roles of a kernel are unique", where, "each role once", words(roles))
        )
    for entry in kernel.inputs:
        place = f"{where}, input {entry.role}"
        of_sharding = list(check_sharding(entry.sharding, kernel.mesh, place))
        findings += [*of_sharding, *_check_slots(entry, place), *_check_tensor(entry, model, place)]
        findings += _check_constant(entry, model, place)
    for output in kernel.outputs:
        place = f"{where}, output {output.tensor}"
        of_sharding = list(check_sharding(output.sharding, kernel.mesh, place))
        findings += [*of_sharding, *_check_slots(output, place), *_check_tensor(output, model, place)]
        if not of_sharding:
            findings += _check_plain(output, kernel.mesh, place)
    return findings


def check_sharding(sharding: Sharding, mesh: Mesh, where: str) -> Iterator[Finding]:
    """Findings on one sharding: its dimensions, and the axes it names."""
    sizes = axis_sizes(mesh)
    for position, dimension in enumerate(sharding.dimensions):
        if dimension.divisor < 1 or dimension.extent < 0 or dimension.block < min(1, dimension.extent):
            found = f"extent {dimension.extent}, block {dimension.block}, divisor {dimension.divisor}"
            rule = "blocks of a dimension hold elements"
            yield Finding(SHARDING, rule, f"{where}, dimension {position}", "positive numbers", found)
    cutting = [axis for dimension in sharding.dimensions for axis in dimension.axes]
    named = [*cutting, *sharding.root, *sharding.partial]
    unknown = [axis for axis in named if axis not in sizes]
    if unknown:
        rule = "a sharding names axes of its mesh"
        yield Finding(SHARDING, rule, where, f"axes among {words(list(sizes))}", words(unknown))
    if len(set(named)) < len(named):
        rule = "an axis cuts one dimension, or is root, or partial"
        yield Finding(SHARDING, rule, where, "each axis once", words(named))
    if sharding.partial:
        rule = "nothing is left partial"
        yield Finding(SHARDING, rule, where, "no partial axes", words(sharding.partial))


def _check_mesh(kernel: Kernel, where: str) -> Iterator[Finding]:
    names = [axis.name for axis in kernel.mesh.axes]
    if len(set(names)) < len(names):
        yield Finding(SHARDING, "axes of a mesh are unique", where, "each name once", words(names))
    if any(axis.size < 1 for axis in kernel.mesh.axes):
        sizes = words([f"{axis.name}={axis.size}" for axis in kernel.mesh.axes])
        yield Finding(SHARDING, "axes of a mesh have cores", where, "sizes of at least 1", sizes)
    turns = [
        f"{loop}={turns}" for loop, turns in kernel.turns.items() if turns < 1 or loop not in kernel.split
    ]
    if turns:
        rule = "turns are taken over loops of the kernel"
        yield Finding(SHARDING, rule, where, "loops of the split, at least 1 turn each", words(turns))
    cut = {axis.name: axis.size for axis in kernel.mesh.axes if axis.size > 1}
    split = {name: parts for name, parts in kernel.split.items() if parts != 1}
    if cut != split:
        rule = "the mesh has an axis for each loop that is cut"
        yield Finding(SHARDING, rule, where, _shown(split), _shown(cut))


def _shown(sizes: dict[str, int]) -> str:
    return words([f"{name}={sizes[name]}" for name in sorted(sizes)])


def _check_tensor(
    entry: KernelInput | KernelOutput, model: ModelFacts | None, where: str
) -> Iterator[Finding]:
    if model is None:
        return
    tensor = model.tensors.get(entry.tensor)
    if tensor is None:
        rule = "a tensor is one of the lowered model, with a shape"
        yield Finding(SHARDING, rule, where, "a tensor of that name", entry.tensor)
        return
    if math.prod(entry.sharding.shape) != tensor.elements:
        rule = "a view holds as many elements as its tensor"
        yield Finding(
            SHARDING, rule, where, f"{tensor.elements} elements", f"a view {list(entry.sharding.shape)}"
        )
    if entry.dtype != tensor.dtype:
        yield Finding(SHARDING, "the element type is the model's", where, tensor.dtype, entry.dtype)


def _check_slots(entry: KernelInput | KernelOutput, where: str) -> Iterator[Finding]:
    if entry.slots < 1:
        rule = "a tensor has room for a sample"
        yield Finding(SHARDING, rule, where, "at least 1 slot", str(entry.slots))


def _check_constant(entry: KernelInput, model: ModelFacts | None, where: str) -> Iterator[Finding]:
    if model is None or entry.tensor not in model.tensors:
        return
    if entry.constant == (entry.tensor in model.initializers):
        return
    kinds = ("an activation", "a weight")
    rule = "weights are the initializers of the model"
    found = f"{entry.tensor} as {kinds[entry.constant]}"
    yield Finding(SHARDING, rule, where, kinds[not entry.constant], found)


def _check_plain(output: KernelOutput, mesh: Mesh, where: str) -> Iterator[Finding]:
    for position, dimension in enumerate(output.sharding.dimensions):
        parts = parts_of(dimension, mesh)
        if not dimension.plain or parts * dimension.block < dimension.extent:
            rule = "blocks of an output cover it without overlap"
            found = f"{parts} blocks of {dimension.block}, step {dimension.step}, offset {dimension.offset}"
            expected = f"plain blocks that hold {dimension.extent} elements"
            yield Finding(SHARDING, rule, f"{where}, dimension {position}", expected, found)
