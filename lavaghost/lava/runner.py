"""Run a network on Lava: a source, the network, a collector, and one session around them."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from lavaghost.base.errors import SpecError
from lavaghost.base.names import LavaModel
from lavaghost.engines.threads import suited_threads
from lavaghost.lava.available import require_lava
from lavaghost.lava.number_systems import AnyNumbers, arithmetic_of, matrices
from lavaghost.net.graph import Graph
from lavaghost.numbers.arithmetic import Array
from lavaghost.numbers.integers import Integers

STEPS_BETWEEN_REPORTS = 1024
TIMEOUT_S = 300.0
"""Time-out of starting one process, of stopping, of moving one array, and the least for any number of steps."""


@dataclass(frozen=True)
class LavaRun:
    """What a run on Lava brought back.

    output   r_L at the end of each sample's free phase, `(n, n_L)`, float64
    steps    Lava time steps
    seconds  wall-clock time of these steps, start-up not included
    """

    output: Array
    steps: int
    seconds: float


def run_lava(
    graph: Graph,
    numbers: AnyNumbers,
    x: Array,
    *,
    model: LavaModel = "fused",
    progress: Callable[[int], None] | None = None,
    timeout_s: float | None = None,
) -> LavaRun:
    """The output of `graph` for every row of `x (n, n_0)`, one sample at a time, on Lava processes.

    `model` is the fused process, or the network of processes that stands for it. Either equals
    `Stepped(graph, arith).output(numbers, x[i : i + 1])` to the bit, with the arithmetic of its `numbers`, real or
    `Integers`; what integers stand for is returned. Projections of other kinds than dense are their exact matrices.
    `progress` is told the number of samples done, about every thousand steps. `timeout_s` bounds the whole run;
    if not given, `default_timeout_s` bounds the time from one report to the next. Ctrl-C ends it cleanly.

    Raises `MissingError` without Lava, `SpecError` if `x` does not fit, `LavaError` if a Lava process fails or
    the time-out is over.
    """
    require_lava()
    samples = np.ascontiguousarray(x, dtype=np.float64)
    if samples.ndim != 2 or samples.shape[1] != graph.layers[0]:
        raise SpecError(f"x has shape {samples.shape}, the network needs (n, {graph.layers[0]})")
    if len(samples) == 0:
        return LavaRun(np.zeros((0, graph.layers[-1])), 0, 0.0)
    graph, numbers = matrices(graph, numbers)
    arith, fixed = arithmetic_of(numbers), isinstance(numbers, Integers)

    from lavaghost.lava.processes.ghost.ghost_network import ghost_network
    from lavaghost.lava.processes.io.sources import OutputCollector, SampleSource
    from lavaghost.lava.quiet import quiet
    from lavaghost.lava.session import Session, configuration

    trial_steps = graph.schedule.t_free_steps
    with quiet():
        messages = arith.input(samples)
        source = SampleSource(samples=messages.astype(np.int32) if fixed else messages, trial_steps=trial_steps)
        ghosts = ghost_network(graph, numbers)
        collector = OutputCollector(
            size=graph.layers[-1],
            trials=len(samples),
            trial_steps=trial_steps,
            kind=np.int32 if fixed else np.float64,
        )
    source.s_out.connect(ghosts.x_in)
    ghosts.r_out.connect(collector.a_in)

    steps = len(samples) * trial_steps
    at_once = max(1, STEPS_BETWEEN_REPORTS // trial_steps)
    # the processes inherit it
    with suited_threads(graph, 1), Session(ghosts, configuration(model, fixed)) as session:
        start = time.monotonic()
        for done in range(0, len(samples), at_once):
            now = min(at_once, len(samples) - done)
            if timeout_s is None:
                session.run(now * trial_steps, timeout_s=default_timeout_s(graph, now * trial_steps, model))
            else:
                session.run(now * trial_steps, timeout_s=timeout_s, since=start)
            if progress is not None:
                progress(done + now)
        seconds = time.monotonic() - start
        output = session.receive(collector.result_out)
    return LavaRun(arith.real(output), steps, seconds)


def default_timeout_s(graph: Graph, steps: int, model: LavaModel = "fused") -> float:
    """Many times what `steps` steps take on a slow and busy computer, in seconds: only against hanging."""
    sizes = graph.layers
    products = 4 * sum(a * b for a, b in pairwise(sizes))
    slower = 1 if model == "fused" else 8
    return TIMEOUT_S + slower * steps * (0.02 + 2e-8 * products)
