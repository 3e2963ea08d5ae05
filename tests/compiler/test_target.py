"""Targets: what is shipped loads, has sources and embeds; what is wrong with a file is said whole."""

from __future__ import annotations

import copy
import importlib.metadata
import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import wsec.compiler.targets
from wsec.compiler.errors import ExitStatus, WsecError
from wsec.compiler.target import (
    DTYPES,
    Target,
    installed_targets,
    list_targets,
    load_target,
    parse_region,
    target_from_mapping,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import InstallPackage

SHIPPED = Path(wsec.compiler.targets.__file__).parent


def _table(name: str = "wse2") -> dict[str, Any]:
    return tomllib.loads((SHIPPED / f"{name}.toml").read_text(encoding="utf-8"))


def _refusal(call: Callable[[], object]) -> str:
    with pytest.raises(WsecError) as caught:
        call()
    assert caught.value.exit_status is ExitStatus.TARGET
    return str(caught.value)


def _refusal_of(**changes: object) -> str:
    """The message about the wse2 table with dotted keys changed, or dropped where the value is `...`."""
    table = copy.deepcopy(_table())
    for dotted, value in changes.items():
        *sections, key = dotted.split(".")
        place = table
        for section in sections:
            place = place[section]
        if value is ...:
            del place[key]
        else:
            place[key] = value
    return _refusal(lambda: target_from_mapping(table, source="my.toml"))


def test_the_shipped_targets_are_listed_in_order() -> None:
    """`wsec targets` and error messages name every machine file that is shipped."""
    assert list_targets() == ("mesh16", "mesh64", "wse1", "wse2", "wse3")


@pytest.mark.parametrize("name", list_targets())
def test_every_number_names_its_source(name: str) -> None:
    """A reader can tell a measured value from an assumed one, on every line that holds a number."""
    for line in (SHIPPED / f"{name}.toml").read_text(encoding="utf-8").splitlines():
        if re.match(r"\w+ = [0-9]", line):
            assert re.search(r" # (\[(HW|FIT|VEND|DER|PAPER)\] |assumption: )\S", line), line


@pytest.mark.parametrize("name", list_targets())
def test_a_target_survives_the_plan_file(name: str) -> None:
    """A plan embeds its target as JSON and gets the very same target back."""
    target = load_target(name)
    assert target.name == name
    assert msgspec.json.decode(msgspec.json.encode(target), type=Target) == target


@pytest.mark.parametrize(
    ("name", "columns", "rows", "hop_cycles"),
    [("wse1", 633, 633, 1), ("wse2", 750, 994, 1), ("wse3", 755, 1170, 2), ("mesh16", 16, 16, 1)],
)
def test_published_figures_are_those_of_the_machine(
    name: str, columns: int, rows: int, hop_cycles: int
) -> None:
    """The sizes that decide whether a model fits are the published ones."""
    target = load_target(name)
    assert (target.grid.width, target.grid.height, target.grid.cores) == (columns, rows, columns * rows)
    assert target.fabric.hop_cycles == hop_cycles
    assert target.core.data_bytes == 48 * 1024 - 8 * 1024
    assert set(target.core.lanes) == set(DTYPES)


def test_colours_are_shared_between_host_kernels_and_links() -> None:
    """Routing may use what neither the host I/O nor the collectives inside kernels keep."""
    assert load_target("wse2").fabric.link_colours == 24 - 3 - 8


def test_cycles_become_seconds_at_the_clock() -> None:
    """A time is cycles over the clock of the target."""
    assert load_target("wse2").seconds(850e6) == 1.0


def test_a_file_is_loaded_by_its_path(tmp_path: Path) -> None:
    """Users describe their own machine in a file, whatever its suffix."""
    for file_name in ("mine.toml", "mine"):
        path = tmp_path / file_name
        path.write_text((SHIPPED / "mesh16.toml").read_text(encoding="utf-8").replace('"mesh16"', '"mine"'))
        assert load_target(str(path)).name == "mine"


def test_the_documented_file_is_whole() -> None:
    """Copying the example of docs/targets.md gives a target that loads."""
    text = (Path(__file__).parents[2] / "docs" / "targets.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```toml\n(name = .*?)```", text, flags=re.DOTALL)
    assert target_from_mapping(tomllib.loads(example), source="docs/targets.md").grid.cores == 64


def test_a_region_limits_the_grid_and_nothing_else() -> None:
    """`--region` changes how many cores the compiler may use, not what they are."""
    whole = load_target("wse2")
    part = whole.with_region(64, 32)
    assert (part.grid.width, part.grid.height) == (64, 32)
    assert (part.core, part.fabric, part.name) == (whole.core, whole.fabric, whole.name)
    assert whole.with_region(750, 994) == whole


@given(st.integers(1, 10**9 - 1), st.integers(1, 10**9 - 1))
def test_a_region_is_columns_by_rows(width: int, height: int) -> None:
    """The text form gives columns first, as in the rest of wsec."""
    assert parse_region(f"{width}x{height}") == (width, height)


@pytest.mark.parametrize("text", ["64", "64x", "x64", "0x4", "4x0", "-1x4", "4 x 4", "4x4x4", "", "٣x٣"])
def test_a_region_that_is_no_rectangle_is_refused(text: str) -> None:
    """A mistyped region is named, with the form that is right."""
    found = f"\n  found:    {text}" if text else ""
    assert _refusal(lambda: parse_region(text)) == (
        "error[WSEC206]: the region is not a rectangle of cores\n"
        "  where:    --region\n"
        "  expected: columns x rows, both at least 1, such as 64x64" + found
    )


def test_an_empty_region_is_refused_by_the_target_too() -> None:
    """Callers of the Python interface get the same answer as those of the command line."""
    assert _refusal(lambda: load_target("mesh16").with_region(0, 4)) == (
        "error[WSEC206]: the region is not a rectangle of cores\n"
        "  where:    --region\n"
        "  expected: columns x rows, both at least 1, such as 64x64\n"
        "  found:    0x4"
    )


@pytest.mark.parametrize(("width", "height"), [(17, 4), (4, 17)])
def test_a_region_larger_than_the_wafer_is_refused(width: int, height: int) -> None:
    """Both sizes are in the message, whichever side is too long."""
    assert _refusal(lambda: load_target("mesh16").with_region(width, height)) == (
        "error[WSEC205]: the region is larger than the wafer\n"
        "  where:    target mesh16\n"
        "  expected: at most 16 columns and 16 rows\n"
        f"  found:    {width} columns and {height} rows\n"
        "  try:      ask for a smaller --region, or choose a larger target"
    )


def test_an_unknown_name_suggests_the_nearest() -> None:
    """A typing error costs one look at the message."""
    assert _refusal(lambda: load_target("wes2")) == (
        "error[WSEC201]: there is no target named wes2\n"
        "  expected: one of mesh16, mesh64, wse1, wse2, wse3, or a path to a TOML file\n"
        "  found:    wes2\n"
        "  try:      did you mean wse2?"
    )


def test_a_name_like_no_other_points_to_the_list() -> None:
    """No far-fetched suggestion is made."""
    assert _refusal(lambda: load_target("gpu")) == (
        "error[WSEC201]: there is no target named gpu\n"
        "  expected: one of mesh16, mesh64, wse1, wse2, wse3, or a path to a TOML file\n"
        "  found:    gpu\n"
        "  try:      `wsec targets` lists them"
    )


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """The system's own reason is passed on."""
    path = tmp_path / "none.toml"
    assert _refusal(lambda: load_target(str(path))) == (
        "error[WSEC202]: the target file cannot be read\n"
        f"  where:    {path}\n"
        "  expected: a TOML file\n"
        "  found:    No such file or directory\n"
        "  try:      give a path that exists, or one of the names: mesh16, mesh64, wse1, wse2, wse3"
    )


def test_a_syntax_error_has_its_line(tmp_path: Path) -> None:
    """The line and column of broken TOML are in the message."""
    path = tmp_path / "broken.toml"
    path.write_text('name = "x"\nclock_hz = = 1\n', encoding="utf-8")
    assert _refusal(lambda: load_target(str(path))) == (
        "error[WSEC203]: the target file is not valid TOML\n"
        f"  where:    {path}\n"
        "  found:    Invalid value (at line 2, column 12)\n"
        "  try:      mend the line named above; docs/targets.md shows a whole file"
    )


def test_a_binary_file_is_no_toml(tmp_path: Path) -> None:
    """A model given as target does not end in a traceback."""
    path = tmp_path / "model.toml"
    path.write_bytes(b"\x08\x07\xff\xfe")
    assert _refusal(lambda: load_target(str(path))) == (
        "error[WSEC203]: the target file is not valid TOML\n"
        f"  where:    {path}\n"
        "  found:    'utf-8' codec can't decode byte 0xff in position 2: invalid start byte\n"
        "  try:      mend the line named above; docs/targets.md shows a whole file"
    )


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            "clock_hz = " + "9" * 5000,
            "Exceeds the limit (4300 digits) for integer string conversion: value has 5000 digits",
        ),
        ("grid = " + "[" * 100_000, "maximum recursion depth exceeded"),
    ],
)
def test_a_hostile_file_is_refused_like_any_other(text: str, reason: str, tmp_path: Path) -> None:
    """Numbers and nesting without end do not end in a traceback."""
    path = tmp_path / "hostile.toml"
    path.write_text(text, encoding="utf-8")
    message = _refusal(lambda: load_target(str(path)))
    assert message.startswith(
        f"error[WSEC203]: the target file is not valid TOML\n  where:    {path}\n  found:    {reason}"
    )


