"""Kinds of kernels that other packages bring, checked before the first of them is used."""

from __future__ import annotations

import sys
from functools import cache
from typing import TYPE_CHECKING

from wsec.compiler.errors import WsecError
from wsec.compiler.kernel_packages import (
    CHECKER,
    COMPILER,
    RUNTIME,
    blamed,
    broken_package,
    custom_packages,
    table_of,
)
from wsec.compiler.kernels.kind import KernelKind
from wsec.compiler.kernels.loop_nest import LoopNest
from wsec.compiler.kernels.operator_view import Unsplittable
from wsec.compiler.operators import ELEMENTWISE

if TYPE_CHECKING:
    from wsec.compiler.kernel_packages import KernelPackage
    from wsec.compiler.kernels.operator_view import OperatorView


def custom_kinds() -> dict[str, KernelKind]:
    """Operator, with its domain -> the kind of another package that computes it.

    Raises:
        WsecError: WSEC421 a package cannot be used, WSEC422 two bring a kernel for the same operator.
    """
    return _custom_kinds(tuple(sys.path))


@cache
def _custom_kinds(_path: tuple[str, ...]) -> dict[str, KernelKind]:
    found: dict[str, tuple[KernelPackage, KernelKind]] = {}
    for package in custom_packages():
        for kind in _kinds_of(package):
            for operator in kind.operators:
                other, _ = found.setdefault(operator, (package, kind))
                if other is not package:
                    raise _claimed_twice(operator, other, package)
    return {operator: kind for operator, (_, kind) in found.items()}


def make_custom(kind: KernelKind, operator: OperatorView) -> LoopNest:
    """The loop nest that a custom kind makes of a node.

    Raises:
        Unsplittable: The kind cannot cut this node.
        WsecError: WSEC423 its maker fails, or gives something else.
    """
    where = f"node {operator.name!r} ({operator.qualified_name})"
    with blamed(kind.name, COMPILER, where, (Unsplittable,)):
        nest: object = kind.maker(operator)
        if not isinstance(nest, LoopNest) or (nest.kind, nest.operators) != (kind.name, (operator.name,)):
            raise TypeError(
                f"the maker gave {nest!r}, not a LoopNest of kind {kind.name!r} and operators {(operator.name,)}"
            )
    return nest


def _kinds_of(package: KernelPackage) -> tuple[KernelKind, ...]:
    table = table_of(package, COMPILER)
    if not isinstance(table, tuple) or not all(isinstance(kind, KernelKind) for kind in table):
        raise broken_package(package, COMPILER, repr(table), "list the kinds", "a tuple of KernelKind")
    prefix = f"{package.namespace}."
    for kind in table:
        if not kind.name.startswith(prefix):
            hint = "a plan says by the name of a kind which package it needs"
            raise broken_package(package, COMPILER, kind.name, hint, f"kinds whose names begin with {prefix}")
        if ELEMENTWISE.intersection(kind.operators):
            names = ", ".join(sorted(ELEMENTWISE.intersection(kind.operators)))
            hint = "every kernel computes these in its chain"
            raise broken_package(package, COMPILER, names, hint, "operators that are not element-wise")
        for part in (RUNTIME, CHECKER):
            other = table_of(package, part)
            if not isinstance(other, dict) or kind.name not in other:
                hint = f"a kernel without its {part} part cannot be used"
                raise broken_package(package, part, "no such entry", hint, f"an entry for {kind.name}")
    return table


def _claimed_twice(operator: str, first: KernelPackage, second: KernelPackage) -> WsecError:
    return WsecError(
        "WSEC422",
        f"two packages bring a kernel for {operator}",
        where=f"{first.origin}\n{second.origin}",
        expected="one package for each operator",
        found=f"{first.name} and {second.name}",
        hint="uninstall one of the two",
    )
