"""Plans and what came of them, by the digest of all that they depend on (docs/check.md).

A folder of `KEY.json` (figures and verdict), `KEY.plan` (the plan folder) and `DIGEST.weights.json` (the weights files
that the model of this digest names). Everything is written beside its place and renamed, so that jobs may share it;
nothing is used whose checksum is wrong; the least recently used goes where the bound is passed. What fails is a warning,
and the model is compiled as if there were no cache.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
import time
import weakref
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from wsec.checking.records import Outcome
from wsec.compiler.errors import WsecError
from wsec.compiler.plan_io import sha256_of_file
from wsec.compiler.record_json import SchemaViolationError, from_plain, to_plain
from wsec.runtime.whole_file import write_whole

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wsec.loaded_plan import Plan

DEFAULT_BYTES = 4 << 30
_PLAN_DIGESTS = "digests.json"
_LEFTOVER_SECONDS = 86_400.0  # after which a partial file is of a job that was killed


def default_folder() -> Path:
    """`WSEC_CACHE_DIR`, else `wsec` where the system keeps caches."""
    given = os.environ.get("WSEC_CACHE_DIR")
    if given:
        return Path(given)
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path("~/.cache").expanduser()) / "wsec"


@dataclass(slots=True)
class Cache:
    """A folder of plans.

    Attributes:
        folder: Made at the first write.
        limit_bytes: What all of it may take.
        warnings: What could not be used or written, each said once.
    """

    folder: Path
    limit_bytes: int = DEFAULT_BYTES
    warnings: list[WsecError] = field(default_factory=list)

    def weights_of(self, digest: str) -> tuple[str, ...] | None:
        """The weights files that the model with this digest names; None if it was not seen before."""
        found = self._read(f"{digest}.weights.json")
        return None if found is None else tuple(map(str, found)) if isinstance(found, list) else None

    def keep_weights(self, digest: str, locations: tuple[str, ...]) -> None:
        """Remember them."""
        self._write(f"{digest}.weights.json", list(locations))

    def outcome(self, key: str) -> Outcome | None:
        """What came of a compilation; None if it was not made before."""
        name = f"{key}.json"
        plain = self._read(name)
        if plain is None:
            return None
        try:
            outcome: Outcome = from_plain(plain, Outcome)
        except SchemaViolationError as violation:
            self._damaged(name, f"{violation.path}: {violation.found}")
            return None
        return outcome

    def plan(self, key: str) -> Plan | None:
        """A copy of the plan that lives as long as the result; None if it is not there or damaged.

        The copy is what is checked and given away: another job may remove the original at any time.
        """
        kept = self.folder / f"{key}.plan"
        if not kept.is_dir():
            return None
        copy = Path(tempfile.mkdtemp(prefix="wsec-"))
        try:
            shutil.copytree(kept, copy, dirs_exist_ok=True)
            _require_digests(copy)
            with contextlib.suppress(OSError):
                os.utime(kept)
            from wsec.loaded_plan import load_plan

            plan = load_plan(copy)
        except (OSError, ValueError, shutil.Error, WsecError) as error:
            shutil.rmtree(copy, ignore_errors=True)
            if kept.is_dir():  # else another job removed it
                self._damaged(kept.name, str(error))
                self._remove(kept)
            return None
        weakref.finalize(plan, shutil.rmtree, copy, ignore_errors=True)
        return plan

    def keep(self, key: str, outcome: Outcome, plan: Path | None) -> None:
        """Remember what came of a compilation, and its plan folder where there is room; then remove what is too much."""
        self._write(f"{key}.json", to_plain(outcome))
        if plan is not None and _size(plan) <= self.limit_bytes:
            self._keep_plan(self.folder / f"{key}.plan", plan)
        self._shrink()

    def _keep_plan(self, place: Path, plan: Path) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            partial = Path(tempfile.mkdtemp(prefix=".", suffix=".partial", dir=self.folder))
        except OSError as error:
            self._unusable(error)
            return
        try:
            shutil.copytree(plan, partial, dirs_exist_ok=True)
            (partial / _PLAN_DIGESTS).write_text(json.dumps(_digests(partial)))
            with contextlib.suppress(FileExistsError):  # made by another job meanwhile: the same
                _rename_folder(partial, place)
        except (OSError, shutil.Error) as error:
            self._unusable(error)
        finally:
            shutil.rmtree(partial, ignore_errors=True)

    def _read(self, name: str) -> object | None:
        path = self.folder / name
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            self._unusable(error)
            return None
        checksum, _, text = data.partition(b"\n")
        if checksum.decode(errors="replace") != hashlib.sha256(text).hexdigest():
            self._damaged(name, "its checksum is another")
            self._remove(path)
            return None
        with contextlib.suppress(OSError):
            os.utime(path)  # in use
        found: object = json.loads(text)
        return found

    def _write(self, name: str, value: object) -> None:
        text = json.dumps(value, sort_keys=True).encode()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            write_whole(self.folder / name, hashlib.sha256(text).hexdigest().encode() + b"\n" + text)
        except OSError as error:
            self._unusable(error)

    def _shrink(self) -> None:
        """Remove the least recently used until the rest is within the bound, and what killed jobs left."""
        items = sorted(self._items())
        total = sum(size for _, size, _ in items)
        for _, size, path in items:
            if total <= self.limit_bytes:
                break
            self._remove(path)
            total -= size

    def _items(self) -> Iterator[tuple[float, int, Path]]:
        """When each was used, its bytes and its path."""
        with contextlib.suppress(OSError):
            for path in self.folder.iterdir():
                with contextlib.suppress(FileNotFoundError):
                    used = path.stat().st_mtime
                    if path.name.endswith(".partial"):
                        if time.time() - used > _LEFTOVER_SECONDS:
                            self._remove(path)
                    elif path.suffix in {".json", ".plan"}:
                        yield used, _size(path), path

    def _remove(self, path: Path) -> None:
        """Out of the way at once, so that nobody sees half of it."""
        gone = path.with_name(f".{path.name}.{os.getpid()}.{time.monotonic_ns()}.partial")
        try:
            path.rename(gone)
            if gone.is_dir():
                shutil.rmtree(gone)
            else:
                gone.unlink()
        except FileNotFoundError:
            return  # another job was faster
        except OSError as error:
            self._unusable(error)

    def _damaged(self, name: str, found: str) -> None:
        self._warn(
            WsecError(
                code="WSEC527",
                what="an entry of the cache is damaged and was not used",
                where=str(self.folder / name),
                expected="what wsec wrote, with its checksum",
                found=found,
                hint="nothing: the model was compiled again",
            )
        )

    def _unusable(self, error: OSError | shutil.Error) -> None:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        self._warn(
            WsecError(
                code="WSEC526",
                what="the folder of the cache cannot be used",
                where=str(self.folder),
                expected="a folder that can be read and written, on a disk with room",
                found=reason,
                hint="choose another with --cache-dir, or --no-cache; models are compiled each time",
            )
        )

    def _warn(self, warning: WsecError) -> None:
        if all(str(warning) != str(older) for older in self.warnings):
            self.warnings.append(warning)


def _rename_folder(source: Path, place: Path) -> None:
    try:
        source.rename(place)
    except OSError as error:
        if place.is_dir():
            raise FileExistsError(str(place)) from error
        raise


def _require_digests(folder: Path) -> None:
    """Compare with the digests that were kept with a plan, and remove these.

    Raises:
        OSError: A file cannot be read.
        ValueError: Something else is there.
    """
    listed = json.loads((folder / _PLAN_DIGESTS).read_bytes())
    (folder / _PLAN_DIGESTS).unlink()
    if listed != _digests(folder):
        raise ValueError("other contents than were written")


def _digests(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): sha256_of_file(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def _size(path: Path) -> int:
    """Bytes of a file, or of all files in a folder; what disappears meanwhile has none."""
    total = 0
    for each in (path, *(path.rglob("*") if path.is_dir() else ())):
        with contextlib.suppress(OSError):
            total += each.stat().st_size if each.is_file() else 0
    return total
