"""Run the inference network from stock Lava processes: on Loihi 2, or in Lava's fixed-point simulator.

    RingBuffer -> Dense -> SigmaDelta(relu) -> Dense -> ... -> SigmaDelta(unit) -> RingBuffer

All of these have models for the chip in Intel's extension. Lava would run them on the CPU without a word where
the extension is missing, so it is looked for before any hardware configuration is made, and after compiling every
neuron and connection must have a model that is not a Python one. Nobody could run this on a chip here: every
report says "not tested on hardware".
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np

from lavaghost.base.errors import LavaError, MissingError, SpecError
from lavaghost.datasets import Dataset
from lavaghost.engines.equilibrium import Equilibrium
from lavaghost.engines.sigma_delta import SigmaDelta, deltas, reference, sigma_delta_of
from lavaghost.hardware.schema import Hardware
from lavaghost.lava.available import require_lava
from lavaghost.model.model import Model
from lavaghost.numbers.arithmetic import Array

EXTENSION = (
    "lava.magma.core.model.nc.model",
    "lava.proc.embedded_io",
    "lava.magma.compiler.subcompilers.nc.ncproc_compiler",
    "nxcore",
)
"""What Intel's extension of Lava for Loihi brings."""
UNTESTED = "not tested on hardware"
MESSAGE_BITS = 24
BATCH = 250
PARTS = 20
"""In which a run is done, so that its progress can be told."""

StepsDone = Callable[[int, int], None]
"""Called with time steps done, and in all."""


@dataclass(frozen=True, eq=False)
class Deployment:
    """What a run brought back.

    integer_exact    every output equals the integer reference
    float_accuracy   of the float network on the same samples
    """

    target: str
    accuracy: float
    float_accuracy: float
    label_agreement: float
    samples: int
    steps: int
    seconds: float
    integer_exact: bool
    max_abs_difference: int
    shifts: tuple[int, ...]
    outputs: Array

    def as_json(self) -> dict[str, Any]:
        """The figures without the outputs."""
        keys = [k for k in self.__dataclass_fields__ if k != "outputs"]
        values = {k: getattr(self, k) for k in keys}
        return {**values, "shifts": list(self.shifts), "tested_on_hardware": False, "status": UNTESTED}


def missing_extension() -> list[str]:
    """Modules of Intel's extension that are not installed."""
    found = []
    for name in EXTENSION:
        try:
            there = find_spec(name) is not None
        except ModuleNotFoundError:  # a parent package is missing
            there = False
        if not there:
            found.append(name)
    return found


def require_target(hardware: Hardware, simulate: bool) -> None:
    """Raise unless a network can run on `hardware`, or in the simulator if `simulate`.

    Raises `SpecError` for a chip that Lava does not drive, and `MissingError` without Lava or the extension.
    """
    if hardware.lava is None:
        raise SpecError(
            f"deploy: Lava does not drive {hardware.name}; use loihi2_oheo_gulch, loihi2_kapoho_point, "
            "loihi2_hala_point or lava_cpu, or `lavaghost map` for an estimate"
        )
    try:
        require_lava()
    except MissingError as error:
        raise MissingError(f"deploy runs on Lava: {error}") from error
    if simulate or hardware.lava == "cpu":
        return
    if missing := missing_extension():
        raise MissingError(
            f"deploy to {hardware.name} needs Intel's Lava extension for Loihi, and {', '.join(missing)} cannot be "
            "found; get it as a member of Intel's research community, or add --simulate"
        )


