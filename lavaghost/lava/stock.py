"""Networks of stock Lava processes, one sample in every step, and what comes out of them.

Source -> Dense -> SigmaDelta(relu) -> Dense -> ... -> SigmaDelta(unit) -> Sink      `engines.sigma_delta`
Source -> Dense, Dense -> GradedReluVec -> ... -> Dense, Dense -> GradedVec -> Sink  `engines.graded`
"""

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from lavaghost.base.errors import LavaError, MissingError
from lavaghost.engines.graded import Graded
from lavaghost.engines.sigma_delta import SigmaDelta, deltas
from lavaghost.numbers.arithmetic import Array

MESSAGE_BITS = 24
PARTS = 20
"""In which a run is done, so that its progress can be told."""

StepsDone = Callable[[int, int], None]
"""Called with time steps done, and in all."""
Processes = tuple[list[Any], Any, list[Any]]
"""Input ports of the first connections, the last output port, and all processes."""


def run_chain(
    net: SigmaDelta, samples: Array, *, on_chip: bool, report: StepsDone = lambda done, total: None
) -> Array:
    """Outputs `(samples, n_L)` int64 of sigma-delta processes for integer samples."""
    steps = len(samples) + net.depth
    change = _run(deltas(samples, steps), lambda: chain_of(net), len(net.weights[-1]), on_chip, report)
    # a sample's result comes `depth` steps after it; the host adds up the changes, and the output's bias
    return np.cumsum(change, axis=0)[net.depth :] + net.biases[-1]


def run_graded(
    net: Graded, samples: Array, *, on_chip: bool, report: StepsDone = lambda done, total: None
) -> Array:
    """Output states `(samples, n_L)` int64 of graded vectors for messages p_0."""
    fed = net.fed(samples)
    # the last sample goes on until its result has come out
    held = np.concatenate([fed, np.repeat(fed[-1:], net.depth, axis=0)])
    outputs = net.stages[-1].links[0].weights.shape[0]
    return net.states(_run(held, lambda: graded_chain(net), outputs, on_chip, report)[net.depth :])


def _run(
    given: Array, chain_made: Callable[[], Processes], outputs: int, on_chip: bool, report: StepsDone
) -> Array:
    """What comes out in each step `(steps, outputs)` int64 for what goes in, `(steps, n_0)`."""
    from lava.magma.core.run_configs import Loihi2HwCfg, Loihi2SimCfg
    from lava.proc.io.sink import RingBuffer as Sink
    from lava.proc.io.source import RingBuffer as Source

    from lavaghost.lava.quiet import quiet
    from lavaghost.lava.session import TIMEOUT_S, Session

    steps = len(given)
    with quiet():
        source = Source(data=np.ascontiguousarray(given.T))
        sink = Sink(shape=(outputs,), buffer=steps)
        first, last, chain = chain_made()
        into, out_of = (
            _adapters(source, sink, given.shape[1], outputs) if on_chip else (source.s_out, sink.a_in)
        )
        for port in first:
            into.connect(port)
        last.connect(out_of)
        config = Loihi2HwCfg(select_tag="fixed_pt") if on_chip else Loihi2SimCfg(select_tag="fixed_pt")
        synapses = sum(process.weights.init.size for process in chain if hasattr(process, "weights"))
    with Session(source, config) as session:
        if on_chip:
            refuse_python_models(chain)
        allowed, start = TIMEOUT_S + steps * (0.02 + 2e-8 * synapses), time.monotonic()
        at_once = -(-steps // PARTS)
        for done in range(0, steps, at_once):
            report(done, steps)
            session.run(min(at_once, steps - done), timeout_s=allowed, since=start)
        found = np.asarray(session.get(sink.data, timeout_s=TIMEOUT_S + 2e-3 * steps * outputs)).T
    report(steps, steps)
    return np.rint(found).astype(np.int64)


def chain_of(net: SigmaDelta) -> Processes:
    """The processes of the network: its first input ports, its last output port, and all of them."""
    from lava.proc.dense.process import Dense
    from lava.proc.sdn.process import ActivationMode, SigmaDelta

    chain: list[Any] = []
    for k, (w, b, shift) in enumerate(zip(net.weights, net.biases, net.shifts, strict=True), start=1):
        last = k == net.depth
        # Lava's annotation allows one number for all, its code one for each neuron
        bias: Any = np.zeros_like(b) if last else b
        dense = Dense(weights=w, num_message_bits=MESSAGE_BITS, weight_exp=-shift)
        neurons = SigmaDelta(
            shape=(len(w),),
            vth=1,
            bias=bias,
            act_mode=ActivationMode.UNIT if last else ActivationMode.RELU,
        )
        dense.a_out.connect(neurons.a_in)
        if chain:
            chain[-1].s_out.connect(dense.s_in)
        chain += [dense, neurons]
    return [chain[0].s_in], chain[-1].s_out, chain


def graded_chain(graded: Graded) -> Processes:
    """The processes: the input ports of the first connections, the last output port, and all of them."""
    from lava.proc.dense.process import Dense
    from lava.proc.graded.process import GradedReluVec, GradedVec
    from lava.utils.weightutils import SignMode

    chain: list[Any] = []
    first: list[Any] = []
    last = None
    for stage in graded.stages:
        kind = GradedReluVec if stage.rectified else GradedVec
        units = kind(shape=(len(stage.links[0].weights),), vth=0)
        for link in stage.links:
            dense = Dense(
                weights=link.weights,
                num_message_bits=MESSAGE_BITS,
                weight_exp=-link.shift,
                sign_mode=SignMode.MIXED if link.even else SignMode.EXCITATORY,
            )
            dense.a_out.connect(units.a_in)
            if last is None:
                first.append(dense.s_in)
            else:
                last.connect(dense.s_in)
            chain.append(dense)
        chain.append(units)
        last = units.s_out
    return first, last, chain


def refuse_python_models(chain: list[Any]) -> None:
    """Raise `LavaError` if a compiled process of the network would run on the CPU."""
    from lava.magma.core.model.py.model import AbstractPyProcessModel

    python = [
        p.name for p in chain if p.model_class is None or issubclass(p.model_class, AbstractPyProcessModel)
    ]
    if python:
        raise LavaError(
            f"{', '.join(python)} would run on the CPU and not on the chip; install Intel's extension completely, "
            "or add --simulate"
        )


def _adapters(source: Any, sink: Any, inputs: int, outputs: int) -> tuple[Any, Any]:
    """Ports of the chip's side of what the host sends and reads."""
    try:
        # the extension adds these; nothing of it was at hand when this was written
        from lava.proc.embedded_io.spike import NxToPyAdapter, PyToNxAdapter  # type: ignore[import-not-found]
    except ImportError as error:
        raise MissingError(
            f"deploy needs lava.proc.embedded_io.spike of Intel's extension ({error}); add --simulate"
        ) from error
    to_chip = PyToNxAdapter(shape=(inputs,), num_message_bits=MESSAGE_BITS)
    from_chip = NxToPyAdapter(shape=(outputs,), num_message_bits=MESSAGE_BITS)
    source.s_out.connect(to_chip.inp)
    from_chip.out.connect(sink.a_in)
    return to_chip.out, from_chip.inp
