"""Feeds hostile inputs to one reader, in a process with little memory that may die without harm."""

import contextlib
import os
import random
import resource
import sys
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from lavaghost.base.errors import ExportError, LavaGhostError
from lavaghost.exporters.onnx.origin import stated
from lavaghost.exporters.onnx.run_onnx import run_onnx
from lavaghost.exporters.onnx_import.from_onnx import import_onnx
from lavaghost.model.model import Model
from tests.fuzz import bundles, mutate, readers

EXTRA_BYTES = 1 << 30
"""Address space that a reader may take beyond what the interpreter has when it begins."""


WARM_UP = 3
"""Inputs before the limits and the watching begin."""


class Target(NamedTuple):
    """A reader, and where its inputs come from: name of a file -> its bytes."""

    make: Callable[[random.Random], dict[str, bytes]]
    read: Callable[[Path], Any]


def _verify(folder: Path) -> Any:
    raw = np.ones((2, mutate.OURS.network.layers[0]), np.float32)
    with contextlib.suppress(ExportError):
        stated(folder / "model.onnx", mutate.OURS.network)
    return run_onnx(folder / "model.onnx", raw, mutate.OURS.network)


def _bundle(pair: tuple[bytes, bytes]) -> dict[str, bytes]:
    return {"model.yaml": pair[0], "model.safetensors": pair[1]}


TARGETS = {
    "import": Target(
        lambda rng: {"model.onnx": mutate.onnx_input(rng, own=False)},
        lambda folder: import_onnx(folder / "model.onnx"),
    ),
    "verify": Target(lambda rng: {"model.onnx": mutate.onnx_input(rng, own=True)}, _verify),
    "manifest": Target(lambda rng: _bundle(bundles.manifest_input(rng)), Model.load),
    "weights": Target(lambda rng: _bundle(bundles.weights_input(rng)), Model.load),
    **{name: Target(make, read) for name, (make, read) in readers.READERS.items()},
}


class Outcome(NamedTuple):
    """What one input came to: `refused`, `accepted`, or else a defect in words."""

    number: int
    what: str
    seconds: float
    peak_mib: float


def write(target: str, seed: int, index: int, folder: Path) -> None:
    """Input `index` as the only files of `folder`; the same for the same numbers."""
    for old in folder.iterdir():
        old.unlink()
    for name, data in TARGETS[target].make(random.Random(f"{seed}:{target}:{index}")).items():
        (folder / name).write_bytes(data)


def work(pipe: Connection, target: str, seed: int, indices: list[int], folder: Path) -> None:
    """Read every input, and say through `pipe` first which one it is, then what it came to."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # what C++ says of a broken file
    os.chdir(folder)
    for number in range(-WARM_UP, 0):  # what is imported late is imported now
        _attempt(target, seed, number, folder, [])
    opened: list[str] = []
    sys.addaudithook(lambda event, arguments: _watch(event, arguments, folder, opened))
    limit = _virtual_bytes() + EXTRA_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    for index in indices:
        pipe.send(index)
        what, seconds = _attempt(target, seed, index, folder, opened)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        pipe.send(Outcome(index, what, seconds, peak))
    pipe.close()


def _attempt(target: str, seed: int, index: int, folder: Path, opened: list[str]) -> tuple[str, float]:
    write(target, seed, index, folder)
    opened.clear()
    start = time.perf_counter()
    try:
        TARGETS[target].read(folder)
        what = "accepted"
    except LavaGhostError as error:
        plain = error.exit_code == 2 and str(error) and len(str(error).splitlines()) == 1
        what = "refused" if plain else f"exit code {error.exit_code}, message {str(error)!r:.200}"
    # whatever else is raised is what is looked for
    except BaseException as error:  # noqa: BLE001
        what = f"{type(error).__name__}: {str(error)[:200]}"
    seconds = time.perf_counter() - start
    if opened:
        what = f"touched {opened[:3]}"
    if (folder / bundles.CANARY).exists():
        what = "ran code of the file"
    return what, seconds


def _watch(event: str, arguments: tuple[Any, ...], folder: Path, opened: list[str]) -> None:
    """Notes what a file must not make a reader do."""
    if event in ("os.system", "subprocess.Popen", "os.exec", "socket.connect"):
        opened.append(f"{event} {arguments!s:.80}")
    elif event == "open" and isinstance(arguments[0], str | bytes):
        path = os.path.abspath(os.fsdecode(arguments[0]))  # noqa: PTH100 - resolve() would open files
        own = path.startswith((str(folder), "/proc/self")) or path.endswith((".py", ".pyc", ".so"))
        if not own and not _asked_by_a_registry(path):
            opened.append(path)


def _asked_by_a_registry(path: str) -> bool:
    """Entry points of installed packages, which are looked up for a name that is not our own."""
    entries = path.endswith((".dist-info/entry_points.txt", ".egg-info/entry_points.txt"))
    return path in sys.path or (entries and path.startswith(tuple(filter(None, sys.path))))


def _virtual_bytes() -> int:
    with contextlib.suppress(OSError):
        return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    return 4 << 30
