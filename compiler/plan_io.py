"""Writes a plan folder whole or not at all, and reads `plan.json` back strictly.

A plan folder holds `plan.json`, the lowered `model.onnx`, the `original.onnx` and the weights files that the two refer
to: nothing outside is needed. It is written beside its place and renamed at the end, so that neither an interrupt nor
a full disk leaves half a plan or harms an older one. The same plan gives the same bytes of `plan.json`.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from wsec.compiler.errors import WsecError
from wsec.compiler.plan import PLAN_FORMAT, Plan
from wsec.compiler.plan_files import write_file_list
from wsec.compiler.record_json import SchemaViolationError, from_plain, json_schema, to_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    import onnx_ir

PLAN_FILE = "plan.json"
LOWERED_FILE = "model.onnx"
ORIGINAL_FILE = "original.onnx"
PREFILL_FOLDER = "prefill"  # the plan of the prefill, in the folder of its decoder's


@dataclass(frozen=True, slots=True)
class LoadedPlan:
    """A plan and the folder that it was read from."""

    plan: Plan
    folder: Path

    @property
    def lowered_path(self) -> Path:
        """The lowered model, which the plan's tensors and operators name."""
        return self.folder / LOWERED_FILE

    @property
    def original_path(self) -> Path:
        """The model as the user gave it."""
        return self.folder / ORIGINAL_FILE


def write_plan(
    folder: Path,
    plan: Plan,
    lowered: onnx_ir.Model,
    original: Path,
    *,
    parts: Mapping[str, tuple[Plan, onnx_ir.Model, Path]] | None = None,
) -> None:
    """Writes the plan folder, in place of an older plan where there is one; `lowered` stays as it is.

    `parts` are plans that belong to it, by the name of their folder inside. Missing parent folders are made. Weights files are cloned where the file system can, else copied: hard and
    symbolic links would make loaders refuse the files, those of the original model too.

    Raises:
        WsecError: WSEC507 `folder` holds something else, WSEC508 a weights file cannot lie in a plan folder, WSEC509
            the files cannot be written.
    """
    check_output_folder(folder)

    with _whole_or_nothing(folder.resolve(), shown=str(folder)) as partial:
        for name, part in (parts or {}).items():
            (partial / name).mkdir()
            _write_into(partial / name, *part)
        _write_into(partial, plan, lowered, original)


def _write_into(folder: Path, plan: Plan, lowered: onnx_ir.Model, original: Path) -> None:
    from wsec.compiler.plan_weights import write_models  # onnx is imported when a plan is written

    write_models(folder, lowered, original)
    write_file_list(folder)
    (folder / PLAN_FILE).write_bytes(encode_plan(plan))


def load_plan(folder: Path) -> LoadedPlan:
    """The plan in `folder`; of the models only their being there is looked at.

    Raises:
        WsecError: WSEC501 no such folder, WSEC502 no plan in it, WSEC503 not JSON, WSEC504 another format, WSEC505
            not as the schema says, WSEC506 a model is missing.
    """
    if not folder.is_dir():
        raise WsecError(
            code="WSEC501",
            what="there is no such plan folder",
            where=str(folder),
            expected="a folder that `wsec compile` wrote",
            found="a file" if folder.exists() else "nothing",
            hint="give the folder that was named with -o when compiling",
        )
    file = folder / PLAN_FILE
    try:
        data = file.read_bytes()
    except OSError as error:
        raise WsecError(
            code="WSEC502",
            what="the folder holds no plan",
            where=str(folder),
            expected=f"a file {PLAN_FILE}",
            found=error.strerror or type(error).__name__,
            hint="compile the model again with this folder as -o",
        ) from error
    plan = decode_plan(data, source=str(file))
    for name in (LOWERED_FILE, ORIGINAL_FILE):
        if not (folder / name).is_file():
            raise WsecError(
                code="WSEC506",
                what="a model of the plan is missing",
                where=str(folder),
                expected=f"a file {name}",
                found="nothing",
                hint="a plan is its whole folder: copy it whole, or compile the model again",
            )
    return LoadedPlan(plan, folder)


