"""Descriptions of machines; docs/targets.md describes every key."""

from __future__ import annotations

from wsec.compiler.target import (
    Core,
    ExternalMemory,
    Fabric,
    Grid,
    Host,
    Target,
    WaferLink,
    list_targets,
    load_target,
    target_from_mapping,
)

__all__ = [
    "Core",
    "ExternalMemory",
    "Fabric",
    "Grid",
    "Host",
    "Target",
    "WaferLink",
    "list_targets",
    "load_target",
    "target_from_mapping",
]
