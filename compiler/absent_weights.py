"""Weights that a model declares and that nobody has given: their type and shape are known, their values are not.

A model whose file of external data does not exist is planned like any other, as no step of the compiler needs the values
of weights. What would read one is told so. The plan names the files, and what executes plans refuses it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

import onnx_ir as ir

from wsec.compiler.errors import WsecError
from wsec.compiler.walks import all_graphs

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

_NAMED = 3


class AbsentValuesError(WsecError, FileNotFoundError):
    """The values of an absent weight are asked for; the libraries that fold and infer take it for a missing file."""


class AbsentTensor(ir.ExternalTensor):
    """A weight whose file does not exist, or what is derived from one, which then has no place in the file."""

    def numpy(self) -> NoReturn:
        """Refuse.

        Raises:
            AbsentValuesError: Always, WSEC130.
        """
        raise AbsentValuesError(
            "WSEC130",
            "the values of a weight are needed to compile the model, and are not present",
            where=f"tensor {self.name!r}",
            expected=f"{self.location} beside the model",
            found="no such file",
            hint="put the weights file beside the model; only models whose structure is in the .onnx file compile without",
        )

    def tobytes(self) -> NoReturn:
        """Refuse, as `numpy` does."""
        self.numpy()

    def tofile(self, file: Any) -> NoReturn:  # noqa: ARG002 - the signature of the base
        """Refuse, as `numpy` does."""
        self.numpy()

    def __array__(self, dtype: Any = None) -> NoReturn:
        """Refuse, as `numpy` does."""
        self.numpy()


def absent(tensor: ir.ExternalTensor) -> AbsentTensor:
    """The same weight, known not to be there."""
    return AbsentTensor(
        tensor.location,
        tensor.offset,
        tensor.length,
        tensor.dtype,
        shape=ir.Shape(tensor.shape.numpy()),
        name=tensor.name or "",
        doc_string=tensor.doc_string,
        metadata_props=dict(tensor.metadata_props),
        base_dir=tensor.base_dir,
    )


def derived(
    name: str, sources: Iterable[ir.TensorProtocol], shape: Sequence[int], dtype: ir.DataType
) -> AbsentTensor | None:
    """What is computed from these constants where one of them is absent; None where all are there."""
    for source in sources:
        if isinstance(source, AbsentTensor):
            place = source.location
            return AbsentTensor(
                place, None, None, dtype, shape=ir.Shape(shape), name=name, base_dir=source.base_dir
            )
    return None


def is_absent(tensor: object) -> bool:
    """Whether this is a weight without values."""
    return isinstance(tensor, AbsentTensor)


def absent_files(model: ir.Model) -> tuple[str, ...]:
    """The files of the weights of the model that are not there, as the model names them, sorted."""
    return tuple(sorted({str(tensor.location) for tensor in _absent_tensors(model)}))


def absent_notes(model: ir.Model) -> Iterator[str]:
    """What a plan says of weights that nobody has given."""
    tensors = list(_absent_tensors(model))
    if not tensors:
        return
    files = absent_files(model)
    rest = f" and {len(files) - _NAMED} more files" if len(files) > _NAMED else ""
    amount = f"{len(tensors):,} weights of {sum(tensor.nbytes for tensor in tensors):,} bytes"
    yield (
        f"WEIGHTS NOT PRESENT: {amount} are declared in {', '.join(files[:_NAMED])}{rest}, which does not exist; passes "
        "left alone what depends on their values, and the plan can be checked and estimated but not run"
    )


def require_weights(model: ir.Model, purpose: str) -> None:
    """Refuse what needs the values of weights.

    Raises:
        WsecError: WSEC131 some are absent.
    """
    files = absent_files(model)
    if files:
        raise WsecError(
            "WSEC131",
            f"{purpose} needs the weights of the model, and they are not present",
            where=", ".join(files),
            expected="the weights file beside the model",
            found="no such file",
            hint="put the weights file beside the model, or compile without comparing numbers",
        )


def _absent_tensors(model: ir.Model) -> Iterator[AbsentTensor]:
    for graph in all_graphs(model):
        for value in graph.initializers.values():
            if isinstance(value.const_value, AbsentTensor):
                yield value.const_value