def encode_plan(plan: Plan) -> bytes:
    """The bytes of plan.json: keys sorted, one value or one area of routers a line, a newline at the end."""
    return f"{to_text(plan)}\n".encode()


def digest_of(plan: Plan) -> str:
    """The SHA-256 digest of its plan.json in hexadecimal."""
    return hashlib.sha256(encode_plan(plan)).hexdigest()


def decode_plan(data: bytes, source: str = PLAN_FILE) -> Plan:
    """The plan that `data`, the contents of the file `source`, describes.

    Raises:
        WsecError: WSEC503 not JSON, WSEC504 another format, WSEC505 not as the schema says.
    """
    try:
        plain = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise WsecError(
            code="WSEC503",
            what="the plan is not valid JSON",
            where=source,
            expected="the file as `wsec compile` wrote it",
            found=str(error),
            hint="the file was cut short or changed; compile the model again",
        ) from error
    found = plain.get("format") if isinstance(plain, dict) else None
    if type(found) is int and found != PLAN_FORMAT:
        newer = "a newer wsec wrote it: update wsec" if found > PLAN_FORMAT else "an older wsec wrote it"
        raise WsecError(
            code="WSEC504",
            what="the plan has another format than this version of wsec reads",
            where=source,
            expected=f"format {PLAN_FORMAT}",
            found=f"format {found}",
            hint=f"{newer}, or compile the model again with this one",
        )
    try:
        plan: Plan = from_plain(plain, Plan)
    except SchemaViolationError as violation:
        raise WsecError(
            code="WSEC505",
            what="the plan does not follow the schema",
            where=f"{source}: {violation.path}",
            expected=violation.expected,
            found=violation.found,
            hint="docs/plan.md describes the format; compile the model again if the file was changed",
        ) from violation
    return plan


def plan_schema() -> dict[str, Any]:
    """The JSON Schema of plan.json, as published in docs/plan.schema.json."""
    return {"title": f"wsec plan, format {PLAN_FORMAT}", **json_schema(Plan)}


def sha256_of_file(path: Path) -> str:
    """The SHA-256 digest of a file's contents in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_output_folder(folder: Path) -> None:
    """Refuses a place where no plan can be written, so that it is known before the work of compiling.

    Raises:
        WsecError: WSEC507 it holds something that is not a plan, WSEC509 its parent is a file.
    """
    whole = folder.absolute()
    nearest = next((parent for parent in whole.parents if parent.exists()), whole)  # the root has no parents
    if not nearest.is_dir():
        raise _cannot_be_written(str(folder), f"{nearest.name} is a file")
    if not folder.exists():
        return
    if folder.is_dir() and ((folder / PLAN_FILE).is_file() or not any(folder.iterdir())):
        return
    raise WsecError(
        code="WSEC507",
        what="the plan would replace something that is not a plan",
        where=str(folder),
        expected="a new name, an empty folder or an older plan",
        found="a folder with other contents" if folder.is_dir() else "a file",
        hint="choose another name with -o, or move away what is there",
    )


@contextlib.contextmanager
def _whole_or_nothing(folder: Path, shown: str) -> Iterator[Path]:
    """A new folder beside `folder` that takes its place when the block ends well, and else is removed."""
    partial = folder.with_name(f".{folder.name}.{os.getpid()}.partial")
    older = folder.with_name(f".{folder.name}.{os.getpid()}.older")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(partial, ignore_errors=True)  # of a process that was killed
        partial.mkdir()
        yield partial
        _flush_to_disk(partial)
        if folder.exists():
            folder.rename(older)
        partial.rename(folder)
    except OSError as error:
        raise _cannot_be_written(shown, error.strerror or type(error).__name__) from error
    finally:
        if older.exists() and not folder.exists():
            older.rename(folder)
        shutil.rmtree(partial, ignore_errors=True)
        shutil.rmtree(older, ignore_errors=True)


def _cannot_be_written(folder: str, found: str) -> WsecError:
    return WsecError(
        code="WSEC509",
        what="the plan cannot be written",
        where=folder,
        expected="a folder that can be written, on a disk with room",
        found=found,
        hint="free some room or choose another place with -o; nothing was left behind",
    )


def _flush_to_disk(folder: Path) -> None:
    for path in (*folder.rglob("*"), folder):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
