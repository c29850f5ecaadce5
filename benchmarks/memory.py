"""Peak memory of loading MNIST and training on it for one epoch, in a process of its own.

Counted is all that the process holds at its peak (`VmHWM`, or `ru_maxrss` where there is no /proc) beyond what
it held after its imports: the data set while it is read from the files, and afterwards with parameters,
velocities, the engine's buffers and those of the BLAS. The limit is a multiple of the data set in float32
(training and test images, and labels) and the parameters.
"""

import json
import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.tables import Table

LAYERS = ((784, 500, 10), (784, 500, 500, 500, 10))
LIMIT = 1.5
MIB = 2**20


def run(folder: str) -> list[dict[str, Any]]:
    """One fresh process per network."""
    rows = []
    for layers in LAYERS:
        command = [sys.executable, "-m", "benchmarks.memory", folder, *map(str, layers)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"benchmarks.memory: {done.stderr.strip().splitlines()[-1]}")
        rows.append(json.loads(done.stdout))
    return rows


def held() -> int:
    """Bytes of memory that this process holds now; where there is no /proc, at its peak so far."""
    status = Path("/proc/self/statm")
    if status.exists():
        return int(status.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return peak()


def peak() -> int:
    """The most bytes that this process has held so far."""
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def measure(folder: str, layers: tuple[int, ...]) -> dict[str, Any]:
    """Load, train for an epoch, and count."""
    from benchmarks.sides import Ours
    from lavaghost.datasets import load

    before = held()
    data = load(Path(folder))
    loaded = peak()
    side = Ours(layers, data)
    side.epoch()
    after = peak()
    arrays = (data.x_train, data.y_train, data.x_test, data.y_test)
    counted = {
        "data": sum(a.nbytes for a in arrays),
        "model": sum(a.nbytes for a in side.learner.params.named().values()),
    }
    return {
        "layers": layers,
        "imports": before,
        "loading": loaded - before,
        "peak": after - before,
        **counted,
        "ratio": (after - before) / sum(counted.values()),
    }


def table(rows: list[dict[str, Any]]) -> Table:
    """MiB, and the ratio with its limit."""
    keys = ("data", "model", "loading", "peak", "imports")
    lines = []
    for row in rows:
        verdict = f"{LIMIT} {'met' if row['ratio'] <= LIMIT else 'MISSED'}"
        figures = [f"{row[key] / MIB:.1f}" for key in keys]
        lines.append(["-".join(map(str, row["layers"])), *figures, f"{row['ratio']:.2f}", verdict])
    head = ["network", "data MiB", "model MiB", "peak while loading", "peak in all", "imports alone", "ratio"]
    return Table(
        "Peak memory of loading MNIST and training for one epoch",
        [*head, "target"],
        lines,
        [
            "Peaks are resident memory beyond the imports. Ratio: peak in all over data (float32 images and labels, "
            "training and test) and model (weights and biases)."
        ],
    )


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1], tuple(map(int, sys.argv[2:])))))
