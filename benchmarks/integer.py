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
from lavaghost.methods.base import Batch, Method, Moment
from lavaghost.methods.ghost.method import Ghost
from lavaghost.methods.learning import Learning
from lavaghost.methods.optimiser import Momentum
from lavaghost.net.graph import Graph
from lavaghost.net.network import Network
from lavaghost.numbers.arithmetic import Float
from lavaghost.numbers.widths import DEFAULT
from lavaghost.online.course import course
from lavaghost.online.integers.compiled_network import CompiledNetwork, initial_integers
from lavaghost.online.integers.formats import default_formats
from lavaghost.online.integers.integer_course import AnyCourse, IntegerCourse
from lavaghost.online.integers.settings import IntegerLearning, integer_rule, suited


def parts(mechanism: Mechanism = "duplicate") -> tuple[Graph, Method]:
    """The graph and the method of `benchmarks.integer_accuracy`."""
    network, method = suited(Network(layers=(400, 400, 10)), Ghost(mechanism=mechanism))
    return method.graph(network), method


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
    graph, method = parts(mechanism)
    learner = CompiledNetwork(graph, initial_integers(graph, 0, default_formats(graph), DEFAULT))
    rule, learning = integer_rule(method), IntegerLearning()
    x = learner.spikes(learner.arith.input(images(samples)))
    labels = np.arange(samples) % 10

    def work() -> int:
        learner.learn(rule, learning, x, labels, 0)
        return samples

    return rate(work)


def integer_definition(samples: int) -> float:
    """The same phases by `network_step` in numpy, one sample at a time, without the update."""
    graph, _ = parts()
    held = initial_integers(graph, 0, default_formats(graph), DEFAULT)
    engine, x, target = Stepped(graph, held.arith), images(samples), np.eye(10)

    def work() -> int:
        for i in range(samples):
            engine.ends(held, x[i : i + 1], target[i % 10][None])
        return samples

    return rate(work)


def floats(samples: int, batch: int) -> float:
    """The float stepped engine with its optimiser, in double precision."""
    graph, method = parts()
    learning = Learning(engine="stepped", batch_size=batch, momentum=0.0, weight_decay=0.0)
    params, work_of = initial_parameters(graph, 0, np.float64), method.prepare(graph, learning)
    optimiser = Momentum(graph, params, 0.0, 0.0)
    x, target = images(samples), np.eye(10)[np.arange(samples) % 10]

    def work() -> int:
        for i in range(0, samples, batch):
            part = slice(i, i + batch)
            moment = Moment(0, 0, i // batch)
            changes, _ = method.update(work_of, params, {}, Batch(x[part], target[part], moment))
            optimiser.apply(params, changes, 1e-6)
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

    (graph, method), x, target = parts(), images(4), np.eye(10)[:4]
    formats = default_formats(graph)
    held = initial_integers(graph, 0, formats, DEFAULT)
    arith = held.arith if fixed else Float()
    plan: AnyCourse = IntegerCourse(graph, integer_rule(method), IntegerLearning(), formats, DEFAULT, 1000)
    if not fixed:
        online = Learning(engine="lava", batch_size=1, momentum=0.0, weight_decay=0.0, eta=0.01)
        plan = course(graph, method, online, 1000)
    kind = np.int32 if fixed else np.float64
    with quiet():
        numbers = held if fixed else initial_parameters(graph, 0, np.float64)
        ghosts = ghost_network(graph, numbers, plan)
        source = TeachingSource(
            samples=arith.input(x).astype(kind),
            targets=arith.array(target).astype(kind),
            order=lambda trial: trial % 4,
            clock=Clock(graph, plan),
        )
    source.x_out.connect(ghosts.x_in)
    source.y_out.connect(ghosts.y_in)
    source.nudge_out.connect(ghosts.nudge_in)
    steps = trial_steps(graph, plan)
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
