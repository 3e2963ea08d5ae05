"""Finds a pass by its name and reads its options, as the command line writes them: `my-pass{limit=8 deep=true}`.

Every pass, wsec's own too, is registered in the entry-point group `wsec.passes` and imported when it is asked for. A
class can also be named directly as `package.module:Class`.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
from typing import TYPE_CHECKING, Any

from wsec.compiler.errors import WsecError
from wsec.compiler.extensions import PASSES_GROUP, LoadError, extensions, load_attribute
from wsec.passes.base import Pass

if TYPE_CHECKING:
    from wsec.compiler.extensions import Extension

_SPEC = re.compile(r"(?P<name>[\w.:-]+)\s*(?:\{(?P<options>[^{}]*)\})?")
_KEBAB_CASE = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_TRUTH = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_EXPECTED = {"bool": "true or false", "int": "a whole number", "float": "a number"}


def installed_passes() -> dict[str, Extension]:
    """All passes that are installed, by name, sorted.

    Raises:
        WsecError: WSEC403 two packages register the same name.
    """
    found: dict[str, Extension] = {}
    for extension in extensions(PASSES_GROUP):
        other = found.setdefault(extension.name, extension)
        if other is not extension:
            raise WsecError(
                "WSEC403",
                f"two packages register a pass {extension.name!r}",
                where=f"entry-point group {PASSES_GROUP}",
                expected="one pass of each name",
                found=f"{other.value} of {other.origin}\n{extension.value} of {extension.origin}",
                hint=f"uninstall one of the two, or rename the pass in {extension.package}",
            )
    return dict(sorted(found.items()))


def pass_names() -> tuple[str, ...]:
    """The names of all passes that are installed, sorted."""
    return tuple(installed_passes())


def load_pass(name: str) -> type[Pass]:
    """The class of a pass.

    Raises:
        WsecError: WSEC403 there is no pass of this name, it cannot be imported, or it is not a pass.
    """
    registered = installed_passes()
    target = registered[name].value if name in registered else name
    if ":" not in target:
        near = difflib.get_close_matches(name, registered, n=3)
        raise WsecError(
            "WSEC403",
            f"there is no pass {name!r}",
            where=name,
            expected=", ".join(registered),
            found=name,
            hint=f"perhaps {' or '.join(near)}" if near else "`wsec passes` lists them",
        )
    try:
        found = load_attribute(target)
    except LoadError as error:
        raise WsecError(
            "WSEC403",
            f"the pass {name!r} cannot be imported",
            where=target,
            expected="package.module:Class of an installed package",
            found=str(error),
            hint="install the package that holds it, put its folder on PYTHONPATH, or check the spelling",
        ) from error
    if not (isinstance(found, type) and issubclass(found, Pass)):
        raise not_a_pass(name, target, found, "name the class of the pass")
    _check_class(found, target)
    return found


def not_a_pass(name: str, where: str, found: object, hint: str) -> WsecError:
    """The refusal of something that was given as a pass."""
    return WsecError(
        "WSEC403",
        f"{name!r} is not a pass",
        where=where,
        expected="a subclass of wsec.passes.Pass",
        found=repr(found),
        hint=hint,
    )


def _check_class(found: type[Pass], target: str) -> None:
    name = getattr(found, "name", None)
    problems = []
    if not (isinstance(name, str) and _KEBAB_CASE.fullmatch(name)):
        problems.append(f"name is {name!r}")
    problems += [f"no method {method}" for method in sorted(found.__abstractmethods__)]
    if "__dataclass_params__" not in vars(found):
        problems.append("no decorator @dataclass(frozen=True)")
    if problems:
        raise WsecError(
            "WSEC403",
            f"{target!r} is not a complete pass",
            where=target,
            expected="a frozen dataclass with a name in kebab case and a method run",
            found=", ".join(problems),
            hint="docs/writing-passes.md shows a whole one",
        )


def parse_pass(spec: str) -> Pass:
    """Build the pass that `spec` describes: a name and, in braces, options separated by blanks or commas.

    Raises:
        WsecError: WSEC403 unknown pass, WSEC404 the description or an option is wrong.
    """
    match = _SPEC.fullmatch(spec.strip())
    if match is None:
        raise WsecError(
            "WSEC404",
            "this does not describe a pass",
            where=spec,
            expected="a name, with options in braces: my-pass{limit=8 deep=true}",
            found=spec,
            hint="quote the whole description for the shell",
        )
    found = load_pass(match["name"])
    fields = {field.name: field for field in dataclasses.fields(found) if field.init}
    options: dict[str, Any] = {}
    for item in re.split(r"[\s,]+", (match["options"] or "").strip()):
        if not item:
            continue
        key, _, text = item.partition("=")
        name = key.replace("-", "_")
        if name not in fields:
            raise _unknown_option(found, key, [field.replace("_", "-") for field in fields])
        options[name] = _converted(found, key, text, fields[name])
    return _built(found, options, spec)


def _built(found: type[Pass], options: dict[str, Any], spec: str) -> Pass:
    """The pass with these options; what its constructor says of them becomes the error."""
    try:
        return found(**options)
    except (TypeError, ValueError) as error:
        raise WsecError(
            "WSEC404",
            f"the pass {found.name} refuses its options",
            where=spec,
            expected="every option that has no default, with a value that the pass takes",
            found=str(error),
            hint=f"give the options in braces: {found.name}{{option=value}}",
        ) from error


def _unknown_option(found: type[Pass], key: str, known: list[str]) -> WsecError:
    near = difflib.get_close_matches(key, known, n=1)
    return WsecError(
        "WSEC404",
        f"the pass {found.name} has no option {key!r}",
        where=f"{found.name}{{{key}}}",
        expected=", ".join(known) if known else "no options",
        found=key,
        hint=f"perhaps {near[0]}" if near else "leave it out",
    )


def _converted(
    found: type[Pass], key: str, text: str, field: dataclasses.Field[Any]
) -> bool | int | float | str:
    """The value of an option by the type that its field declares; text where it is none of the plain types."""
    declared = field.type.__name__ if isinstance(field.type, type) else str(field.type)
    kind = declared.removesuffix(" | None")
    try:
        if kind == "bool":
            return _TRUTH[text.lower()] if text else True
        if kind == "int":
            return int(text)
        if kind == "float":
            return float(text)
    except (KeyError, ValueError) as error:
        raise WsecError(
            "WSEC404",
            f"the option {key!r} of the pass {found.name} has a wrong value",
            where=f"{found.name}{{{key}={text}}}",
            expected=_EXPECTED[kind],
            found=repr(text),
            hint=f"write {key}=VALUE with {_EXPECTED[kind]}",
        ) from error
    return text
