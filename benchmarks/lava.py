"""What Lava costs at 784-256-10: the models and the plain loop, in one run, so that their ratios hold.

    python -m benchmarks.lava [--steps 640] [--rounds 7] [--out out/bench] [--markdown]

Time per step of learning (3 free and 2 nudged steps a trial, and 32 and 32), start-up, memory and OS processes of
each model, what recording costs, and where the fused model's time goes. Needs Lava, so Python 3.10.
"""

import argparse
import json
import os
import time
from pathlib import Path
from statistics import median
from typing import Any

os.environ.setdefault(
    "OPENBLAS_NUM_THREADS", "1"
)  # before NumPy: one sample gives a second thread nothing to do

import numpy as np
import psutil

from benchmarks.machine import describe, headline
from benchmarks.tables import Table, span
from lavaghost.engines.stepped import Stepped
from lavaghost.lava.phases import Lessons
from lavaghost.lava.processes.ghost.ghost_network import ghost_network
from lavaghost.lava.quiet import quiet
from lavaghost.lava.record import ROWS
from lavaghost.lava.session import Session, configuration
from lavaghost.methods.ghost.method import Ghost
from lavaghost.methods.learning import Learning
from lavaghost.net.network import Network, Schedule
from lavaghost.net.parameters import initial_parameters
from lavaghost.online.course import Course, apply_trial, course, online_epoch