def test_a_number_beyond_floating_point_is_out_of_range() -> None:
    """TOML has whole numbers of any size."""
    assert _refusal_of(clock_hz=10**400) == (
        "error[WSEC204]: the target description has an entry that cannot be used\n"
        "  where:    my.toml\n"
        f"  found:    clock_hz = {10**400}: a number above 0 is allowed\n"
        "  try:      docs/targets.md describes every key; compiler/targets/ has examples"
    )


def test_all_findings_come_at_once() -> None:
    """One run of the lint is enough to mend a file: unknown, missing, mistyped and out of range together."""
    changes = {
        "powre_watts": 1,
        "name": "",
        "clock_hz": "fast",
        "grid.width": 0,
        "grid.height": 1.5,
        "grid.host_rows": True,
        "core.sram_bytes": ...,
        "core.lanes.float32": float("nan"),
        "core.lanes.bool": ...,
        "core.lanes.int4": 8,
        "fabric.hop_cycles": [1],
        "external_memory": 5,
        "wafer_link.seconds_per_hop": 0,
    }
    assert _refusal_of(**changes) == (
        "error[WSEC204]: the target description has 13 entries that cannot be used\n"
        "  where:    my.toml\n"
        "  found:    powre_watts: unknown key, did you mean power_watts?\n"
        '            name = "": a text that is not empty is allowed\n'
        '            clock_hz = "fast": a number above 0 is allowed\n'
        "            grid.width = 0: a whole number from 1 to 65535 is allowed\n"
        "            grid.height = 1.5: a whole number from 1 to 65535 is allowed\n"
        "            grid.host_rows = true: a whole number from 0 to 65535 is allowed\n"
        "            core.sram_bytes: missing, needs a whole number from 1 to 2147483647\n"
        "            core.lanes.int4: unknown key, did you mean int64?\n"
        "            core.lanes.float32 = nan: a number above 0 is allowed\n"
        "            core.lanes.bool: missing, needs a number above 0\n"
        "            fabric.hop_cycles = a list: a number above 0 is allowed\n"
        "            external_memory = 5: a table is allowed\n"
        "            wafer_link.seconds_per_hop = 0: a number above 0 is allowed\n"
        "  try:      docs/targets.md describes every key; compiler/targets/ has examples"
    )


