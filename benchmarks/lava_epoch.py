"""One epoch of MNIST on Lava, step by step: 784-256-10, 60,000 samples, one Euler step per Lava step.

    python -m benchmarks.lava_epoch --mnist DIR [--choose 20000] [--samples N] [--out out/bench]

First the choice of the phases: several schedules, each trained on the first samples of the epoch on the stepped
engine, which computes the very numbers of Lava, only faster. Then the epoch in Lava's fused model, with the
shortest schedule that keeps the accuracy. Needs Lava, so Python 3.10.
"""

import argparse
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault(
    "OPENBLAS_NUM_THREADS", "1"
)  # before NumPy: one sample gives a second thread nothing to do

import numpy as np

from benchmarks.machine import describe
from benchmarks.tables import Table
from lavaghost.datasets import Dataset, load
from lavaghost.lava.learner import train_on_lava
from lavaghost.methods.ghost.method import Ghost
from lavaghost.methods.learning import Learning
from lavaghost.net.network import Network, Schedule
from lavaghost.net.parameters import Parameters, initial_parameters
from lavaghost.online.course import course, online_epoch
from lavaghost.training.diagnostics import diagnose
from lavaghost.training.float_learner import accuracy, probe_of
from lavaghost.training.order import shuffled

SCHEDULES = ((1.0, 3, 1), (1.0, 3, 2), (1.0, 4, 3), (1.0, 6, 6), (2.0, 32, 24))
"""Time constant, free and nudged steps. With tau = 1 a step relaxes fully: reset, hidden layer and output take
three free steps; the output's error and the hidden layer's take two nudged ones, and one is too short."""
KEEPS = 0.005
"""A schedule keeps the accuracy if it is at most this far below the best."""
NETWORK = Network(layers=(784, 256, 10))
LEARNING = Learning(engine="stepped", batch_size=1, momentum=0.0, weight_decay=0.0, eta=0.02, epochs=1)


def method_in(tau: float, free: int, nudged: int) -> Ghost:
    """Powers of two for gains."""
    schedule = Schedule(tau_steps=tau, tau_ghost_steps=tau, t_free_steps=free, t_nudge_steps=nudged)
    return Ghost(rule="prediction", lam=0.25, beta=0.5, schedule=schedule)


def first_samples(data: Dataset, count: int) -> Iterator[tuple[Any, Any]]:
    """The first samples of the epoch, one at a time."""
    for i, (x, target) in enumerate(shuffled(data, 1, LEARNING.seed, 0)):
        if i == count:
            return
        yield x[0], target[0]


def choose(data: Dataset, count: int) -> list[dict[str, Any]]:
    """Train with each schedule on `count` samples, on the stepped engine."""
    rows = []
    for tau, free, nudged in SCHEDULES:
        method = method_in(tau, free, nudged)
        graph = method.graph(NETWORK)
        params = initial_parameters(graph, LEARNING.seed, np.float64)
        start = time.perf_counter()
        online_epoch(course(graph, method, LEARNING, count), params, first_samples(data, count))
        seconds = time.perf_counter() - start
        found = measured(method, params, data)
        rows.append(
            {"tau": tau, "free": free, "nudged": nudged, "samples": count, "seconds": seconds}
            | {name: found[name] for name in ("accuracy", "cosines", "residuals")}
        )
        print(choice_table(rows[-1:]).text(), flush=True)
    return rows


def measured(method: Ghost, params: Parameters, data: Dataset) -> dict[str, Any]:
    """Accuracy, cosines and residuals."""
    graph, single = method.graph(NETWORK), params.astype(np.float32)
    found = {"accuracy": accuracy(graph, single, data.x_test, data.y_test)}
    return found | diagnose(graph, method, LEARNING, single, {}, *probe_of(data))


def shortest(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The shortest schedule that keeps the best accuracy of all, and teaches every layer."""
    best = max(row["accuracy"] for row in rows)
    good = [r for r in rows if r["accuracy"] >= best - KEEPS and min(r["cosines"]) > 0.9]
    return min(good, key=lambda row: row["free"] + row["nudged"])


def epoch(data: Dataset, row: dict[str, Any], samples: int | None, out: Path) -> dict[str, Any]:
    """The whole epoch in Lava's fused model."""
    method = method_in(row["tau"], row["free"], row["nudged"])
    start = time.perf_counter()

    def watch(done: int, accuracy: float) -> None:
        seconds = time.perf_counter() - start
        print(
            f"{done} samples, {seconds:.0f} s, {done / seconds:.0f} a second: {100 * accuracy:.2f} %",
            flush=True,
        )

    run = train_on_lava(
        NETWORK, method, LEARNING, data, limit=samples, watch=watch, looks=11, out=out / "lava-epoch"
    )
    n = min(samples or len(data.x_train), len(data.x_train))
    last = run.history[-1]
    steps = n * (row["free"] + row["nudged"])
    return {
        **{key: row[key] for key in ("tau", "free", "nudged")},
        "samples": n,
        "steps": steps,
        "seconds": run.seconds,
        "samples_per_s": n / run.seconds,
        "ms_per_step": 1e3 * run.seconds / steps,
        **{key: last[key] for key in ("accuracy", "cosines", "residuals", "during")},
    }


def choice_table(rows: list[dict[str, Any]]) -> Table:
    """The schedules."""
    lines = []
    for r in rows:
        cosines = " ".join(f"{c:.4f}" for c in r["cosines"])
        rate = f"{r['samples'] / r['seconds']:.0f}"
        accuracy = f"{100 * r['accuracy']:.2f} %"
        lines.append([f"{r['tau']:g}", str(r["free"]), str(r["nudged"]), accuracy, cosines, rate])
    head = ["tau", "free", "nudged", "accuracy", "cosines", "samples/s, stepped"]
    return Table(f"Choice of the phases, {rows[0]['samples']} samples", head, lines, [])


def epoch_table(row: dict[str, Any]) -> Table:
    """The epoch."""
    cells = [str(row["samples"]), f"{row['free']} + {row['nudged']}", f"{100 * row['accuracy']:.2f} %"]
    cells += [" ".join(f"{c:.4f}" for c in row["cosines"]), f"{row['samples_per_s']:.0f}"]
    cells += [f"{row['ms_per_step']:.2f}", f"{row['seconds']:.0f} s"]
    head = ["samples", "steps of a trial", "accuracy", "cosines", "samples/s", "ms/step", "time"]
    return Table("One epoch of MNIST in Lava, fused model", head, [cells], [])


def main() -> None:
    """Choose, then run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--mnist", required=True, help="folder of IDX files")
    parser.add_argument("--choose", type=int, default=20_000, help="samples for each schedule")
    parser.add_argument("--samples", type=int, default=None, help="samples of the epoch (all)")
    parser.add_argument("--out", type=Path, default=Path("out/bench"), help="folder of the JSON file")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    data = load(Path(options.mnist))
    machine = describe(1)
    rows = choose(data, options.choose)
    row = epoch(data, shortest(rows), options.samples, options.out)
    text = json.dumps({"machine": machine, "choice": rows, "epoch": row}, indent=1)
    (options.out / "lava_epoch.json").write_text(text + "\n")
    print(choice_table(rows).markdown())
    print(epoch_table(row).markdown())


if __name__ == "__main__":
    main()