PHASES = ((3, 2), (32, 32))
TIMEOUT_S = 600
EVERY = -(-60_000 // ROWS)
DRAW = np.random.default_rng(0)
X = (DRAW.random((64, 784)) * (DRAW.random((64, 784)) < 0.2)).astype(np.float32)
Y = np.eye(10)[DRAW.integers(0, 10, 64)]


class Case:
    """One network and its course."""

    def __init__(self, free: int, nudged: int) -> None:
        tau = 1.0 if free < 8 else 2.0
        schedule = Schedule(t_free_steps=free, t_nudge_steps=nudged, tau_steps=tau, tau_ghost_steps=tau)
        method = Ghost(lam=0.25, beta=0.5, schedule=schedule)
        self.graph = method.graph(Network(layers=(784, 256, 10)))
        learning = Learning(batch_size=1, momentum=0.0, weight_decay=0.0, eta=0.01)
        self.course: Course = course(self.graph, method, learning, 10**6)
        self.params = initial_parameters(self.graph, 0, np.float64)
        self.steps = free + nudged

    def plain(self, steps: int) -> float:
        """Seconds per step of the plain loop, `learning.online_epoch`."""
        trials = max(1, steps // self.steps)
        params = self.params.astype(np.float64)
        start = time.perf_counter()
        online_epoch(self.course, params, ((X[i % 64], Y[i % 64]) for i in range(trials)))
        return (time.perf_counter() - start) / (trials * self.steps)

    def lava(
        self, model: str, steps: int, record: tuple[int, ...] = (), record_every: int = 1
    ) -> dict[str, float]:
        """Seconds per step, seconds of start-up, OS processes and their memory in MiB, of a model."""
        trials = max(1, steps // self.steps)
        with quiet():
            lessons = Lessons(X, Y, lambda trial: trial % 64)
            recording: dict[str, Any] = {"record": record, "record_every": record_every}
            ghosts = ghost_network(self.graph, self.params, self.course, lessons=lessons, **recording)
        start = time.perf_counter()
        with Session(ghosts, configuration(model)) as session:

            def drain() -> None:
                while record and session.poll(ghosts.record_out) is not None:
                    pass

            def run(count: int) -> None:
                session.start(count * self.steps)
                session.wait(timeout_s=TIMEOUT_S, drain=drain)

            run(1)
            ready = time.perf_counter()
            run(trials)
            end = time.perf_counter()
            children = psutil.Process().children(recursive=True)
            memory = sum(_own_memory(child) for child in children)
        return {
            "step_s": (end - ready) / (trials * self.steps),
            "start_s": ready - start,
            "processes": len(children) + 1,
            "memory_mib": memory / 2**20,
        }

    def pieces(self, steps: int) -> dict[str, float]:
        """Seconds per step of what the fused model computes, without Lava: dynamics, and learning."""
        engine, params = Stepped(self.graph), self.params.astype(np.float64)
        trials = max(1, steps // self.steps)
        dynamics = teaching = 0.0
        for i in range(trials):
            start = time.perf_counter()
            trial = engine.trial(params, X[i % 64][np.newaxis], Y[i % 64][np.newaxis])
            middle = time.perf_counter()
            apply_trial(self.course, i, trial, params)
            dynamics += middle - start
            teaching += time.perf_counter() - middle
        return {"dynamics": dynamics / (trials * self.steps), "learning": teaching / (trials * self.steps)}


def _own_memory(process: psutil.Process) -> float:
    """Memory that only this process has (uss), where the system says; the rest is shared with the host."""
    try:
        return process.memory_full_info().uss
    except (psutil.AccessDenied, AttributeError):
        return process.memory_info().rss


def leaks(cycles: int) -> dict[str, list[float]]:
    """What the host holds before and after `cycles` sessions of the fused model: [before, after]."""
    import threading

    from lava.magma.core.process.process import ProcessServer

    def held() -> dict[str, float]:
        me = psutil.Process()
        return {
            "processes": len(me.children(recursive=True)),
            "threads": threading.active_count(),
            "open files": me.num_fds(),
            "shared memory": len(list(Path("/dev/shm").glob("psm_*"))),
            "registered by Lava": len(ProcessServer().processes),
            "memory MiB": round(me.memory_info().rss / 2**20),
        }

    case = Case(3, 2)
    case.lava("fused", 5)
    before = held()
    for _ in range(cycles):
        case.lava("fused", 5)
    after = held()
    return {name: [before[name], after[name]] for name in before}


def run(steps: int, rounds: int) -> list[dict[str, Any]]:
    """All figures: each round measures every model once, so that a busy moment hits all of them."""
    rows = []
    for free, nudged in PHASES:
        case = Case(free, nudged)
        found: dict[str, list[Any]] = {
            name: [] for name in ("plain", "fused", "recorded", "each", "decomposed", "pieces")
        }
        for _ in range(rounds):
            found["plain"].append(case.plain(steps))
            found["fused"].append(case.lava("fused", steps))
            found["recorded"].append(case.lava("fused", steps, (1, 2), EVERY))
            found["each"].append(case.lava("fused", steps, (1, 2)))
            found["decomposed"].append(case.lava("decomposed", max(2 * case.steps, steps // 10)))
            found["pieces"].append(case.pieces(steps))
        rows.append({"free": free, "nudged": nudged, **found})
    return rows


def tables(rows: list[dict[str, Any]]) -> list[Table]:
    """Ratios, costs, and where the time goes."""
    ratios, costs, pieces = [], [], []
    for row in rows:
        phases = f"{row['free']} + {row['nudged']}"
        plain = row["plain"]
        step = {name: [r["step_s"] for r in row[name]] for name in ("fused", "recorded", "each", "decomposed")}

        def ratio(a: list[float], b: list[float]) -> str:
            values = [x / y for x, y in zip(a, b, strict=True)]
            return f"{min(a) / min(b):.2f} ({span(values)})"

        cells = [f"{1e3 * min(s):.3f}" for s in (plain, *step.values())]
        compared = (
            (step["fused"], plain),
            (step["decomposed"], step["fused"]),
            (step["recorded"], step["fused"]),
            (step["each"], step["fused"]),
        )
        ratios.append([phases, cells[0], cells[1], cells[4], *(ratio(a, b) for a, b in compared)])
        for name in ("fused", "decomposed"):
            mean = {key: median([r[key] for r in row[name]]) for key in ("start_s", "processes", "memory_mib")}
            costs.append(
                [
                    phases,
                    name,
                    f"{mean['start_s']:.2f}",
                    f"{mean['processes']:.0f}",
                    f"{mean['memory_mib']:.0f}",
                ]
            )
        parts = {key: 1e3 * min(r[key] for r in row["pieces"]) for key in ("dynamics", "learning")}
        whole = 1e3 * min(step["fused"])
        parts["Lava"] = whole - sum(parts.values())
        pieces.append([phases, *(f"{v:.3f} ms ({v / whole:.0%})" for v in parts.values())])
    return [
        Table(
            "Lava at 784-256-10, learning: milliseconds per step, and ratios",
            [
                "phases",
                "plain",
                "fused",
                "decomposed",
                "fused / plain",
                "decomposed / fused",
                "recorded / fused",
                "each trial recorded / fused",
            ],
            ratios,
            [
                "Of the fastest rounds, which others disturbed least; in brackets, the ratios of single rounds.",
                f"Recorded: one trial of {EVERY}, as `train --record` does in one epoch of MNIST.",
            ],
        ),
        Table(
            "Start-up, OS processes and memory",
            ["phases", "model", "start s", "processes, with the host", "memory of its own, MiB"],
            costs,
            [],
        ),
        Table(
            "Where the fused model's step goes",
            ["phases", "dynamics", "learning", "Lava: messages and barriers"],
            pieces,
            ["Dynamics and learning as timed in the plain loop; the rest is Lava's."],
        ),
    ]


def leak_table(found: dict[str, list[float]], cycles: int) -> Table:
    """Before and after."""
    lines = [[name, f"{before:g}", f"{after:g}"] for name, (before, after) in found.items()]
    return Table(f"{cycles} sessions, one after the other", ["the host holds", "before", "after"], lines, [])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "--steps", type=int, default=640, help="of a measurement; a tenth for the decomposed model"
    )
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--cycles", type=int, default=50, help="sessions started and ended, to look for leaks")
    parser.add_argument("--out", type=Path, default=Path("out/bench"), help="folder of the JSON file")
    parser.add_argument("--markdown", action="store_true", help="print Markdown, for docs/results.md")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    machine = describe(1)
    print(headline(machine), end="\n\n")
    rows = run(options.steps, options.rounds)
    found = leaks(options.cycles)
    text = json.dumps({"machine": machine, "rows": rows, "leaks": found}, indent=1)
    (options.out / "lava.json").write_text(text + "\n")
    for table in (*tables(rows), leak_table(found, options.cycles)):
        print(table.markdown() if options.markdown else table.text(), flush=True)


if __name__ == "__main__":
    main()
