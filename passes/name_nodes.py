"""Gives every node a unique name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from wsec.compiler.importer.naming import name_nodes
from wsec.passes.base import Pass, PassResult

if TYPE_CHECKING:
    import onnx_ir as ir


@dataclass(frozen=True)
class NameNodes(Pass):
    """Gives every node a unique, non-empty name and keeps those that are."""

    name: ClassVar[str] = "name-nodes"

    def run(self, model: ir.Model) -> PassResult:
        """Name the nodes of all graphs."""
        return PassResult(modified=name_nodes(model))
