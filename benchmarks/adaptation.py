"""Adaptation to shifted data, in integers: accuracy on the new and on the old data against samples seen, per start.

    python -m benchmarks.adaptation MNIST_FOLDER FASHION_FOLDER --out out/adaptation/figures.json

Every run (pair, start, case, seed) is written as soon as it is there and is not run again; the tables, in Markdown,
lie beside the JSON file. 256-200-10 (64-200-10 for the digits), duplicate ghosts, one pass, one sample at a time. The
settings of `CASES` were chosen on `moved` alone, those of `FEW` on `new digits`; the other pairs are only reported.
"""

import argparse
import functools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import lavaghost as lg
from benchmarks.adaptation_tables import tables
from benchmarks.machine import describe
from benchmarks.pairs import NAMES, NEW_CLASSES, WITH_CLASSES, Pair, pair
from lavaghost.adapting.adapt import AdaptSpec, adapt
from lavaghost.base.files import write_atomic
from lavaghost.numbers.widths import DEFAULT
from lavaghost.online.integers.compiled_network import CompiledNetwork, initial_integers
from lavaghost.online.integers.settings import IntegerLearning, integer_rule, suited
from lavaghost.training.integer_learner import formats_for
from lavaghost.training.order import order

HIDDEN, THREADS = 200, 1
METHOD = lg.Ghost(mechanism="duplicate", rule="prediction")
STARTS = ("float", "cross entropy", "imported")
SCRATCH = "from scratch"
ALONE = {"replay": 0, "margin": "none"}
CASES: dict[str, dict[str, Any]] = {
    "nothing else": {**ALONE, "eta": 2.0**-6},
    "eta 2^-7": {**ALONE, "eta": 2.0**-7},
    "replay 20": {"replay": 20, "margin": "none"},
    "replay 20, margin 0.5": {"replay": 20, "margin": 0.5},
    "replay 100, margin 0.5": {"replay": 100, "margin": 0.5},
    "the same, two for each new one": {"replay": 100, "margin": 0.5, "replays": 2},
}
SHOTS = (5, 10, 20)
FEW = {"only": NEW_CLASSES, "classes": len(NEW_CLASSES), "passes": 10}
"""A start that knows ten classes less these, and ten passes over a few samples of them."""


class Run(NamedTuple):
    """What is measured once."""

    pair: str
    start: str
    case: str
    seed: int

    @property
    def key(self) -> str:
        """Its name in the JSON file."""
        return f"{self.pair} | {self.start} | {self.case} | {self.seed}"


def runs(pairs: list[str], seeds: int) -> Iterator[Run]:
    """All runs, seed by seed."""
    for seed in range(seeds):
        for name in pairs:
            for start in STARTS:
                cases = [f"{k} shots" for k in SHOTS] if name in WITH_CLASSES else list(CASES)
                yield from (Run(name, start, case, seed) for case in cases)
            if name not in WITH_CLASSES:
                yield Run(name, SCRATCH, SCRATCH, seed)


def start(kind: str, old: lg.Dataset, seed: int, folder: Path) -> lg.Model:
    """A network trained on the old data: in integers' own physics, with cross-entropy, or that by way of ONNX.

    What was imported learned by backprop. Kept in `folder`.
    """
    path = folder / f"{old.name} {kind} {seed}".replace(" ", "-")
    if not (path / "model.yaml").exists():
        network = lg.Network(layers=(old.n_inputs, HIDDEN, old.n_classes), loss="cross_entropy")
        method: lg.Method = METHOD
        if kind == "float":
            network, method = suited(network, METHOD)
        elif kind == "imported":
            method = lg.Backprop()
        learning = {"epochs": 15, "batch_size": 50, "eta": 0.05, "seed": seed}
        model = lg.train(network, old, method=method, diagnostics=False, **learning).model
        if kind == "imported":
            lg.export(model, path.with_suffix(".onnx"))
            model = lg.import_network(path.with_suffix(".onnx"))
        model.save(path)
    return lg.load(path)


def scratch(new: lg.Dataset, at: tuple[int, ...], seed: int) -> dict[str, Any]:
    """The same samples in the same order, learned from initial weights."""
    network, method = suited(lg.Network(layers=(new.n_inputs, HIDDEN, new.n_classes)), METHOD)
    graph, learning = method.graph(network), IntegerLearning(epochs=1, seed=seed)
    formats = formats_for(graph, new, DEFAULT)
    net = CompiledNetwork(graph, initial_integers(graph, seed, formats, DEFAULT), seed)
    picked = order(seed, 0, len(new.x_train))[: at[-1]]
    x, test = net.spikes(net.arith.input(new.x_train[picked])), net.arith.input(new.x_test)
    curve, done = [], 0
    for samples in (0, *at):
        part = slice(done, samples)
        net.learn(integer_rule(method), learning, x[part], new.y_train[picked[part]], done)
        done = samples
        accuracy = float((net.outputs(test).argmax(axis=1) == new.y_test).mean())
        curve.append({"samples": samples, "accuracy": accuracy, "kept": None})
    return {"curve": curve}


def measured(run: Run, both: Pair, at: tuple[int, ...], folder: Path) -> dict[str, Any]:
    """The figures of one run."""
    at = tuple(sorted({min(n, len(both.new.x_train)) for n in at}))
    if run.case == SCRATCH:
        return scratch(both.new, at, run.seed)
    model = start(run.start, both.old, run.seed, folder)
    if run.pair in WITH_CLASSES:
        spec = AdaptSpec(shots=int(run.case.split()[0]), seed=run.seed, **FEW)
    else:
        spec = AdaptSpec(samples=at[-1], at=at, seed=run.seed, **CASES[run.case])
    return adapt(model, both.new, both.old, spec).result


def main() -> None:
    """Run what is missing, and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("mnist", type=Path, help="folder of IDX files")
    parser.add_argument("fashion", type=Path, help="folder of IDX files of Fashion-MNIST")
    parser.add_argument("--out", type=Path, default=Path("out/adaptation/figures.json"))
    parser.add_argument("--pairs", default=",".join(NAMES), help="some of them, with commas between")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--samples", default="100,300,1000,3000", help="where the curve is measured")
    options = parser.parse_args()
    pairs, at = options.pairs.split(","), tuple(int(n) for n in options.samples.split(","))
    if unknown := set(pairs) - set(NAMES):
        parser.error(f"no pair is called {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    data = functools.cache(lambda name: pair(name, options.mnist, options.fashion))
    found: dict[str, Any] = {"machine": describe(THREADS), "runs": {}}
    if options.out.exists():
        found["runs"] = json.loads(options.out.read_text())["runs"]
    for run in runs(pairs, options.seeds):
        if run.key not in found["runs"]:
            figures = measured(run, data(run.pair), at, options.out.parent / "starts")
            found["runs"][run.key] = {**run._asdict(), **figures}
            write_atomic(options.out, json.dumps(found, indent=1).encode())
    in_order = [found["runs"][run.key] for run in runs(list(NAMES), options.seeds) if run.key in found["runs"]]
    shown = "\n".join(table.markdown() for table in tables(in_order))
    write_atomic(options.out.with_suffix(".md"), shown.encode())
    print(shown)


if __name__ == "__main__":
    main()
