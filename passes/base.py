"""What a pass is: a frozen dataclass whose fields are its options and whose `run` changes a model in place.

The first paragraph of the docstring of a pass is what `wsec passes` prints about it. Example:

    @dataclass(frozen=True)
    class ReluToClip(Pass):
        '''Replaces Relu by Clip from zero.'''

        name: ClassVar[str] = "relu-to-clip"
        limit: int = 8

        def run(self, model: ir.Model) -> PassResult: ...
"""

from __future__ import annotations

import abc
import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    import onnx_ir as ir


@dataclass(frozen=True, slots=True)
class PassResult:
    """Whether a pass changed anything; a pass that says it did not must have left the model as it was."""

    modified: bool


@dataclass(frozen=True)
class Pass(abc.ABC):
    """Base class of all passes.

    Attributes:
        name: In kebab case; what the command line and messages call the pass.
        rewrites: Operators of which the pass leaves none, in their usual form, named `domain.Name`, those of `ai.onnx`
            by the name alone. docs/operators.md is made of it; nothing else depends on it.
    """

    name: ClassVar[str]
    rewrites: ClassVar[tuple[str, ...]] = ()

    @abc.abstractmethod
    def run(self, model: ir.Model) -> PassResult:
        """Change `model` in place.

        After it every value has one definition that precedes its uses, and inputs and outputs of the model
        keep names, types and order. New values should carry their shape and type; the manager infers those that
        do not.
        """

    def __str__(self) -> str:
        """The pass as the command line takes it: its name, and the options that are not at their default."""
        options = [
            f"{field.name.replace('_', '-')}={_plain(getattr(self, field.name))}"
            for field in dataclasses.fields(self)
            if getattr(self, field.name) != field.default
        ]
        return self.name + (f"{{{' '.join(options)}}}" if options else "")


def _plain(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
