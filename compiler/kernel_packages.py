"""Packages of kernels: three tables each, in the entry-point group `wsec.kernels`, under the names of the parts.

* `compiler`: what makes loop nests (`wsec.compiler.kernels.registry.KernelKind`),
* `runtime`: kind -> what a block computes (`wsec.runtime.kernels.BlockProgram`),
* `checker`: kind -> what a node asks of a kernel (`wsec.compiler.plan_checker.kinds.registry.Kind`).

wsec registers its own in the same way. Kinds of other packages have the name of their importable package and a full stop
in front: that is how a plan says where they come from. This module knows names only; each part of wsec loads its table
and nothing of the others, so whoever judges a plan still shares no code with whoever made it.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from wsec.compiler.errors import WsecError
from wsec.compiler.extensions import (
    KERNELS_GROUP,
    OWN_PACKAGE,
    LoadError,
    code_lines,
    extensions,
    load_attribute,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

COMPILER, RUNTIME, CHECKER = "compiler", "runtime", "checker"
PARTS = (COMPILER, RUNTIME, CHECKER)

Entry = TypeVar("Entry")


@dataclass(frozen=True, slots=True)
class KernelPackage:
    """A distribution that brings kernels.

    Attributes:
        name: Of the distribution.
        version: Of it.
        namespace: What its kinds begin with: the importable package that holds its tables.
        tables: Part -> `package.module:attribute`.
    """

    name: str
    version: str
    namespace: str
    tables: Mapping[str, str]

    @property
    def origin(self) -> str:
        """Package and version, for people."""
        return f"{self.name} {self.version}"


def kernel_packages() -> tuple[KernelPackage, ...]:
    """All that are installed: wsec's own first, then by name."""
    found: dict[str, KernelPackage] = {}
    for item in extensions(KERNELS_GROUP):
        known = found.get(item.package)
        tables = {} if known is None else known.tables
        found[item.package] = KernelPackage(
            item.package, item.version, item.namespace, {**tables, item.name: item.value}
        )
    return tuple(found.values())


def custom_packages() -> tuple[KernelPackage, ...]:
    """Those that are not wsec's own."""
    return tuple(package for package in kernel_packages() if package.name != OWN_PACKAGE)


def is_custom_kind(kind: str) -> bool:
    """Whether a kind of kernel is of another package, by its name alone."""
    return "." in kind


def package_of_kind(kind: str, where: str) -> KernelPackage:
    """The package that a custom kind comes from.

    Raises:
        WsecError: WSEC570 it is not installed.
    """
    namespace = kind.partition(".")[0]
    found = next((package for package in custom_packages() if package.namespace == namespace), None)
    if found is None:
        raise WsecError(
            "WSEC570",
            "the plan needs a package of kernels that is not installed",
            where=where,
            expected=f"an installed package that brings the kernels of {namespace!r}",
            found=", ".join(package.origin for package in custom_packages()) or "no package of kernels",
            hint=f"install the package that holds {namespace!r}; `wsec kernels` lists what is installed",
        )
    return found


def table_of(package: KernelPackage, part: str) -> object:
    """The table of one part.

    Raises:
        WsecError: WSEC421 the package has none, or it cannot be imported.
    """
    if part not in package.tables:
        raise broken_package(
            package, part, "no such entry point", f"its kernels cannot be used without {part}"
        )
    try:
        return load_attribute(package.tables[part])
    except LoadError as error:
        raise broken_package(
            package, part, str(error), f"install what {package.name} needs, or mend it"
        ) from error


def entry_of(kind: str, part: str, expected: type[Entry], where: str) -> Entry:
    """What the table of a part says of a custom kind.

    Raises:
        WsecError: WSEC570 the package is not installed, WSEC421 the part is missing or says nothing of the kind.
    """
    package = package_of_kind(kind, where)
    table = table_of(package, part)
    entry = table.get(kind) if isinstance(table, dict) else None
    if not isinstance(entry, expected):
        found = f"{entry!r} for {kind}" if isinstance(table, dict) else repr(table)
        hint = f"a kernel needs all of {', '.join(PARTS)}: without one it cannot be used"
        raise broken_package(package, part, found, hint, f"a dict with {kind} and its {expected.__name__}")
    return entry


def broken_package(package: KernelPackage, part: str, found: str, hint: str, expected: str = "") -> WsecError:
    """A package of kernels whose tables cannot be used: WSEC421."""
    return WsecError(
        "WSEC421",
        f"the package of kernels {package.name} cannot be used",
        where=f"{package.origin}, entry point {part!r} of {KERNELS_GROUP}: {package.tables.get(part, 'missing')}",
        expected=expected or f"a table for each of {', '.join(PARTS)}",
        found=found,
        hint=hint,
    )


@contextmanager
def blamed(kind: str, part: str, where: str, passing: tuple[type[Exception], ...] = ()) -> Iterator[None]:
    """Whatever the code of a custom kind raises in this block becomes WSEC423, which names it; `passing` passes."""
    try:
        yield
    except Exception as error:
        if not is_custom_kind(kind) or isinstance(error, (WsecError, *passing)):
            raise
        lines = [where, *code_lines(error.__traceback__)]
        found = f"{type(error).__name__}: {error}".removesuffix(": ")
        expected = "what docs/writing-kernels.md asks of that part"
        raise kernel_failed(kind, part, "\n".join(lines), expected, found) from error


def kernel_failed(kind: str, part: str, where: str, expected: str, found: str) -> WsecError:
    """A custom kernel that raised, or that the plan checker refuses: WSEC423."""
    return WsecError(
        "WSEC423",
        f"the kernel {kind} failed in its {part} part",
        where=where,
        expected=expected,
        found=found,
        hint=f"mend {kind.partition('.')[0]}, or uninstall it",
    )


def versions_of_kinds(kinds: Iterable[str]) -> dict[str, str]:
    """Package -> version, for those that bring any of these kinds; none for wsec's own."""
    packages = [package_of_kind(kind, kind) for kind in kinds if is_custom_kind(kind)]
    return {package.name: package.version for package in packages}
