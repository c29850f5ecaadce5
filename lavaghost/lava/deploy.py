"""Run the inference network from stock Lava processes: on Loihi 2, or in Lava's fixed-point simulator.

Sigma-delta neurons for a network in real numbers; a network in integers keeps its own mantissas, messages and
saturation, as graded vectors without a state (`engines.graded`). Sigma-delta neurons have models for the chip in
Intel's extension, and Lava's own networks of graded vectors are made for it. Lava would run them on the CPU without a
word where the extension is missing, so it is looked for before any hardware configuration is made, and after compiling
every neuron and connection must have a model that is not a Python one. Nobody could run this on a chip here: every
report says "not tested on hardware".
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from typing import Any

import numpy as np

from lavaghost.base.errors import MissingError, SpecError
from lavaghost.datasets import Dataset
from lavaghost.engines.forward_integers import forward_integers
from lavaghost.engines.graded import Graded, graded_of, graded_reference
from lavaghost.engines.sigma_delta import reference, sigma_delta_of
from lavaghost.hardware.schema import Hardware
from lavaghost.lava.available import require_lava
from lavaghost.lava.stock import StepsDone, run_chain, run_graded
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
Runner = Callable[..., Array]


@dataclass(frozen=True, eq=False)
class Deployment:
    """What a run brought back.

    integer_exact    every output equals the integer reference
    float_accuracy   of the network's own free phase on the same samples: of the float network, or, for one in
                     integers, of the integer engine
    saturating       for a network in integers, units of each hidden layer that are held at their bound: those that
                     reach it on the training data
    approximation    for a network in integers, the largest difference of an output from its engine's
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
    saturating: tuple[int, ...] | None = None
    approximation: float | None = None

    def as_json(self) -> dict[str, Any]:
        """The figures without the outputs."""
        values = {k: getattr(self, k) for k in self.__dataclass_fields__ if k != "outputs"}
        values["saturating"] = None if self.saturating is None else list(self.saturating)
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
    state_bits = int(hardware.limits.state_bits.value or 24)
    on_chip = not simulate and hardware.lava == "loihi2"
    own = _graded(model, data) if model.integers is not None else None
    if own is None:
        net = sigma_delta_of(model.graph, model.params, data.x_train, model.input_scale)
        samples = net.inputs(x)
        expected, depth, shifts = reference(net, samples, state_bits), net.depth, net.shifts
        run: Runner = partial(run_chain, net)
    else:
        samples = own.net.arith.input(x)
        expected, depth = graded_reference(own, samples, state_bits), own.depth
        shifts = tuple(stage.links[0].shift for stage in own.stages)
        run = partial(run_graded, own)
    start = time.perf_counter()
    found = run(samples, on_chip=on_chip, report=report)
    seconds = time.perf_counter() - start
    outputs = model.outputs(x)
    free, labels = outputs.argmax(axis=1), found.argmax(axis=1)
    return Deployment(
        target=hardware.name if on_chip else f"Lava's fixed-point simulator, for {hardware.name}",
        accuracy=float((labels == y).mean()),
        float_accuracy=float((free == y).mean()),
        label_agreement=float((labels == free).mean()),
        samples=len(x),
        steps=len(x) + depth,
        seconds=seconds,
        integer_exact=bool(np.array_equal(found, expected)),
        max_abs_difference=int(np.abs(found - expected).max(initial=0)),
        shifts=shifts,
        outputs=found,
        saturating=None if own is None else own.saturating,
        approximation=None if own is None else float(np.abs(found * own.net.unit - outputs).max(initial=0)),
    )


def _graded(model: Model, data: Dataset) -> Graded:
    """A network in integers as a chip with graded spikes takes it; units that saturate on the training data do so."""
    if model.integers is None:
        raise SpecError(
            "deploy: this network is in real numbers; its integers are those of sigma-delta neurons"
        )
    net = forward_integers(model.graph, model.integers)
    return graded_of(net, net.arith.input(data.x_train))
