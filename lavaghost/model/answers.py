"""What a trained network answers: outputs at the end of the free phase, in each engine and in integers."""

from collections.abc import Callable

import numpy as np

from lavaghost.engines.equilibrium import Equilibrium
from lavaghost.engines.stepped import Stepped
from lavaghost.engines.threads import suited_threads
from lavaghost.net.graph import Graph
from lavaghost.net.parameters import Parameters
from lavaghost.numbers.arithmetic import Array
from lavaghost.numbers.integers import Integers
from lavaghost.online.integers.compiled_network import CompiledNetwork

BATCH = 250

SamplesDone = Callable[[int], None]
"""Called with the number of samples done so far."""


def settled(graph: Graph, params: Parameters, x: Array) -> Array:
    """r_L at the free fixed point for rates `x (samples, n_0)`: `(samples, n_L)`, float32."""
    with suited_threads(graph, BATCH):
        return Equilibrium(graph, BATCH).output(params, x)


def in_steps(graph: Graph, params: Parameters, x: Array, report: SamplesDone = lambda done: None) -> Array:
    """r_L at the end of the free phase of the stepped engine in batches, `(samples, n_L)`, float64."""
    engine, parts = Stepped(graph), []
    with suited_threads(graph, BATCH):
        for i in range(0, len(x), BATCH):
            parts.append(engine.output(params, x[i : i + BATCH]))
            report(min(i + BATCH, len(x)))
    return np.concatenate(parts) if parts else np.zeros((0, graph.layers[-1]))


def one_by_one(graph: Graph, params: Parameters, x: Array) -> Array:
    """The same, one sample at a time: a batch would round its products in another order; Lava has one sample."""
    engine = Stepped(graph)
    with suited_threads(graph, 1):
        return np.concatenate([engine.output(params, x[i : i + 1]) for i in range(len(x))])


def in_integers(graph: Graph, integers: Integers, x: Array, report: SamplesDone = lambda done: None) -> Array:
    """Output states at the end of the free phase in integers, as the real numbers they stand for: `(samples, n_L)`."""
    network = CompiledNetwork(graph, integers)
    arith, out = network.arith, np.empty((len(x), graph.layers[-1]))
    for i in range(0, len(x), BATCH):
        out[i : i + BATCH] = arith.real(network.outputs(arith.input(x[i : i + BATCH])))
        report(min(i + BATCH, len(x)))
    return out
