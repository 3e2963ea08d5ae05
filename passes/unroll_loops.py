"""Replaces Loop and Scan of known length by their steps, one behind the other.

On a wafer each step becomes a stage of the pipeline with cores and weights of its own: samples follow each other
through the steps without waiting for the last one. The steps share one initializer in the model. What is not replaced
keeps the reason as its metadata `wsec.unsplit`, which the notes of a plan show.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import onnx_ir as ir

from wsec.compiler.importer.shapes import static_shape
from wsec.compiler.operators import UNSPLIT_KEY
from wsec.compiler.walks import all_nodes
from wsec.passes.base import Pass, PassResult
from wsec.passes.bodies import BodyInliner, bodies_of, int64
from wsec.passes.fold_constants import FoldConstants
from wsec.passes.trip_count import UnknownStepsError, depends_on_data, trip_count

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


@dataclass(frozen=True)
class UnrollLoops(Pass):
    """Replaces Loop and Scan of known length by their steps, and folds what the number of the step decides.

    Attributes:
        limit: Operators that may be made of loops in one run; a loop that would exceed it stays whole.
    """

    name: ClassVar[str] = "unroll-loops"
    rewrites: ClassVar[tuple[str, ...]] = ("Loop", "Scan")
    limit: int = 4096

    def run(self, model: ir.Model) -> PassResult:
        """Unroll loops of the main graph and of branches, from the outside in, until none of known length is left."""
        left = self.limit
        modified = False
        while True:
            inliner = BodyInliner(model)
            before = left
            for node in list(_loops(model.graph)):
                try:
                    left -= self._unroll(inliner, node, model, left)
                except UnknownStepsError as reason:
                    modified |= node.metadata_props.get(UNSPLIT_KEY) != str(reason)
                    node.metadata_props[UNSPLIT_KEY] = str(reason)
            modified |= inliner.modified
            if left == before and not inliner.modified:
                return PassResult(modified=modified)
            FoldConstants().run(model)

    def _unroll(self, inliner: BodyInliner, node: ir.Node, model: ir.Model, left: int) -> int:
        """Replace one loop; returns how many operators its steps have.

        Raises:
            UnknownStepsError: It stays; the message says why.
        """
        body = node.attributes["body"].as_graph()
        if why := depends_on_data(node, body) or _not_tensors(body):
            raise UnknownStepsError(why)
        size = max(1, sum(1 for _ in all_nodes(body)))
        most = self.limit // size
        steps = trip_count(node, model, most) if node.op_type == "Loop" else _length(node)
        refusal = f"its steps of {size:,} operators each are more than the {self.limit:,} operators that unroll-loops makes"
        if steps > most or node.metadata_props.get(UNSPLIT_KEY) == refusal or steps * size > left:
            raise UnknownStepsError(refusal)
        (_unroll_loop if node.op_type == "Loop" else _unroll_scan)(inliner, node, body, steps)
        return steps * size


def _loops(graph: ir.Graph) -> Iterator[ir.Node]:
    """Loops of a graph, and of the branches of its conditionals; inner loops come up when their outer one is gone."""
    for node in graph:
        if node.domain == "" and node.op_type in {"Loop", "Scan"}:
            yield node
        elif node.domain == "" and node.op_type == "If":
            for branch in bodies_of(node):
                yield from _loops(branch)


def _not_tensors(body: ir.Graph) -> str:
    values = [*body.inputs, *(value for node in body for value in node.outputs)]
    other = [v for v in values if v.type is not None and not isinstance(v.type, ir.TensorType)]
    return f"{other[0].name} of its body is no tensor" if other else ""


def _length(scan: ir.Node) -> int:
    source, axis = scan.inputs[-1], _ints(scan, "scan_input_axes", 1)[-1]
    shape = None if source is None or source.shape is None else source.shape
    extent = None if shape is None else shape[axis]
    if not isinstance(extent, int):
        raise UnknownStepsError("the length of what it walks through is unknown")
    return extent


def _ints(node: ir.Node, name: str, count: int) -> list[int]:
    return list(node.attributes[name].as_ints()) if name in node.attributes else [0] * count


def _unroll_loop(inliner: BodyInliner, node: ir.Node, body: ir.Graph, steps: int) -> None:
    carried = [value for value in node.inputs[2:] if value is not None]
    rows: list[list[ir.Value]] = []
    _require_shapes(body.outputs[1 + len(carried) :], steps)
    going = inliner.constant(node, f"{node.name}/going", np.ones((), np.bool_))
    for step in range(steps):
        number = inliner.constant(node, f"{node.name}/{step}/number", np.asarray(step, np.int64))
        given = [number, going, *carried]
        values, _ = inliner.copy(node, body, given, f"{node.name}/{step}", shapes=False)
        carried = values[1 : 1 + len(carried)]
        rows.append(values[1 + len(carried) :])
    scanned = body.outputs[1 + len(carried) :]
    stacked = [
        _stack(inliner, node, [row[index] for row in rows], 0, value) for index, value in enumerate(scanned)
    ]
    inliner.replace(node, [*carried, *stacked])


def _unroll_scan(inliner: BodyInliner, node: ir.Node, body: ir.Graph, steps: int) -> None:
    count = node.attributes["num_scan_inputs"].as_int()
    states = [value for value in node.inputs[: len(node.inputs) - count] if value is not None]
    sources = [value for value in node.inputs[len(states) :] if value is not None]
    axes, backwards = _ints(node, "scan_input_axes", count), _ints(node, "scan_input_directions", count)
    scanned = body.outputs[len(states) :]
    _require_shapes(scanned, steps)
    rows: list[list[ir.Value]] = []
    for step in range(steps):
        stem = f"{node.name}/{step}"
        slices = [
            _slice(inliner, node, source, (axis, steps - 1 - step if back else step), f"{stem}/input")
            for source, axis, back in zip(sources, axes, backwards, strict=True)
        ]
        values, _ = inliner.copy(node, body, [*states, *slices], stem, shapes=False)
        states = values[: len(states)]
        rows.append(values[len(states) :])
    out_axes = _ints(node, "scan_output_axes", len(scanned))
    reverse = _ints(node, "scan_output_directions", len(scanned))
    stacked = [
        _stack(inliner, node, [row[i] for row in (rows[::-1] if reverse[i] else rows)], out_axes[i], value)
        for i, value in enumerate(scanned)
    ]
    inliner.replace(node, [*states, *stacked])


def _require_shapes(scanned: Sequence[ir.Value], steps: int) -> None:
    """Without a step the shape of what each step would have given has to be known."""
    for value in scanned if steps == 0 else ():
        if static_shape(value) is None or value.dtype is None:
            raise UnknownStepsError(f"it takes no step, and the shape of {value.name} is unknown")


def _slice(
    inliner: BodyInliner, node: ir.Node, source: ir.Value, position: tuple[int, int], stem: str
) -> ir.Value:
    """The part of `source` at an axis and a place along it, without that axis."""
    axis, at = position
    bounds = [
        inliner.constant(node, f"{stem}/{name}", int64(value))
        for name, value in (("start", at), ("end", at + 1), ("axis", axis))
    ]
    part = inliner.insert(node, "Slice", [source, *bounds], f"{stem}/slice", dtype=source.dtype)
    return inliner.insert(node, "Squeeze", [part, bounds[2]], f"{stem}/squeeze", dtype=source.dtype)


def _stack(
    inliner: BodyInliner, node: ir.Node, values: list[ir.Value], axis: int, element: ir.Value
) -> ir.Value:
    """The values side by side along a new axis; without any, a constant without elements."""
    stem = f"{node.name}/{element.name}"
    if not values:
        shape = list(static_shape(element) or ())
        shape.insert(axis % (len(shape) + 1), 0)
        assert element.dtype is not None  # noqa: S101 - see _require_shapes
        return inliner.constant(node, f"{stem}/none", np.zeros(shape, element.dtype.numpy()), element.dtype)
    where = inliner.constant(node, f"{stem}/axis", int64(axis))
    rows = [inliner.insert(node, "Unsqueeze", [v, where], f"{stem}/row", dtype=v.dtype) for v in values]
    return inliner.insert(node, "Concat", rows, f"{stem}/stack", {"axis": axis}, dtype=element.dtype)