def test_sections_of_the_wrong_kind_are_named() -> None:
    """A number or a text where a section belongs, or a section where a number belongs, is said so."""
    assert _refusal_of(**{"host": 3, "core.lanes": "four", "zzz": 1, "power_watts": {}}) == (
        "error[WSEC204]: the target description has 4 entries that cannot be used\n"
        "  where:    my.toml\n"
        "  found:    zzz: unknown key, known are name, description, clock_hz, grid, core, fabric, host, "
        "power_watts, external_memory, wafer_link, overheads\n"
        '            core.lanes = "four": a table is allowed\n'
        "            host = 3: a table is allowed\n"
        "            power_watts = a table: a number above 0 is allowed\n"
        "  try:      docs/targets.md describes every key; compiler/targets/ has examples"
    )


def test_values_that_contradict_each_other_are_refused() -> None:
    """Each value alone may be right and the whole impossible: then both sides are shown."""
    changes = {
        "grid.width": 755,
        "grid.host_rows": 3,
        "core.code_reserve_bytes": 49152,
        "fabric.kernel_colours": 21,
    }
    assert _refusal_of(**changes) == (
        "error[WSEC204]: the target description has 4 entries that cannot be used\n"
        "  where:    my.toml\n"
        "  found:    grid.width = 755 + grid.host_columns = 7: at most grid.fabric_width = 757 is allowed\n"
        "            grid.height = 994 + grid.host_rows = 3: at most grid.fabric_height = 996 is allowed\n"
        "            core.code_reserve_bytes = 49152: less than core.sram_bytes = 49152 is allowed\n"
        "            fabric.reserved_colours = 3 + fabric.kernel_colours = 21: less than fabric.colours = 24 is allowed\n"
        "  try:      docs/targets.md describes every key; compiler/targets/ has examples"
    )


