"""A pass made of a function: its keyword parameters are the options of the pass."""

from __future__ import annotations

import dataclasses
import inspect
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, cast

from wsec.passes.base import Pass, PassResult

if TYPE_CHECKING:
    from collections.abc import Callable

    import onnx_ir as ir

Options = ParamSpec("Options")


def function_pass(
    name: str,
) -> Callable[[Callable[Concatenate[ir.Model, Options], bool]], Callable[Options, Pass]]:
    """Turns a function that changes a model in place, and says whether it did, into a pass.

    What the name then stands for is a class: call it with options to get a pass. The parameters behind the model
    are its fields, so the command line knows them: `drop-noise{limit=3}`. Example:

        @function_pass("drop-noise")
        def drop_noise(model: ir.Model, limit: int = 8) -> bool:
            '''Drops nodes that only add noise.'''
            ...

        wsec.compile("model.onnx", passes=[drop_noise(limit=3)])

    Args:
        name: In kebab case; what the command line and messages call the pass.
    """

    def decorate(function: Callable[Concatenate[ir.Model, Options], bool]) -> Callable[Options, Pass]:
        options = list(inspect.signature(function).parameters.values())[1:]

        def run(self: Pass, model: ir.Model) -> PassResult:
            values: dict[str, Any] = {option.name: getattr(self, option.name) for option in options}
            return PassResult(modified=cast("Callable[..., bool]", function)(model, **values))

        made = dataclasses.make_dataclass(
            function.__name__,
            [_field(option) for option in options],
            bases=(Pass,),
            namespace={"name": name, "run": run, "__doc__": function.__doc__},
            frozen=True,
        )
        made.__module__ = function.__module__
        made.__qualname__ = function.__qualname__
        return cast("Callable[Options, Pass]", made)

    return decorate


def _field(option: inspect.Parameter) -> tuple[str, Any, Any]:
    """Name, declared type and default of an option; one without a default must be given."""
    default = (
        dataclasses.field() if option.default is option.empty else dataclasses.field(default=option.default)
    )
    return option.name, option.annotation, default
