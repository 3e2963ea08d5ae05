"""Feeds damaged models to wsec: each is refused with an error that says why, or gives a plan that onnxruntime confirms.

Every example runs in a process of its own with a deadline and a limit of memory; what dies, hangs, shows a traceback or
computes something else is printed and kept:

    .venv/bin/python benchmarks/mutations.py --examples 2000 --seed 0 --keep build/mutations
    .venv/bin/python benchmarks/mutations.py --models build/models/tab_mlp.onnx --dim input:0=16 --examples 50
"""

from __future__ import annotations

import argparse
import faulthandler
import os
import random
import resource
import signal
import sys
import tempfile
import traceback
from collections import Counter
from pathlib import Path

from mutated_models import mutate, seed_models
from wsec.compiler.errors import WsecError
from wsec.driver import Options, compile_model

GOOD = ("refused", "verified", "unjudged")
_SMALL = Options(target="mesh16", region=(6, 4), effort=0.0)
_DEADLINE_SECONDS = 300  # above what wsec gives to a loop that does not end
_MEMORY_BYTES = 6 << 30


def outcome(path: Path, options: Options = _SMALL) -> tuple[str, str]:
    """What becomes of a model, in a word and a line: one of `GOOD`, or what went wrong.

    `unjudged` is a plan that its checker passes, of a model that onnxruntime itself does not run.
    """
    try:
        plan = compile_model(path, options)
    except WsecError as error:
        return ("internal" if error.code.startswith("WSEC6") else "refused"), str(error)
    findings = plan.check()
    if findings:
        return "illegal", str(findings[0])
    try:
        verification = plan.verify()
    except WsecError as error:
        return ("unjudged" if error.code == "WSEC566" else "unable"), str(error)
    return ("verified", "") if verification.passed else ("wrong", verification.explanation)


def judged(data: bytes, folder: Path, options: Options = _SMALL) -> tuple[str, str]:
    """The outcome for the bytes of a model; an exception that is no `WsecError` is one, too."""
    path = folder / "model.onnx"
    path.write_bytes(data)
    try:
        return outcome(path, options)
    except Exception as error:  # noqa: BLE001 - which is what this looks for
        where = " < ".join(
            f"{frame.name}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)[:-7:-1]
        )
        return "traceback", f"{type(error).__name__}: {str(error)[:200]} in {where}"


def _guarded(data: bytes, options: Options) -> tuple[str, str]:
    """The outcome in a process of its own."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
        faulthandler.dump_traceback_later(_DEADLINE_SECONDS, exit=True)
        with tempfile.TemporaryDirectory() as folder:
            kind, text = judged(data, Path(folder), options)
        os.write(writer, f"{kind}\n{text[:4000]}".encode(errors="replace"))
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        said = pipe.read().decode()
    _, status = os.waitpid(child, 0)
    if status:
        died = os.WIFSIGNALED(status)
        return "died", signal.Signals(os.WTERMSIG(status)).name if died else "deadline passed"
    kind, _, text = said.partition("\n")
    return kind, text


def main() -> None:
    """Run examples and print what they came to."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--examples", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--models", type=Path, nargs="*", default=[], help="instead of the small ones")
    parser.add_argument(
        "--dim", action="append", default=[], help="size of an open dimension of these models"
    )
    parser.add_argument("--keep", type=Path, help="folder for the models that went wrong")
    arguments = parser.parse_args()
    seeds = {path.name: path.read_bytes() for path in arguments.models} or seed_models()
    dims = {name: int(size) for name, _, size in (item.rpartition("=") for item in arguments.dim)}
    options = Options(target="wse2", region=(64, 64), effort=0.0, dims=dims) if arguments.models else _SMALL
    counts: Counter[str] = Counter()
    for index in range(arguments.examples):
        source = random.Random(f"{arguments.seed} {index}")  # noqa: S311 - repeatable, not secret
        name = source.choice(sorted(seeds))
        data = mutate(seeds[name], source)
        kind, text = _guarded(data, options)
        counts[kind] += 1
        if kind in GOOD:
            continue
        print(f"{index} {name}: {kind}: {text}", flush=True)
        if arguments.keep is not None:
            arguments.keep.mkdir(parents=True, exist_ok=True)
            (arguments.keep / f"{arguments.seed}-{index}-{kind}.onnx").write_bytes(data)
    print(", ".join(f"{kind} {count}" for kind, count in sorted(counts.items())))
    sys.exit(any(kind not in GOOD for kind in counts))


if __name__ == "__main__":
    main()
