"""`wsec targets`: the machines that come with wsec and with other packages."""

from __future__ import annotations

import click

from wsec.cli.command import WsecCommand, json_option
from wsec.cli.output import Column, count, hertz, kibibytes, make_console, write_json, write_table
from wsec.compiler.target import Target, installed_targets, load_target

_COLUMNS = (
    Column("target"),
    Column("columns x rows", right=True, from_width=50),
    Column("cores", right=True),
    Column("SRAM a core", right=True, from_width=60),
    Column("clock", right=True),
    Column("from", from_width=100),
    Column("description", from_width=100),
)


@click.command(
    cls=WsecCommand,
    epilog="""\b
Example:
  wsec targets
  wsec compile model.onnx --target wse3""",
)
@json_option
def targets(*, as_json: bool) -> None:
    """List the machines to compile for.

    A machine of your own is a TOML file: copy one of docs/targets.md and give it as --target my.toml.
    """
    known = [(load_target(name), installed.origin) for name, installed in installed_targets().items()]
    if as_json:
        write_json({"targets": [_entry(target, origin) for target, origin in known]})
        return
    rows = (
        (
            target.name,
            f"{target.grid.width} x {target.grid.height}",
            count(target.grid.cores),
            kibibytes(target.core.sram_bytes),
            hertz(target.clock_hz),
            origin,
            target.description,
        )
        for target, origin in known
    )
    write_table(make_console(), _COLUMNS, rows)


def _entry(target: Target, origin: str) -> dict[str, object]:
    return {
        "name": target.name,
        "origin": origin,
        "description": target.description,
        "columns": target.grid.width,
        "rows": target.grid.height,
        "cores": target.grid.cores,
        "sram_bytes": target.core.sram_bytes,
        "clock_hz": target.clock_hz,
    }
