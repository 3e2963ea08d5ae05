"""The options that `wsec compile` and `wsec check` have in common: for what and how a model is compiled."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from wsec.compiler.target import parse_region

if TYPE_CHECKING:
    from collections.abc import Callable

    Decorated = TypeVar("Decorated", bound="Callable[..., Any] | click.Command")

COLLECTIVES = ("auto", "chain", "two_phase", "two_level", "tree", "star", "ring")


def dimensions(_ctx: click.Context, _parameter: click.Parameter, texts: tuple[str, ...]) -> dict[str, int]:
    """The sizes of open dimensions out of texts `NAME=SIZE`; a name may hold equal signs of its own."""
    sizes: dict[str, int] = {}
    for text in texts:
        name, _, size = text.rpartition("=")
        if not name or not re.fullmatch("0*[1-9][0-9]{0,17}", size):
            raise click.BadParameter(f"{text!r} is not NAME=SIZE with a size of at least 1, such as batch=8")
        if sizes.setdefault(name, int(size)) != int(size):
            raise click.BadParameter(f"{name} is given as {sizes[name]} and as {int(size)}")
    return sizes


def part_count(_ctx: click.Context, parameter: click.Parameter, text: str) -> int | None:
    """How many wafers or phases; None for `auto`. Numbers that no machine has are refused with their code, and the reason."""
    if text == "auto":
        return None
    if parameter.name == "wafers" and re.fullmatch("-?[0-9]{1,9}", text):
        return int(text)
    if not re.fullmatch("0*[1-9][0-9]{0,5}", text):
        raise click.BadParameter(f"{text!r} is not a number of {parameter.name} from 1 on, nor auto")
    return int(text)


def _sample_count(_ctx: click.Context, _parameter: click.Parameter, text: str) -> int | None:
    """How many samples; None for `auto`."""
    if text == "auto":
        return None
    if not re.fullmatch("0*[1-9][0-9]{0,8}", text):
        raise click.BadParameter(f"{text!r} is not a number of samples from 1 on, nor auto")
    return int(text)


def _effort(_ctx: click.Context, _parameter: click.Parameter, effort: float) -> float:
    if not (math.isfinite(effort) and effort >= 0):
        raise click.BadParameter(f"{effort} is not a number of at least 0")
    return effort


_FILE = click.Path(path_type=Path)
_OPTIONS = (
    click.option(
        "--target",
        default="wse2",
        show_default=True,
        metavar="NAME|FILE",
        help="A machine of `wsec targets`, or a TOML file.",
    ),
    click.option("--region", metavar="COLUMNSxROWS", help="Use only so many cores, such as 96x96."),
    click.option(
        "--dim",
        "dims",
        multiple=True,
        metavar="NAME=SIZE",
        callback=dimensions,
        help="Size of an open dimension; again for each.",
    ),
    click.option(
        "--effort",
        type=float,
        default=1.0,
        callback=_effort,
        show_default=True,
        help="How hard placement searches; 0 takes the first answer.",
    ),
    click.option(
        "--seed", type=click.IntRange(0, 2**31 - 1), default=0, show_default=True, help="Of that search."
    ),
    click.option(
        "--defects",
        metavar="FILE",
        type=_FILE,
        help="A TOML file of dead rows, columns and cores of the wafer, which the plan leaves out.",
    ),
    click.option(
        "--constraints",
        metavar="FILE",
        type=_FILE,
        help="A TOML file of what must hold of the placement: pins, regions, forbidden areas, neighbours, edges.",
    ),
    click.option(
        "--wafers",
        metavar="N|auto",
        default="1",
        show_default=True,
        callback=part_count,
        help="Divide the model over so many wafers; auto: over the fewest that it fits on.",
    ),
    click.option(
        "--mode",
        default="pipelined",
        show_default=True,
        metavar="NAME",
        help="pipelined: kernels work at once; sequential: they take turns, for latency; streaming: weights come in phase by phase; "
        "auto: the best that fits. Several with commas: one for each wafer.",
    ),
    click.option(
        "--objective",
        type=click.Choice(("throughput", "latency")),
        default="throughput",
        show_default=True,
        help="By which --mode auto chooses.",
    ),
    click.option(
        "--phases",
        metavar="N|auto",
        default="1",
        show_default=True,
        callback=part_count,
        help="Let so many parts of the model take turns on each wafer; auto: the number with the shortest interval of those that are tried.",
    ),
    click.option(
        "--samples-per-phase",
        metavar="N|auto",
        default="auto",
        show_default=True,
        callback=_sample_count,
        help="Samples on which a phase works before the weights of the next are loaded; auto: as many as make loads and fills a "
        "small part of a round.",
    ),
    click.option(
        "--collective",
        type=click.Choice(COLLECTIVES),
        metavar="NAME",
        default="auto",
        show_default=True,
        help=f"How cores combine partial results: {', '.join(COLLECTIVES)}.",
    ),
    click.option(
        "--fabric",
        type=click.Choice(("lanes", "full")),
        default="lanes",
        show_default=True,
        help="Follow words between kernels, or from core to core: what simulate needs.",
    ),
    click.option(
        "--states",
        type=click.Choice(("auto", "none")),
        default="auto",
        show_default=True,
        help="Keep the KV cache of a decoder on the wafer between two runs, or let it come and go.",
    ),
    click.option(
        "--products",
        type=click.Choice(("auto", "sums", "shifts")),
        default="auto",
        show_default=True,
        help="Where kernels take turns: products of matrices by sums of parts, by shifts of operands, or the faster.",
    ),
    click.option("--no-host", is_flag=True, help="Refuse a model of which a part would run on the host."),
)


def compile_options(function: Decorated) -> Decorated:
    """Adds the options; the command receives them by keyword, for `requested`."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def requested(values: dict[str, Any]) -> dict[str, Any]:
    """What these options say, as fields of `wsec.driver.Options`.

    Raises:
        WsecError: WSEC2xx a region that is none.
    """
    region, constraints, no_host = values.pop("region"), values.pop("constraints"), values.pop("no_host")
    return {
        **values,
        "region": None if region is None else parse_region(region),
        "constraints": () if constraints is None else constraints,
        "host": not no_host,
    }