def deploy(
    model: Model,
    data: Dataset,
    hardware: Hardware,
    *,
    simulate: bool,
    limit: int | None = None,
    report: StepsDone = lambda done, total: None,
) -> Deployment:
    """Classify the test set with the integer network on `hardware`, or in the simulator if `simulate`.

    Raises `SpecError` if the network has no such form, `MissingError` (see `require_target`), `LavaError`.
    """
    require_target(hardware, simulate)
    x, y = data.x_test[:limit], data.y_test[:limit]
    net = sigma_delta_of(model.graph, model.params, data.x_train, model.input_scale)
    samples = net.inputs(x)
    expected = reference(net, samples, int(hardware.limits.state_bits.value or 24))
    on_chip = not simulate and hardware.lava == "loihi2"
    start = time.perf_counter()
    found = run_chain(net, samples, on_chip=on_chip, report=report)
    seconds = time.perf_counter() - start
    floating = Equilibrium(model.graph, BATCH).output(model.params, x).argmax(axis=1)
    labels = found.argmax(axis=1)
    return Deployment(
        target=hardware.name if on_chip else f"Lava's fixed-point simulator, for {hardware.name}",
        accuracy=float((labels == y).mean()),
        float_accuracy=float((floating == y).mean()),
        label_agreement=float((labels == floating).mean()),
        samples=len(x),
        steps=len(x) + net.depth,
        seconds=seconds,
        integer_exact=bool(np.array_equal(found, expected)),
        max_abs_difference=int(np.abs(found - expected).max(initial=0)),
        shifts=net.shifts,
        outputs=found,
    )


def run_chain(
    net: SigmaDelta, samples: Array, *, on_chip: bool, report: StepsDone = lambda done, total: None
) -> Array:
    """Outputs `(samples, n_L)` int64 of the Lava processes for integer samples."""
    from lava.magma.core.run_configs import Loihi2HwCfg, Loihi2SimCfg
    from lava.proc.io.sink import RingBuffer as Sink
    from lava.proc.io.source import RingBuffer as Source

    from lavaghost.lava.quiet import quiet
    from lavaghost.lava.session import TIMEOUT_S, Session

    steps = len(samples) + net.depth
    with quiet():
        source = Source(data=np.ascontiguousarray(deltas(samples, steps).T))
        sink = Sink(shape=(len(net.weights[-1]),), buffer=steps)
        first, last, chain = chain_of(net)
        into, out_of = _adapters(source, sink, net) if on_chip else (source.s_out, sink.a_in)
        into.connect(first)
        last.connect(out_of)
        config = Loihi2HwCfg(select_tag="fixed_pt") if on_chip else Loihi2SimCfg(select_tag="fixed_pt")
    with Session(source, config) as session:
        if on_chip:
            refuse_python_models(chain)
        allowed, start = TIMEOUT_S + steps * (0.02 + 2e-8 * sum(w.size for w in net.weights)), time.monotonic()
        at_once = -(-steps // PARTS)
        for done in range(0, steps, at_once):
            report(done, steps)
            session.run(min(at_once, steps - done), timeout_s=allowed, since=start)
        change = np.asarray(session.get(sink.data, timeout_s=TIMEOUT_S + 2e-3 * steps * len(net.weights[-1]))).T
    report(steps, steps)
    # a sample's result comes `depth` steps after it; the host adds up the changes, and the output's bias
    return np.cumsum(np.rint(change).astype(np.int64), axis=0)[net.depth :] + net.biases[-1]


def chain_of(net: SigmaDelta) -> tuple[Any, Any, list[Any]]:
    """The processes of the network: its first input port, its last output port, and all of them."""
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
    return chain[0].s_in, chain[-1].s_out, chain


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


def _adapters(source: Any, sink: Any, net: SigmaDelta) -> tuple[Any, Any]:
    """Ports of the chip's side of what the host sends and reads."""
    try:
        # the extension adds these; nothing of it was at hand when this was written
        from lava.proc.embedded_io.spike import NxToPyAdapter, PyToNxAdapter  # type: ignore[import-not-found]
    except ImportError as error:
        raise MissingError(
            f"deploy needs lava.proc.embedded_io.spike of Intel's extension ({error}); add --simulate"
        ) from error
    to_chip = PyToNxAdapter(shape=(net.weights[0].shape[1],), num_message_bits=MESSAGE_BITS)
    from_chip = NxToPyAdapter(shape=(len(net.weights[-1]),), num_message_bits=MESSAGE_BITS)
    source.s_out.connect(to_chip.inp)
    from_chip.out.connect(sink.a_in)
    return to_chip.out, from_chip.inp
