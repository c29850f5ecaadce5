"""Learning from scratch in integers: accuracy, cosines and residuals per seed and epoch.

    python -m benchmarks.integer_accuracy --mnist DIR [--only mnist] [--seeds 0,1,2]

Each run leaves a checkpoint and one JSON file per seed in out/integers, rewritten after every epoch: a run that
was interrupted goes on where it stood, one that is complete is read from the disk. MNIST is cut to its 20 x 20
centre (rows and columns 4..23), the input of the published 400-400-10 network on a Loihi chip.
"""

import argparse
import json
import os
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from lavaghost.base.files import write_atomic
from lavaghost.base.names import Mechanism
from lavaghost.base.spec import parse
from lavaghost.datasets import Dataset, load
from lavaghost.methods.base import Method
from lavaghost.methods.ghost.method import Ghost
from lavaghost.net.network import Network
from lavaghost.numbers.widths import DEFAULT, LoihiWidths
from lavaghost.online.integers.formats import suited_fraction
from lavaghost.online.integers.settings import IntegerLearning, suited
from lavaghost.training.checkpoint import fingerprint, identity
from lavaghost.training.integer_learner import IntegerLearner
from lavaghost.training.loop import run as run_loop

OUT = Path("out/integers")
HEAD = "| network | mean % | from to | seeds | worst cosines | sampled | residuals | s |"
SLOW_DECAY = (0.25, 0.5, 0.7, 0.85)


class Row(NamedTuple):
    """One row: a data set, a mechanism, and what its learning changes of the defaults; its rule is the usual one."""

    name: str
    data: str
    mechanism: Mechanism
    hidden: int
    learning: dict[str, Any]
    seeds: int = 3

    @property
    def widths(self) -> LoihiWidths:
        """Those of Loihi, with the fraction of states that the mechanism learns well with."""
        graph = Ghost(mechanism=self.mechanism).graph(Network(layers=(1, self.hidden, 1)))
        return replace(DEFAULT, state_fraction=suited_fraction(graph))


MNIST = {"epochs": 20, "eta_exponent": -5, "halve_at": SLOW_DECAY}
SLOWER = {**MNIST, "eta_exponent": -6}
"""For denser hidden rates: a step on one sample overshoots when eta |r|^2 passes 2."""
ROWS = (
    Row("mnist-duplicate", "mnist", "duplicate", 400, MNIST),
    Row("digits-duplicate", "digits", "duplicate", 128, {"epochs": 40}, 5),
    Row("digits-online", "digits", "online", 128, {"epochs": 40}, 5),
    Row("digits-learned", "digits", "learned", 128, {"epochs": 40}, 3),
    Row("digits-duplicate-shared", "digits", "duplicate", 128, {"epochs": 40, "rounding": "shared"}, 3),
    Row("mnist-online", "mnist", "online", 400, {}, 3),
    Row("mnist-learned", "mnist", "learned", 400, {**SLOWER, "pretrain_samples": 60_000}, 1),
)


def centre(data: Dataset) -> Dataset:
    """MNIST's central 20 x 20 pixels."""

    def cut(x: Any) -> Any:
        return np.ascontiguousarray(x.reshape(-1, 28, 28)[:, 4:24, 4:24].reshape(-1, 400))

    return Dataset(
        f"{data.name}, 20 x 20 centre", cut(data.x_train), data.y_train, cut(data.x_test), data.y_test,
        data.n_classes, data.scale,
    )  # fmt: skip


def parts_of(row: Row, data: Dataset) -> tuple[Network, Method]:
    """The network and the method of a row, with physics that suit integers."""
    network = Network(layers=(data.n_inputs, row.hidden, data.n_classes))
    return suited(network, Ghost(mechanism=row.mechanism), row.widths)


def run(row: Row, seed: int, data: Dataset) -> dict[str, Any]:
    """The figures of one seed; from the disk if they are complete."""
    path = OUT / f"{row.name}-{seed}.json"
    learning = parse(IntegerLearning, {**row.learning, "seed": seed})
    if path.exists():
        found = json.loads(path.read_text())
        if len(found["history"]) == learning.epochs + 1:
            return found
    network, method = parts_of(row, data)
    history: list[dict[str, Any]] = []

    def report(_done: int, _total: int, epoch: dict[str, Any] | None) -> None:
        if epoch is not None:
            history.append(epoch)
            print(
                f"{row.name}, seed {seed}, epoch {epoch['epoch']}: {100 * epoch['accuracy']:.2f} %, cosines "
                + " ".join(f"{c:.3f}" for c in epoch["cosines"])
                + ", residuals "
                + " ".join(f"{c:.3f}" for c in epoch["residuals"]),
                file=sys.stderr,
                flush=True,
            )

    out = OUT / f"{row.name}-{seed}"
    learner = IntegerLearner(network, method, learning, data, widths=row.widths)
    settings = {
        "network": network.model_dump(mode="json"),
        "method": method.settings(),
        "learning": learning.model_dump(mode="json"),
    }
    owner = identity(**settings, data=fingerprint(data), widths=row.widths.as_json())
    done = run_loop(learner, out=out, identity=owner, resume=True, report=report)
    found = {
        "name": row.name,
        "seed": seed,
        **settings,
        "seconds": done.seconds,
        "history": done.history,
    }
    write_atomic(path, json.dumps(found).encode())
    return found


def line(row: Row, found: list[dict[str, Any]]) -> str:
    """One Markdown line: last epochs over the seeds, and the worst cosine and residual of any seed and epoch."""
    last = [f["history"][-1] for f in found]
    accuracy = 100 * np.array([r["accuracy"] for r in last])
    rows = [r for f in found for r in f["history"][1:]]
    cosines, sampled = (np.min([r[key] for r in rows], axis=0) for key in ("cosines", "sampled_cosines"))
    residuals = np.max([r["residuals"] for r in last], axis=0)
    return (
        f"| {row.name} | {accuracy.mean():.2f} | {accuracy.min():.2f} to {accuracy.max():.2f} | {len(found)} "
        f"| {' '.join(f'{c:.3f}' for c in cosines)} | {' '.join(f'{c:.3f}' for c in sampled)} "
        f"| {' '.join(f'{c:.3f}' for c in residuals)} | {np.mean([f['seconds'] for f in found]):.0f} |"
    )


def main() -> None:
    """Run what is missing and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--mnist", default=os.environ.get("LAVAGHOST_MNIST", ""), help="folder of IDX files")
    parser.add_argument("--only", default="", help="only rows whose name starts so")
    parser.add_argument("--seeds", default="", help="only these seeds, such as 0,1")
    parser.add_argument("--write", type=Path, help="replace the table in this file")
    options = parser.parse_args()
    rows = [row for row in ROWS if row.name.startswith(options.only) and (options.mnist or row.data != "mnist")]
    data = {"digits": load("digits")}
    if any(row.data == "mnist" for row in rows):
        data["mnist"] = centre(load(options.mnist))
    lines = [HEAD, "|---|---|---|---|---|---|---|---|"]
    for row in rows:
        seeds = [int(s) for s in options.seeds.split(",")] if options.seeds else range(row.seeds)
        lines.append(line(row, [run(row, seed, data[row.data]) for seed in seeds]))
        print(lines[-1], flush=True)
    if options.write:
        page = options.write.read_text()
        table = "\n".join(lines)
        options.write.write_text(
            re.sub(r"(<!-- integer accuracy -->\n).*?(<!-- end -->)", rf"\g<1>{table}\n\2", page, flags=re.S)
        )


if __name__ == "__main__":
    main()
