"""Plan folders: written whole or not at all, read strictly."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import jsonschema
import onnx
import pytest
from legal_plans import network_model, network_plan, network_proto

from wsec.compiler import plan_io, plan_weights
from wsec.compiler.errors import WsecError
from wsec.compiler.plan_io import (
    check_output_folder,
    decode_plan,
    encode_plan,
    load_plan,
    plan_schema,
    sha256_of_file,
    write_plan,
)

if TYPE_CHECKING:
    from collections.abc import Callable

SCHEMA = Path(__file__).parents[2] / "docs" / "plan.schema.json"


@pytest.fixture
def original(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The model's file, in the working folder, so that messages have short paths."""
    monkeypatch.chdir(tmp_path)
    onnx.save(network_proto(), "net.onnx")
    return Path("net.onnx")


@pytest.fixture
def folder(original: Path) -> Path:
    """A plan folder."""
    write_plan(Path("net.plan"), network_plan(), network_model(), original)
    return Path("net.plan")


def message(action: Callable[[], object]) -> str:
    """The whole message of the error that the action ends with."""
    with pytest.raises(WsecError) as caught:
        action()
    return str(caught.value)


def names(folder: Path) -> list[str]:
    """What lies in a folder."""
    return sorted(path.name for path in folder.iterdir())


def test_a_written_plan_is_read_back(folder: Path) -> None:
    """The records survive the way to disk and back, and the models lie beside them."""
    loaded = load_plan(folder)
    assert loaded.plan == network_plan()
    assert loaded.folder == folder
    assert names(folder) == ["files.json", "model.onnx", "original.onnx", "plan.json"]
    assert loaded.original_path.read_bytes() == Path("net.onnx").read_bytes()
    assert [node.name for node in onnx.load(loaded.lowered_path).graph.node] == [
        node.name for node in network_proto().graph.node
    ]


def test_the_same_plan_gives_the_same_bytes(folder: Path) -> None:
    """Two writings agree byte for byte, and a person can compare two plans line by line."""
    write_plan(Path("again.plan"), network_plan(), network_model(), Path("net.onnx"))
    for name in names(folder):
        assert (folder / name).read_bytes() == (Path("again.plan") / name).read_bytes()
    text = (folder / "plan.json").read_text()
    assert text.endswith("}\n")
    assert '\n "format": 4,\n "host_operators": [],\n' in text


def test_keys_are_sorted() -> None:
    """The order of keys at every level is the alphabet's."""

    def check(pairs: list[tuple[str, object]]) -> None:
        keys = [key for key, _ in pairs]
        assert keys == sorted(keys)

    json.loads(encode_plan(network_plan()), object_pairs_hook=check)


def test_the_published_schema_is_the_one_of_the_records() -> None:
    """docs/plan.schema.json is what plan_schema gives; write it anew when the records change."""
    assert SCHEMA.read_text() == json.dumps(plan_schema(), indent=1) + "\n"


def test_a_plan_validates_against_the_schema() -> None:
    """Other tools can check a plan by the published schema."""
    schema = json.loads(SCHEMA.read_text())
    plain = json.loads(encode_plan(network_plan()))
    jsonschema.validate(plain, schema)
    plain["wafers"][0]["phases"][0]["kernels"][0]["rectangle"]["x"] = "two"
    assert not jsonschema.Draft202012Validator(schema).is_valid(plain)


def test_an_older_plan_is_replaced(folder: Path) -> None:
    """Compiling again into the same folder leaves nothing of the older plan."""
    (folder / "old.weights").write_bytes(b"old")
    write_plan(folder, replace(network_plan(), notes=("new",)), network_model(), Path("net.onnx"))
    assert load_plan(folder).plan.notes == ("new",)
    assert names(folder) == ["files.json", "model.onnx", "original.onnx", "plan.json"]
    assert names(Path()) == ["net.onnx", "net.plan"]


def test_a_plan_is_replaced_by_one_of_its_own_model(folder: Path) -> None:
    """The original in a plan folder can be compiled again into the same folder."""
    write_plan(folder, network_plan(), network_model(), folder / "original.onnx")
    assert (folder / "original.onnx").read_bytes() == Path("net.onnx").read_bytes()


def test_an_empty_folder_is_used_and_parents_are_made(original: Path) -> None:
    """As with other compilers, -o names a place that need not be there."""
    Path("empty").mkdir()
    write_plan(Path("empty"), network_plan(), network_model(), original)
    write_plan(Path("a/b/net.plan"), network_plan(), network_model(), original)
    assert load_plan(Path("empty")).plan == load_plan(Path("a/b/net.plan")).plan


