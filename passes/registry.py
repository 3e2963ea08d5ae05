"""Finds a pass by its name and reads its options, as the command line writes them: `my-pass{limit=8 deep=true}`.

Passes are imported when asked for. Other packages add theirs through the entry-point group `wsec.passes`, and a class
can be named directly as `package.module:Class`.
"""

from __future__ import annotations

import dataclasses
import difflib
import importlib
import importlib.metadata
import re
import typing
from typing import Any

from wsec.compiler.errors import WsecError
from wsec.passes.base import Pass

ENTRY_POINT_GROUP = "wsec.passes"

BUILT_IN: dict[str, str] = {
    "canonicalize-gemm": "wsec.passes.canonicalize_gemm:CanonicalizeGemm",
    "canonicalize-shapes": "wsec.passes.canonicalize_shapes:CanonicalizeShapes",
    "eliminate-common-subexpressions": "wsec.passes.common_subexpressions:EliminateCommonSubexpressions",
    "eliminate-dead-code": "wsec.passes.dead_code:EliminateDeadCode",
    "fold-batch-normalization": "wsec.passes.fold_batch_normalization:FoldBatchNormalization",
    "fold-constants": "wsec.passes.fold_constants:FoldConstants",
    "fuse-elementwise": "wsec.passes.fuse_elementwise:FuseElementwise",
    "inline-functions": "wsec.passes.inline_functions:InlineFunctions",
    "name-nodes": "wsec.passes.name_nodes:NameNodes",
    "remove-identities": "wsec.passes.remove_identities:RemoveIdentities",
}

_SPEC = re.compile(r"(?P<name>[\w.:-]+)\s*(?:\{(?P<options>[^{}]*)\})?")
_TRUTH = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def pass_names() -> tuple[str, ...]:
    """The names of all passes that are installed, sorted."""
    return tuple(sorted(BUILT_IN.keys() | _third_party().keys()))


def load_pass(name: str) -> type[Pass]:
    """The class of a pass.

    Raises:
        WsecError: WSEC403 there is no pass of this name.
    """
    target = BUILT_IN.get(name) or _third_party().get(name) or (name if ":" in name else None)
    if target is None:
        near = difflib.get_close_matches(name, pass_names(), n=3)
        raise WsecError(
            "WSEC403",
            f"there is no pass {name!r}",
            where=name,
            expected=", ".join(pass_names()),
            found=name,
            hint=f"perhaps {' or '.join(near)}" if near else "`wsec passes` lists them",
        )
    module, _, attribute = target.partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise WsecError(
            "WSEC403",
            f"the pass {name!r} cannot be imported",
            where=target,
            expected="package.module:Class of an installed package",
            found=str(error),
            hint="install the package that holds it, or check the spelling",
        ) from error
    if not (isinstance(found, type) and issubclass(found, Pass)):
        raise WsecError(
            "WSEC403",
            f"{name!r} is not a pass",
            where=target,
            expected="a subclass of wsec.passes.Pass",
            found=repr(found),
            hint="name the class of the pass",
        )
    return found


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
    fields = {field.name: field for field in dataclasses.fields(found)}
    types = typing.get_type_hints(found)
    options: dict[str, Any] = {}
    for item in re.split(r"[\s,]+", (match["options"] or "").strip()):
        if not item:
            continue
        key, _, text = item.partition("=")
        field = key.replace("-", "_")
        if field not in fields:
            raise _unknown_option(found, key, [name.replace("_", "-") for name in fields])
        options[field] = _converted(found, key, text, types[field])
    return found(**options)


def _third_party() -> dict[str, str]:
    return {point.name: point.value for point in importlib.metadata.entry_points(group=ENTRY_POINT_GROUP)}


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


def _converted(found: type[Pass], key: str, text: str, kind: Any) -> bool | int | float | str:
    try:
        if kind is bool:
            return _TRUTH[text.lower()] if text else True
        if kind is int:
            return int(text)
        if kind is float:
            return float(text)
    except (KeyError, ValueError) as error:
        expected = {bool: "true or false", int: "a whole number", float: "a number"}[kind]
        raise WsecError(
            "WSEC404",
            f"the option {key!r} of the pass {found.name} has a wrong value",
            where=f"{found.name}{{{key}={text}}}",
            expected=expected,
            found=repr(text),
            hint=f"write {key}=VALUE with {expected}",
        ) from error
    return text