def test_one_finding_is_counted_as_one() -> None:
    """The headline agrees with the list."""
    assert _refusal_of(clock_hz=-1) == (
        "error[WSEC204]: the target description has an entry that cannot be used\n"
        "  where:    my.toml\n"
        "  found:    clock_hz = -1: a number above 0 is allowed\n"
        "  try:      docs/targets.md describes every key; compiler/targets/ has examples"
    )


_anything = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=3),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.sampled_from(["width", "lanes", "bytes"]), st.integers(), max_size=2),
)


@given(st.sampled_from([*_table(), "extra"]), _anything)
def test_any_value_is_refused_with_a_message_or_loads(key: str, value: object) -> None:
    """No contents whatever end in anything but a target or a WSEC204."""
    try:
        outcome = target_from_mapping({**_table(), key: value}, source="any").name
    except WsecError as error:
        outcome = error.code
    assert outcome == "WSEC204" or (key in {"name", "description", "clock_hz", "power_watts"} and outcome)


def test_every_target_code_is_documented() -> None:
    """Each code has its page, titled with the code, with an example and a way out."""
    for code in range(201, 207):
        page = Path(__file__).parents[2] / "docs" / "errors" / f"WSEC{code}.md"
        text = page.read_text(encoding="utf-8")
        assert text.startswith(f"# WSEC{code}: ")
        assert f"error[WSEC{code}]" in text
        assert "## What to do" in text


def test_targets_of_other_packages_are_known_by_name(install_package: InstallPackage, tmp_path: Path) -> None:
    """A package lists a folder of TOML files; each of them is a target."""
    text = (SHIPPED / "mesh16.toml").read_text(encoding="utf-8")
    install_package("others", "[wsec.targets]\nothers = machines_of_others\n")
    folder = tmp_path / "site_of_others" / "machines_of_others"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "mine.toml").write_text(text.replace('name = "mesh16"', 'name = "mine"'), encoding="utf-8")
    assert installed_targets()["mine"].origin == "others 1.5"
    assert load_target("mine").name == "mine"
    (folder / "wse2.toml").write_text(text, encoding="utf-8")
    version = importlib.metadata.version("wsec")
    assert _refusal(lambda: load_target("wse1")) == (
        "error[WSEC207]: the targets of the package others cannot be used\n"
        "  where:    others 1.5, entry point 'others' of wsec.targets: machines_of_others\n"
        "  expected: an importable package that holds TOML files with names of their own\n"
        f"  found:    wse2, which wsec {version} has too\n"
        "  try:      uninstall one of the two"
    )


def test_a_package_of_targets_that_cannot_be_imported(install_package: InstallPackage) -> None:
    """It is named, whatever it raises."""
    install_package("others", "[wsec.targets]\nothers = machines_of_others\n", machines_of_others="1 / 0")
    assert "found:    ZeroDivisionError: division by zero\n" in _refusal(lambda: load_target("wse2"))
