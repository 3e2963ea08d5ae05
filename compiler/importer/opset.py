"""Brings a model to one fixed ai.onnx opset, so that later stages meet one signature of each operator.

A table says for each operator and each opset that changed it how to bring a node over: most changes only widened
types. onnx.version_converter is not used because it deletes node metadata. A model newer than `TARGET_OPSET` keeps
its own opset.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import onnx

from wsec.compiler.errors import WsecError
from wsec.compiler.importer.opset_adapters import ADAPTERS, COMPATIBLE, READS_SHAPES, NotAdaptableError
from wsec.compiler.walks import all_nodes

if TYPE_CHECKING:
    from collections.abc import Iterable

    import onnx_ir as ir

TARGET_OPSET = 23  # the first with RMSNormalization and RotaryEmbedding
HELD_BACK_OPSET = 21
HELD_BACK = frozenset({"GlobalLpPool", "MaxRoiPool", "RoiAlign"})
"""Operators of which onnxruntime has no version of opset 22; a model that holds one stays at `HELD_BACK_OPSET`."""

_NODE_METADATA_IR_VERSION = 10


def normalise_opset(model: ir.Model) -> bool:
    """Rewrite nodes in place until all follow one ai.onnx opset; says whether any node was rewritten.

    Raises:
        WsecError: WSEC114, which lists every operator that cannot be brought over.
    """
    scopes = _scopes(model)
    versions = [scope.opset_imports[""] for scope in scopes if "" in scope.opset_imports]
    held_back = any(
        node.op_type in HELD_BACK for scope in scopes for node in all_nodes(scope) if not node.domain
    )
    target = max([HELD_BACK_OPSET if held_back else TARGET_OPSET, *versions])
    changed = False
    problems: list[str] = []
    for scope in scopes:
        start = scope.opset_imports.get("", target)
        if start < target:
            changed |= _adapt_all(list(all_nodes(scope)), start, target, problems)
        scope.opset_imports[""] = target
    if problems:
        raise WsecError(
            "WSEC114",
            f"{len(problems)} operator{'s' * (len(problems) != 1)} cannot be brought to opset {target}",
            where="\n".join(problems),
            expected=f"operators that mean the same in ai.onnx {target}",
            found=f"ai.onnx {', '.join(str(version) for version in sorted(set(versions)))}",
            hint=f"export the model again with opset {target}",
        )
    model.ir_version = max(model.ir_version, _NODE_METADATA_IR_VERSION)
    return changed


def adaptation_reads_shapes(model: ir.Model) -> bool:
    """Whether `normalise_opset` has to know shapes or element types; of most models it has not."""
    oldest = min(
        (scope.opset_imports.get("", TARGET_OPSET) for scope in _scopes(model)), default=TARGET_OPSET
    )
    readers = {op_type for op_type, step in READS_SHAPES if oldest < step}
    return any(
        node.op_type in readers for scope in _scopes(model) for node in all_nodes(scope) if not node.domain
    )


def _scopes(model: ir.Model) -> list[ir.Graph | ir.Function]:
    """What has opsets of its own; `ai.onnx` is there under its other name, the empty one."""
    scopes: list[ir.Graph | ir.Function] = [model.graph, *model.functions.values()]
    for scope in scopes:
        if "ai.onnx" in scope.opset_imports:
            scope.opset_imports.setdefault("", scope.opset_imports.pop("ai.onnx"))
    return scopes


def _adapt_all(nodes: Iterable[ir.Node], start: int, target: int, problems: list[str]) -> bool:
    changed = False
    for node in nodes:
        if node.domain != "":
            continue
        try:
            changed |= _adapt(node, start, target)
        except NotAdaptableError as error:
            problems.append(f"{node.name or node.outputs[0].name} ({node.op_type}): {error}")
    return changed


def _adapt(node: ir.Node, start: int, target: int) -> bool:
    changed = False
    version = start
    while (step := next((s for s in _versions(node.op_type) if version < s <= target), None)) is not None:
        adapter = ADAPTERS.get((node.op_type, step))
        if adapter is not None:
            adapter(node)
            changed = True
        elif step not in COMPATIBLE.get(node.op_type, ()):
            raise NotAdaptableError(f"changed in opset {step}")
        version = step
    return changed


@cache
def _versions(op_type: str) -> tuple[int, ...]:
    """The opsets that introduced or changed an operator."""
    schemas = onnx.defs.get_all_schemas_with_history()
    return tuple(sorted(s.since_version for s in schemas if s.name == op_type and s.domain == ""))
