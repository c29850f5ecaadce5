"""Runtimes that are not ours, by name. All but onnxruntime are programs in an environment of their own.

A program `programs/run_NAME.py` says in its PEP 723 head what it needs, with versions, and `uv run --script`
provides it. It gets three paths, FILE IN.npz OUT.npz:

    IN.npz   x         raw samples (samples, n_0) float32
             settings  JSON text, a 0-d unicode array: the sidecar's settings, and the exporter's name
    OUT.npz  logits    (samples, n_L), float32 or int64
             runtime   text: name and version
             labels (samples,), energy_j and latency_s (samples,): only if it has them
"""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from lavaghost.base.errors import ExportError, MissingError, join_faults
from lavaghost.exporters import Exporter, Outputs
from lavaghost.net.network import Network
from lavaghost.numbers.arithmetic import Array

FOLDER = Path(__file__).with_name("programs")
TIMEOUT_S = 900.0
"""Until a program must have finished; its environment is made in this time too, once."""
SLACK_BYTES = 1 << 16
"""What names and headers may add to an answer."""


@dataclass(frozen=True)
class Runtime:
    """What runs a file: `script` in an environment of its own, or, where it is None, onnxruntime beside us.

    `settings` override those of the file: what this runtime decides where the format leaves it open.
    """

    name: str
    script: Path | None
    how: str
    settings: Mapping[str, Any] = field(default_factory=dict)


def _script(name: str, how: str, **settings: Any) -> Runtime:
    return Runtime(name, FOLDER / f"run_{name.replace('-', '_')}.py", how, settings)


RUNTIMES: Mapping[str, Runtime] = MappingProxyType(
    {
        runtime.name: runtime
        for runtime in (
            Runtime("onnxruntime", None, "ONNX Runtime, CPU, in this process"),
            _script("onnx-reference", "the reference evaluator of ONNX, in numpy"),
            _script("openvino", "Intel OpenVINO, CPU"),
            _script("tract", "tract, an inference engine in Rust"),
            _script("netx", "lava-dl netx in Lava's fixed-point simulator"),
            _script("sanafe", "SANA-FE on its Loihi 1, with energy and time"),
            _script("nengo-loihi", "nengo-loihi's emulator of Loihi 1, on a SANA-FE file"),
            _script("norse", "Norse, PyTorch"),
            _script("sinabs", "Sinabs, PyTorch"),
            _script("spikingjelly", "SpikingJelly, PyTorch"),
            _script("snntorch", "snnTorch, PyTorch"),
            _script("rockpool", "Rockpool, PyTorch; resets by the threshold", reset="soft"),
        )
    }
)


def known(name: str | None) -> None:
    """Refuse with `ExportError` a name that no runtime has."""
    if name is not None and name not in RUNTIMES:
        raise ExportError(f"no runtime {name!r}; there are {', '.join(sorted(RUNTIMES))}")


def choose(exporter: Exporter, name: str | None) -> Runtime:
    """The runtime called `name`, or the usual one of `exporter`. Raises `ExportError` naming those that can."""
    known(name)
    can = [runtime for runtime in exporter.runtimes if runtime in RUNTIMES]
    if not can or (name is not None and name not in can):
        what = "no runtime runs" if name is None else f"runtime {name!r} does not run"
        raise ExportError(
            f"{what} files of exporter {exporter.name!r}; those that do are {', '.join(can) or 'none'}"
        )
    return RUNTIMES[name or can[0]]


def run(
    runtime: Runtime,
    file: Path,
    raw: Array,
    network: Network,
    settings: Mapping[str, Any],
    timeout_s: float = TIMEOUT_S,
    *,
    graph: bool = False,
) -> Outputs:
    """Raw samples `(samples, n_0)` float32 through `file`; an ONNX `graph` is checked first.

    Raises `ExportError` or `MissingError`.
    """
    if runtime.script is None:
        from lavaghost.exporters.onnx.run_onnx import run_onnx

        return run_onnx(file, raw, network)
    uv = find_uv(runtime.name)
    with tempfile.TemporaryDirectory(prefix="lavaghost-") as folder:
        given, answer = Path(folder) / "in.npz", Path(folder) / "out.npz"
        if graph:
            file = _checked_copy(file, network, Path(folder))
        np.savez(given, x=raw.astype(np.float32), settings=np.array(json.dumps(dict(settings))))
        paths = (str(runtime.script), str(file.absolute()), str(given), str(answer))
        _call([uv, "run", "--quiet", *_python(runtime.script), "--script", *paths], runtime, folder, timeout_s)
        return _read(answer, runtime, len(raw), network.layers[-1])


