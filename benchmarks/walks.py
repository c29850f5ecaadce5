"""Where do walks end? The parts of `modulated`, each alone and all of them, over ghosts, beside controls.

    python -m benchmarks.walks [--epochs 15] [--seeds 3]

A short illustration that mechanisms run, and what they cost here. It ranks nothing: no setting was tuned for any row.
"""

import argparse
from typing import Any

import numpy as np

from benchmarks.tables import Table, span
from lavaghost.datasets import Dataset, load_walks
from lavaghost.datasets.walks import ends_m, nearest_cells, position_error_m
from lavaghost.methods.base import Method
from lavaghost.methods.by_name import method_of
from lavaghost.methods.modulated import Modulated
from lavaghost.net.network import Network
from lavaghost.numbers.arithmetic import Array
from lavaghost.run.train import train

HIDDEN = (128, 64)
PARTS: dict[str, dict[str, Any]] = {
    "dropout 0.3": {"dropout": 0.3},
    "dropout from 0.5 follows the loss": {"dropout": 0.5, "dropout_follows": 1},
    "rate to 0.1": {"rate_end": 0.1},
    "trace, h 0.1, alpha up to 0.001": {"hebbian": 0.1, "hebbian_share": 1e-3},
    "gains 0.25 0.5 1": {"gains": (0.25, 0.5, 1.0)},
}
ALL = {key: value for part in PARTS.values() for key, value in part.items()}


def methods() -> dict[str, Method]:
    """Every row that is trained."""
    found = {"ghost, plain": method_of("ghost")}
    found |= {name: Modulated(**part) for name, part in PARTS.items()}
    return (
        found | {"all of them": Modulated(**ALL)} | {name: method_of(name) for name in ("backprop", "frozen")}
    )


def linear_answers(data: Dataset) -> Array:
    """The cells nearest to the least-squares map of inputs to ends, of the test samples."""
    train, test = (np.c_[x, np.ones(len(x))] for x in (data.x_train, data.x_test))
    fitted, *_ = np.linalg.lstsq(train, ends_m(data.x_train), rcond=None)
    return nearest_cells(test @ fitted)


def line(name: str, data: Dataset, answers: list[Array], cosines: str = "") -> list[str]:
    """A row: accuracy and error over the seeds."""
    right = [100 * float((a == data.y_test).mean()) for a in answers]
    errors = [position_error_m(data.x_test, a) for a in answers]
    return [name, f"{np.mean(right):.1f}", span(right, 1), f"{np.mean(errors):.3f}", span(errors, 3), cosines]


def rows(epochs: int, seeds: int) -> list[list[str]]:
    """Controls without training, then every method."""
    data = load_walks()
    usual = int(np.bincount(data.y_train).argmax())
    found = [
        line("the most frequent cell", data, [np.full(len(data.y_test), usual)]),
        line("linear map", data, [linear_answers(data)]),
    ]
    network = Network(layers=(data.n_inputs, *HIDDEN, data.n_classes))
    for name, method in methods().items():
        runs = [
            train(network, data, method=method, epochs=epochs, eta=0.05, seed=seed) for seed in range(seeds)
        ]
        worst = np.min([run.figures[-1]["cosines"] for run in runs], axis=0)
        answers = [run.model.predict(data.x_test) for run in runs]
        found.append(line(name, data, answers, " ".join(f"{c:.2f}" for c in worst)))
    return found


def main() -> None:
    """Print the table as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    head = ["", "right, %", "from to", "error, m", "from to", "worst cosines"]
    notes = [
        f"Walks, 60-128-64-25, {options.epochs} epochs, eta 0.05, {options.seeds} seeds; an illustration, no ranking."
    ]
    print(Table("Where walks end", head, rows(options.epochs, options.seeds), notes).markdown())


if __name__ == "__main__":
    main()
