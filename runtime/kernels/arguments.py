"""The formal arguments and shardings of a kernel's record, read with the types that docs/kernels.md gives them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wsec.compiler.plan import Kernel
    from wsec.compiler.sharding import Sharding


def integers(kernel: Kernel, name: str) -> tuple[int, ...]:
    """A list of whole numbers. Raises KeyError where it is missing and TypeError where it is something else."""
    value = kernel.arguments[name]
    if not isinstance(value, tuple):
        raise TypeError(f"argument {name} is no list: {value!r}")
    return tuple(int(item) for item in value)


def numbers(kernel: Kernel, name: str) -> tuple[float, ...]:
    """A list of numbers. Raises KeyError where it is missing and TypeError where it is something else."""
    value = kernel.arguments[name]
    if not isinstance(value, tuple):
        raise TypeError(f"argument {name} is no list: {value!r}")
    return tuple(float(item) for item in value)


def integer(kernel: Kernel, name: str) -> int:
    """A whole number. Raises KeyError where it is missing and TypeError where it is something else."""
    return int(number(kernel, name))


def number(kernel: Kernel, name: str) -> float:
    """A number. Raises KeyError where it is missing and TypeError where it is something else."""
    value = kernel.arguments[name]
    if not isinstance(value, bool | int | float):
        raise TypeError(f"argument {name} is no number: {value!r}")
    return value


def text(kernel: Kernel, name: str) -> str:
    """A word. Raises KeyError where it is missing and TypeError where it is something else."""
    value = kernel.arguments[name]
    if not isinstance(value, str):
        raise TypeError(f"argument {name} is no word: {value!r}")
    return value


def texts(kernel: Kernel, name: str) -> tuple[str, ...]:
    """A list of words. Raises KeyError where it is missing and TypeError where it is something else."""
    value = kernel.arguments[name]
    if not isinstance(value, tuple) or not all(isinstance(item, str) for item in value):
        raise TypeError(f"argument {name} is no list of words: {value!r}")
    return tuple(str(item) for item in value)


def input_sharding(kernel: Kernel, role: str) -> Sharding:
    """How the input of that role lies on the mesh. Raises KeyError where the kernel has none."""
    for item in kernel.inputs:
        if item.role == role:
            return item.sharding
    raise KeyError(role)


def output_sharding(kernel: Kernel) -> Sharding:
    """How the only output lies on the mesh."""
    return kernel.outputs[0].sharding