def test_a_link_to_a_plan_folder_stays_a_link(folder: Path) -> None:
    """Where the output is a symbolic link, the folder that it leads to is replaced."""
    Path("link").symlink_to(folder)
    write_plan(Path("link"), replace(network_plan(), notes=("new",)), network_model(), Path("net.onnx"))
    assert Path("link").is_symlink()
    assert load_plan(folder).plan.notes == ("new",)


@pytest.mark.parametrize("stage", ["write_models", "encode_plan", "_flush_to_disk"])
@pytest.mark.parametrize("there", [True, False])
def test_an_interrupt_leaves_nothing_half_written(
    folder: Path, monkeypatch: pytest.MonkeyPatch, stage: str, *, there: bool
) -> None:
    """Ctrl-C while writing leaves the older plan as it was, or nothing, and no temporary folder."""

    def interrupt(*_arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(plan_weights if stage == "write_models" else plan_io, stage, interrupt)
    output = folder if there else Path("new.plan")
    with pytest.raises(KeyboardInterrupt):
        write_plan(output, replace(network_plan(), notes=("new",)), network_model(), Path("net.onnx"))
    assert names(Path()) == ["net.onnx", "net.plan"]
    assert load_plan(folder).plan == network_plan()


def test_an_interrupt_between_the_renames_brings_the_older_plan_back(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even in the moment when the older plan has made room, it is not lost."""
    rename = Path.rename

    def interrupt(self: Path, target: Path) -> Path:
        if self.suffix == ".partial":
            raise KeyboardInterrupt
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_plan(folder, replace(network_plan(), notes=("new",)), network_model(), Path("net.onnx"))
    assert names(Path()) == ["net.onnx", "net.plan"]
    assert load_plan(folder).plan == network_plan()


def test_a_full_disk_is_said_and_leaves_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """WSEC509 names the place and the system's reason; the older plan is as it was."""

    def fill(*_arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(plan_weights, "clone_file", fill)
    text = message(lambda: write_plan(folder, network_plan(), network_model(), Path("net.onnx")))
    assert text == (
        "error[WSEC509]: the plan cannot be written\n"
        "  where:    net.plan\n"
        "  expected: a folder that can be written, on a disk with room\n"
        "  found:    No space left on device\n"
        "  try:      free some room or choose another place with -o; nothing was left behind"
    )
    assert names(Path()) == ["net.onnx", "net.plan"]
    assert load_plan(folder).plan == network_plan()


def test_a_file_where_a_folder_should_be_is_said(original: Path) -> None:
    """WSEC509 before any work, where a parent of the output is a file."""
    assert message(lambda: check_output_folder(original / "net.plan")) == (
        "error[WSEC509]: the plan cannot be written\n"
        "  where:    net.onnx/net.plan\n"
        "  expected: a folder that can be written, on a disk with room\n"
        "  found:    net.onnx is a file\n"
        "  try:      free some room or choose another place with -o; nothing was left behind"
    )


@pytest.mark.parametrize(("place", "found"), [("net.onnx", "a file"), (".", "a folder with other contents")])
def test_something_that_is_not_a_plan_is_not_replaced(original: Path, place: str, found: str) -> None:
    """WSEC507: a mistyped -o does not cost a user a model or a folder of results."""
    text = message(lambda: write_plan(Path(place), network_plan(), network_model(), original))
    assert text == (
        "error[WSEC507]: the plan would replace something that is not a plan\n"
        f"  where:    {place}\n"
        "  expected: a new name, an empty folder or an older plan\n"
        f"  found:    {found}\n"
        "  try:      choose another name with -o, or move away what is there"
    )
    assert names(Path()) == ["net.onnx"]


@pytest.mark.parametrize(("place", "found"), [("no.plan", "nothing"), ("net.onnx", "a file")])
def test_a_missing_folder_is_said(original: Path, place: str, found: str) -> None:
    """WSEC501."""
    assert message(lambda: load_plan(Path(place))) == (
        "error[WSEC501]: there is no such plan folder\n"
        f"  where:    {place}\n"
        "  expected: a folder that `wsec compile` wrote\n"
        f"  found:    {found}\n"
        "  try:      give the folder that was named with -o when compiling"
    )


def test_a_folder_without_a_plan_is_said(original: Path) -> None:
    """WSEC502."""
    Path("empty").mkdir()
    assert message(lambda: load_plan(Path("empty"))) == (
        "error[WSEC502]: the folder holds no plan\n"
        "  where:    empty\n"
        "  expected: a file plan.json\n"
        "  found:    No such file or directory\n"
        "  try:      compile the model again with this folder as -o"
    )


def test_a_truncated_plan_is_said(folder: Path) -> None:
    """WSEC503."""
    (folder / "plan.json").write_bytes((folder / "plan.json").read_bytes()[:1000])
    assert message(lambda: load_plan(folder)) == (
        "error[WSEC503]: the plan is not valid JSON\n"
        "  where:    net.plan/plan.json\n"
        "  expected: the file as `wsec compile` wrote it\n"
        "  found:    Input data was truncated\n"
        "  try:      the file was cut short or changed; compile the model again"
    )


def test_a_plan_with_bytes_that_are_no_text_is_said() -> None:
    """WSEC503, wherever in the file they are."""
    with pytest.raises(WsecError, match=r"^error\[WSEC503\]: the plan is not valid JSON"):
        decode_plan(b'{"format": 4, "model": "\xe9\x28"}')


@pytest.mark.parametrize(
    ("number", "hint"), [(5, "a newer wsec wrote it: update wsec"), (1, "an older wsec wrote it")]
)
def test_another_format_is_said(number: int, hint: str) -> None:
    """WSEC504 comes before the schema: the rest of another format may be anything."""
    assert message(lambda: decode_plan(b'{"format": %d}' % number)) == (
        "error[WSEC504]: the plan has another format than this version of wsec reads\n"
        "  where:    plan.json\n"
        "  expected: format 4\n"
        f"  found:    format {number}\n"
        f"  try:      {hint}, or compile the model again with this one"
    )


def test_a_violation_of_the_schema_is_said(folder: Path) -> None:
    """WSEC505 with the path of the value."""
    data = (folder / "plan.json").read_bytes().replace(b'"width": 3', b'"width": "3"')
    plain = json.loads(data)
    plain["wafers"][0]["phases"][0]["kernels"][1]["rectangle"]["width"] = "4"
    (folder / "plan.json").write_text(json.dumps(plain))
    assert message(lambda: load_plan(folder)) == (
        "error[WSEC505]: the plan does not follow the schema\n"
        "  where:    net.plan/plan.json: $.wafers[0].phases[0].kernels[1].rectangle.width\n"
        "  expected: integer\n"
        '  found:    "4"\n'
        "  try:      docs/plan.md describes the format; compile the model again if the file was changed"
    )


@pytest.mark.parametrize("data", [b"[]", b"3", b'{"format": "1"}', b"{}"])
def test_json_that_is_no_plan_is_refused(data: bytes) -> None:
    """WSEC505 for anything else that is JSON."""
    assert message(lambda: decode_plan(data)).startswith(
        "error[WSEC505]: the plan does not follow the schema\n"
    )


@pytest.mark.parametrize("name", ["model.onnx", "original.onnx"])
def test_a_missing_model_is_said(folder: Path, name: str) -> None:
    """WSEC506."""
    (folder / name).unlink()
    assert message(lambda: load_plan(folder)) == (
        "error[WSEC506]: a model of the plan is missing\n"
        "  where:    net.plan\n"
        f"  expected: a file {name}\n"
        "  found:    nothing\n"
        "  try:      a plan is its whole folder: copy it whole, or compile the model again"
    )


def test_the_digest_is_sha256(tmp_path: Path) -> None:
    """The digest in a plan can be compared with what other tools print."""
    (tmp_path / "file").write_bytes(b"wafer")
    assert sha256_of_file(tmp_path / "file") == hashlib.sha256(b"wafer").hexdigest()


def test_json_nested_without_end_is_said() -> None:
    """WSEC503, not an exhausted stack."""
    assert message(lambda: decode_plan(b"[" * 200_000)) == (
        "error[WSEC503]: the plan is not valid JSON\n"
        "  where:    plan.json\n"
        "  expected: the file as `wsec compile` wrote it\n"
        "  found:    maximum recursion depth exceeded while deserializing an object\n"
        "  try:      the file was cut short or changed; compile the model again"
    )


@pytest.mark.parametrize(
    ("path", "value", "expected", "found"),
    [
        (("rectangle", "width"), 2**70, "integer of at most 64 bits", "one of 71 bits"),
        (("inputs", 0, "slots"), 0, "integer of at least 1", "0"),
    ],
)
def test_numbers_that_nothing_can_compute_with_are_said(
    folder: Path, path: tuple[str | int, ...], value: int, expected: str, found: str
) -> None:
    """WSEC505 before the checker or the estimate overflows or divides by nothing."""
    plain = json.loads((folder / "plan.json").read_bytes())
    record = plain["wafers"][0]["phases"][0]["kernels"][1]
    for key in path[:-1]:
        record = record[key]
    record[path[-1]] = value
    text = message(lambda: decode_plan(json.dumps(plain).encode()))
    assert f"  expected: {expected}\n  found:    {found}\n" in text
