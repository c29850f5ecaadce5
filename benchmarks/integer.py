"""Learning in integers, samples per second on 400-400-10, beside the float stepped engine and Lava's own update.

    python -m benchmarks.integer [--samples 2000] [--json FILE]

Random images of MNIST's sparseness stand for the data; the weights are those of the start. Lava's figure is an
upper limit: only the learning phases of two LearningDense connections, driven in process, without neurons, ports
or operating-system processes; a trial has one in each of its steps (t_epoch = 1).
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from lavaghost.dynamics import initial_parameters
from lavaghost.engines.stepped import Stepped
from lavaghost.learning.integer import IntegerLearning, default_formats, suited
from lavaghost.learning.integer_network import IntegerNetwork, initial_integers
from lavaghost.learning.methods import Ghost
from lavaghost.learning.optimiser import Momentum
from lavaghost.spec import Learning, Mechanism, Network
from lavaghost.widths import DEFAULT


def network(mechanism: Mechanism = "duplicate") -> Network:
    """The network of `benchmarks.integer_accuracy`."""
    return suited(Network(layers=(400, 400, 10), mechanism=mechanism))


def images(count: int) -> Any:
    """Inputs with as many silent pixels as the centre of MNIST has: two of three."""
    rng = np.random.default_rng(0)
    return (rng.random((count, 400)) * (rng.random((count, 400)) < 0.34)).astype(np.float32)


def rate(work: Callable[[], int]) -> float:
    """Samples per second, the better of two runs after a first one that compiles."""
    work()
    best = 0.0
    for _ in range(2):
        start = time.perf_counter()
        done = work()
        best = max(best, done / (time.perf_counter() - start))
    return best


def integers(samples: int, mechanism: Mechanism) -> float:
    """Compiled learning, one sample at a time."""
    net = network(mechanism)
    formats = default_formats(net)
    learner = IntegerNetwork(net, formats, DEFAULT, initial_integers(net, 0, formats, DEFAULT))
    learning = IntegerLearning(rule="prediction" if mechanism == "duplicate" else "temporal")
    x = learner.spikes(learner.arith.input(images(samples)))
    labels = np.arange(samples) % 10

    def work() -> int:
        learner.learn(learning, x, labels, 0)
        return samples

    return rate(work)


def integer_definition(samples: int) -> float:
    """The same phases by `network_step` in numpy, one sample at a time, without the update."""
    net = network()
    formats = default_formats(net)
    params = initial_integers(net, 0, formats, DEFAULT)
    arith = IntegerNetwork(net, formats, DEFAULT, params).arith
    engine, x, target = Stepped(net, arith), images(samples), np.eye(10)

    def work() -> int:
        for i in range(samples):
            engine.ends(params, x[i : i + 1], target[i % 10][None])
        return samples

    return rate(work)


def floats(samples: int, batch: int) -> float:
    """The float stepped engine with its optimiser, in double precision."""
    net = network()
    learning = Learning(engine="stepped", rule="prediction", batch_size=batch, momentum=0.0, weight_decay=0.0)
    method, params = Ghost(net, learning), initial_parameters(net, 0, np.float64)
    optimiser = Momentum(params, 0.0, 0.0)
    x, target = images(samples), np.eye(10)[np.arange(samples) % 10]

    def work() -> int:
        for i in range(0, samples, batch):
            part = slice(i, i + batch)
            optimiser.apply(params, method.factors(params, x[part], target[part]), 1e-6)
        return samples

    return rate(work)


def lava_limit(steps: int) -> float | None:
    """Trials per second if Lava did nothing but its learning phases; None without Lava."""
    try:
        from tests.lava.test_integer_oracle import LavaLearning

        connections = [LavaLearning(np.zeros(shape, int), "2^-7*x0*x1*y1") for shape in ((400, 400), (10, 400))]
    except ImportError:
        return None
    payload = (images(1)[0] * 128).astype(int)
    start = time.perf_counter()
    for _ in range(3):
        for connection in connections:
            connection.update(payload, np.full(connection.model.weights.shape[0], 8))
    return 3 / (time.perf_counter() - start) / steps


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--samples", type=int, default=2000)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    schedule = network().schedule
    found: dict[str, float | None] = {
        f"integers, {mechanism}": integers(options.samples, mechanism)
        for mechanism in ("duplicate", "online", "learned")
    }
    found["integers by their definition, phases only"] = integer_definition(max(10, options.samples // 100))
    found["float stepped, batch 1"] = floats(max(10, options.samples // 100), 1)
    found["float stepped, batch 50"] = floats(max(50, options.samples // 50 * 50), 50)
    found["Lava's learning phases alone"] = lava_limit(schedule.t_free_steps + schedule.t_nudge_steps)
    for name, value in found.items():
        print(f"{name:45s} {'not measured' if value is None else f'{value:10.1f} samples/s'}")
    if options.json:
        options.json.write_text(json.dumps(found))


if __name__ == "__main__":
    main()