def _checked_copy(file: Path, network: Network, folder: Path) -> Path:
    """The bytes that were checked, where nobody changes them: a file may come from anywhere."""
    from lavaghost.exporters.onnx.run_onnx import read_checked

    copy = folder / "model.onnx"
    copy.write_bytes(read_checked(file, network))
    return copy


def _python(script: Path) -> list[str]:
    """What the program's head says of Python, as options: a .python-version above it would win otherwise."""
    stated = re.search(r'^# requires-python = "([^"]+)"$', script.read_text(encoding="utf-8"), re.MULTILINE)
    return ["--python", stated[1]] if stated else []


def find_uv(runtime: str) -> str:
    """The program uv: LAVAGHOST_UV, on the PATH, beside this Python, or in the checkout's .tools."""
    named = os.environ.get("LAVAGHOST_UV")
    checkout = Path(__file__).parents[2] / ".tools" / "bin" / "uv"
    places = (
        [named] if named else [shutil.which("uv"), str(Path(sys.executable).with_name("uv")), str(checkout)]
    )
    for place in places:
        if place and os.access(place, os.X_OK) and Path(place).is_file():
            return place
    raise MissingError(
        f"runtime {runtime!r} needs uv, which is not {f'at {named} (LAVAGHOST_UV)' if named else 'on the PATH'}; "
        "pip install uv, or set LAVAGHOST_UV to its path"
    )


def _call(command: list[str], runtime: Runtime, folder: str, timeout_s: float) -> None:
    """Run `command` to its end; its whole process group is gone afterwards, whatever happens."""
    environment = {k: v for k, v in os.environ.items() if k not in ("VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME")}
    environment.setdefault("UV_SYSTEM_CERTS", "1")
    # a program may want the Python that we run on, which need not be on the PATH
    environment["PATH"] = os.pathsep.join((environment.get("PATH", os.defpath), f"{sys.base_prefix}/bin"))
    if "PIP_FIND_LINKS" in environment:  # releases that lie on the user's disk
        environment.setdefault("UV_FIND_LINKS", ",".join(environment["PIP_FIND_LINKS"].split()))
    try:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except OSError as error:
        raise MissingError(f"cannot start {command[0]}: {error.strerror or error}; pip install uv") from error
    try:
        _, said = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired as error:
        raise ExportError(
            f"runtime {runtime.name!r} did not finish within {timeout_s:g} s; use fewer samples (--limit)"
        ) from error
    finally:
        _end(process)
    if process.returncode:
        lines = said.decode(errors="replace").strip().splitlines() or [f"exit code {process.returncode}"]
        raise ExportError(join_faults([f"runtime {runtime.name!r} cannot run it: {lines[-1]:.300}"]))


def _end(process: "subprocess.Popen[bytes]") -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):  # nobody may be left
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    if process.stderr is not None:
        process.stderr.close()


def _read(answer: Path, runtime: Runtime, samples: int, outputs: int) -> Outputs:
    """The answer, every array of the size that it must have. Raises `ExportError`."""
    most = 8 * samples * (outputs + 3) + SLACK_BYTES
    try:
        with zipfile.ZipFile(answer) as archive:
            if (size := sum(entry.file_size for entry in archive.infolist())) > most:
                raise ExportError(f"runtime {runtime.name!r} answered {size} bytes, at most {most} are used")
        with np.load(answer, allow_pickle=False) as arrays:
            found = {name: arrays[name] for name in arrays.files}
    except ExportError:
        raise
    # a zip file that is none raises a dozen types
    except Exception as error:
        raise ExportError(
            join_faults([f"runtime {runtime.name!r} left no readable answer: {error!s:.200}"])
        ) from error
    wanted = {"logits": (samples, outputs)} | dict.fromkeys(("labels", "energy_j", "latency_s"), (samples,))
    faults = [] if "logits" in found else ["it gave no logits"]
    for name in wanted.keys() & found.keys():
        array = found[name]
        kinds = "iu" if name == "labels" else "iuf" if name == "logits" else "f"
        if array.shape != wanted[name] or array.dtype.kind not in kinds:
            faults.append(f"its {name} are {array.dtype} {array.shape}, not {wanted[name]}")
        elif not np.all(np.isfinite(array)):
            faults.append(f"its {name} are not all finite")
    if faults:
        raise ExportError(f"runtime {runtime.name!r}: {join_faults(sorted(faults))}")
    logits = found["logits"]
    return Outputs(
        logits=logits,
        labels=found.get("labels", logits.argmax(axis=1)),
        energy_j=found.get("energy_j"),
        latency_s=found.get("latency_s"),
        version=str(found.get("runtime", runtime.name))[:100],
    )
