"""A network that was trained with another loss, made ready to learn on a chip: done off the chip, and recorded.

    scale    W_k, b_k of hidden layers by 1 / c_k (and W_{k+1} by c_k), so that the mean of |r_k|^2 is `POWER`
    ridge    W_L, b_L so that the output is nearest to one-hot: min ||r W^T + b - y||^2 + RIDGE ||(W, b)||^2
    tune     epochs of squared error in floating point, kept unless they cost more than `WORSE` of what is held back

Tuning is what keeps the old data later: after 3000 samples of another set, with 20 stored per class, 83.4 % of them
after 2 epochs, 85.6 after 10, 89.4 after 20, 89.6 after 40 (imported start, moved digits, benchmarks.adaptation).
What is held back here was mostly seen where the network comes from, so ridge looks a little better on it than it is.

Trained with cross-entropy, rates are many times larger than a chip's and outputs are logits, so that the first errors
are as large as the outputs: accuracy fell from 96 to 71 % within 100 samples (docs/adapting.md).
"""

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from lavaghost.datasets import Dataset
from lavaghost.engines.equilibrium import Equilibrium
from lavaghost.methods.backprop import Backprop
from lavaghost.methods.learning import Learning
from lavaghost.net.graph import Graph
from lavaghost.net.network import Network
from lavaghost.net.parameters import Parameters
from lavaghost.numbers.arithmetic import Array
from lavaghost.training.float_learner import FloatLearner, accuracy
from lavaghost.training.loop import run

POWER = 8.0
"""Mean of |r_k|^2 in a hidden layer: that of a network which was trained with squared error, within a factor of 3."""
RIDGE = 10.0
SAMPLES = 10_000
"""Training samples that a refit looks at, at most."""
HELD_BACK = 10
"""One sample in so many judges the others' work."""
EPOCHS, ETA, BATCH = 20, 0.05, 50
WORSE = 0.01
REFIT = 11
"""First word of the seed of its choice of samples."""


class Refit(NamedTuple):
    """A network for squared error: `Parameters` in float32, and the record of how they came about."""

    params: Parameters
    record: dict[str, Any]


def refitted(network: Network, params: Parameters, data: Dataset, seed: int = 0) -> Refit:
    """`params` (the feedforward part counts) for `network`, whose loss is squared error, on training samples of `data`.

    Figures are accuracies on samples held back from the training set: `before`, after `ridge`, after `tuned`; `kept`
    says which one the network is. Example: `refitted(chip_network, imported.params, digits).record["kept"]`.
    """
    rows = np.random.default_rng([REFIT, seed]).permutation(len(data.x_train))[:SAMPLES]
    judge, rows = rows[::HELD_BACK], np.delete(rows, slice(None, None, HELD_BACK))
    rows = _complete(data, rows)
    seen = replace(
        data,
        x_train=np.ascontiguousarray(data.x_train[rows]),
        y_train=data.y_train[rows],
        x_test=np.ascontiguousarray(data.x_train[judge]),
        y_test=data.y_train[judge],
    )
    judged = seen.x_test, seen.y_test
    graph = Backprop().graph(network)
    given = Parameters(params.weights, params.biases).astype(np.float32)
    # as it was: without the bound of the chip
    unbound = Backprop().graph(network.model_copy(update={"saturation": None}))
    before = accuracy(unbound if network.activation == "relu" else graph, given, *judged)
    scaled, scales = _scaled(unbound, given, seen.x_train) if network.activation == "relu" else (given, [])
    ridge = _to_one_hot(graph, scaled, seen)
    learning = Learning(epochs=EPOCHS, batch_size=min(BATCH, len(seen.x_train)), eta=ETA, seed=seed)
    learner = FloatLearner(network, Backprop(), learning, seen, diagnostics=False, start=ridge)
    tuned = run(learner).params
    found = {"ridge": accuracy(graph, ridge, *judged), "tuned": accuracy(graph, tuned, *judged)}
    kept = "tuned" if found["tuned"] >= found["ridge"] - WORSE else "ridge"
    record = {
        "dataset": data.name,
        "samples": len(seen.x_train),
        "judged_on": len(seen.x_test),
        "scales": scales,
        "before": before,
        **found,
        "kept": kept,
    }
    return Refit(tuned if kept == "tuned" else ridge, record)


def _complete(data: Dataset, rows: Array) -> Array:
    """`rows`, and the first row of each class that they miss."""
    missed = np.setdiff1d(data.y_train, data.y_train[rows])
    return np.concatenate([rows, [int(np.argmax(data.y_train == c)) for c in missed]]).astype(np.int64)


def _scaled(graph: Graph, params: Parameters, x: Array) -> tuple[Parameters, list[float]]:
    """The same function with rates of power `POWER`: exact, as relu(u / c) = relu(u) / c."""
    weights, biases, scales = [], [], []
    below = 1.0
    hidden = Equilibrium(graph, len(x)).free(params, np.ascontiguousarray(x, np.float32))[:-1]
    for k, rates in enumerate(hidden):
        power = float(np.square(rates, dtype=np.float64).sum(axis=1).mean())
        c = float(np.sqrt(power / POWER)) or 1.0
        weights.append(params.weights[k] * np.float32(below / c))
        biases.append(params.biases[k] * np.float32(1 / c))
        scales.append(c)
        below = c
    weights.append(params.weights[-1] * np.float32(below))
    biases.append(params.biases[-1])
    return Parameters(tuple(weights), tuple(biases)), scales


def _to_one_hot(graph: Graph, params: Parameters, data: Dataset) -> Parameters:
    x = np.ascontiguousarray(data.x_train, np.float32)
    rates = Equilibrium(graph, len(x)).free(params, x)[-2].astype(np.float64)
    one = np.append(rates, np.ones((len(rates), 1)), axis=1)
    goal = np.eye(graph.layers[-1])[data.y_train]
    fit = np.linalg.solve(one.T @ one + RIDGE * np.eye(one.shape[1]), one.T @ goal)
    return params._replace(
        weights=(*params.weights[:-1], np.ascontiguousarray(fit[:-1].T, np.float32)),
        biases=(*params.biases[:-1], fit[-1].astype(np.float32)),
    )
