"""Learning in integers, samples per second on 400-400-10, beside the float stepped engine and Lava's own update.

    python -m benchmarks.integer [--samples 2000] [--json FILE]

Random images of MNIST's sparseness stand for the data; the weights are those of the start. Lava's figures are
those of whole networks of processes that learn the same weights, once they have started: decomposed, with Lava's
own LearningDense, in integers and in floating point, and fused in integers.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np

from lavaghost.base.errors import MissingError
from lavaghost.base.names import Mechanism
from lavaghost.dynamics import initial_parameters
from lavaghost.engines.stepped import Stepped
from lavaghost.lava.available import require_lava
from lavaghost.methods.methods import Ghost
from lavaghost.methods.optimiser import Momentum
from lavaghost.net.spec import Learning, Network
from lavaghost.numbers.arithmetic import Float
from lavaghost.numbers.loihi import Loihi
from lavaghost.numbers.widths import DEFAULT
from lavaghost.online.course import course
from lavaghost.online.integers.compiled_network import CompiledNetwork, initial_integers
from lavaghost.online.integers.integer_course import AnyCourse, IntegerCourse
from lavaghost.online.integers.settings import (
    IntegerLearning,
    default_formats,
    suited,
)


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
    learner = CompiledNetwork(net, formats, DEFAULT, initial_integers(net, 0, formats, DEFAULT))
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
    arith = CompiledNetwork(net, formats, DEFAULT, params).arith
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


def on_lava(model: Literal["fused", "decomposed"], fixed: bool, trials: int) -> float | None:
    """Samples per second of a Lava network that learns, start-up not included; None without Lava."""
    try:
        require_lava()
    except MissingError:
        return None
    from lavaghost.lava.phases import Clock, trial_steps
    from lavaghost.lava.processes.ghost.ghost_network import ghost_network
    from lavaghost.lava.processes.io.sources import TeachingSource
    from lavaghost.lava.quiet import quiet
    from lavaghost.lava.session import Session, configuration

    net, x, target = network(), images(4), np.eye(10)[:4]
    formats = default_formats(net)
    arith = Loihi(formats) if fixed else Float()
    plan: AnyCourse = IntegerCourse(net, IntegerLearning(), formats, DEFAULT, 1000)
    if not fixed:
        online = Learning(engine="lava", batch_size=1, momentum=0.0, weight_decay=0.0, eta=0.01)
        plan = course(net, online, 1000)
    kind = np.int32 if fixed else np.float64
    with quiet():
        ghosts = ghost_network(net, initial_integers(net, 0, formats, DEFAULT), plan, arith)
        source = TeachingSource(
            samples=arith.input(x).astype(kind),
            targets=arith.array(target).astype(kind),
            order=lambda trial: trial % 4,
            clock=Clock(net, plan),
        )
    source.x_out.connect(ghosts.x_in)
    source.y_out.connect(ghosts.y_in)
    source.nudge_out.connect(ghosts.nudge_in)
    steps = trial_steps(net, plan)
    with Session(ghosts, configuration(model, fixed)) as session:
        session.run(steps, timeout_s=300)
        start = time.perf_counter()
        session.run(trials * steps, timeout_s=300)
        return trials / (time.perf_counter() - start)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--samples", type=int, default=2000)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    found: dict[str, float | None] = {
        f"integers, {mechanism}": integers(options.samples, mechanism)
        for mechanism in ("duplicate", "online", "learned")
    }
    found["integers by their definition, phases only"] = integer_definition(max(10, options.samples // 100))
    found["float stepped, batch 1"] = floats(max(10, options.samples // 100), 1)
    found["float stepped, batch 50"] = floats(max(50, options.samples // 50 * 50), 50)
    found["Lava, fused, integers"] = on_lava("fused", True, 20)
    found["Lava, decomposed with LearningDense, integers"] = on_lava("decomposed", True, 2)
    found["Lava, decomposed with LearningDense, float"] = on_lava("decomposed", False, 4)
    ours = found["integers, duplicate"] or 0.0
    for name, value in found.items():
        ratio = "" if value is None else f"  {ours / value:8.1f} x slower than integers, duplicate"
        print(f"{name:45s} {'not measured' if value is None else f'{value:10.1f} samples/s'}{ratio}")
    if options.json:
        options.json.write_text(json.dumps(found))


if __name__ == "__main__":
    main()
