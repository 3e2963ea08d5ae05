"""Block programs by kind: wsec's own, and those that installed packages bring."""

from __future__ import annotations

from wsec.compiler.kernel_packages import RUNTIME, entry_of, is_custom_kind
from wsec.runtime.kernels import BLOCK_PROGRAMS, BlockProgram


def program_named(kind: str, where: str) -> BlockProgram | None:
    """The program of a kind; None for those without one and for unknown ones of wsec.

    Raises:
        WsecError: WSEC570 its package is not installed, WSEC421 the package has no runtime part.
    """
    if not is_custom_kind(kind):
        return BLOCK_PROGRAMS.get(kind)
    return entry_of(kind, RUNTIME, BlockProgram, where)
