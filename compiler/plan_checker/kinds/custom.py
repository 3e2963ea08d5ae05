"""Kinds by name: wsec's own, and those that installed packages bring."""

from __future__ import annotations

from wsec.compiler.kernel_packages import CHECKER, entry_of, is_custom_kind
from wsec.compiler.plan_checker.kinds.registry import KINDS, Kind


def kind_named(name: str, where: str) -> Kind | None:
    """The kind of that name; None where wsec has none.

    Raises:
        WsecError: WSEC570 its package is not installed, WSEC421 the package has no checker part.
    """
    if not is_custom_kind(name):
        return KINDS.get(name)
    return entry_of(name, CHECKER, Kind, where)
