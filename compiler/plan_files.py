"""The list of a plan's files, `files.json`: by it a damaged or exchanged model is found before anything is computed.

Models are listed with size and SHA-256. Weights that were copied from the user's files are listed with their size only:
a plan of 60 GB is made without reading its weights, and is not read for a check either.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

FILES = "files.json"
_HASHED_SUFFIXES = (".onnx", "lowered.weights")


def write_file_list(folder: Path) -> None:
    """Lists every file that is in `folder`.

    Raises:
        OSError: One cannot be read, or the list not written.
    """
    entries = {
        path.relative_to(folder).as_posix(): _entry(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in {FILES, "plan.json"}
    }
    (folder / FILES).write_text(json.dumps(entries, indent=1) + "\n")


def find_damage(folder: Path, *, hashed: tuple[str, ...]) -> str | None:
    """What differs from the list: a size, a missing file, or the contents of the files named in `hashed`.

    None where nothing does, or there is no list: plans of earlier versions have none.
    """
    try:
        listed = json.loads((folder / FILES).read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        return f"{FILES}: {type(error).__name__}: {error}"
    if not isinstance(listed, dict):
        return f"{FILES} lists no files"
    for name, entry in listed.items():
        found = _difference(folder / name, entry, hash_it=name in hashed)
        if found is not None:
            return f"{name}: {found}"
    return None


def _difference(path: Path, entry: object, *, hash_it: bool) -> str | None:
    if not isinstance(entry, dict) or not isinstance(entry.get("bytes"), int):
        return f"no size in {FILES}"
    try:
        size = path.stat().st_size
        if size != entry["bytes"]:
            return f"{size:,} bytes instead of {entry['bytes']:,}"
        if hash_it and "sha256" in entry and _sha256(path) != entry["sha256"]:
            return "other contents than were written"
    except FileNotFoundError:
        return f"no such file; {entry['bytes']:,} bytes were written"
    except (OSError, ValueError) as error:
        return f"{type(error).__name__}: {error}"
    return None


def _entry(path: Path) -> dict[str, int | str]:
    size = {"bytes": path.stat().st_size}
    return {**size, "sha256": _sha256(path)} if path.name.endswith(_HASHED_SUFFIXES) else {**size}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
