"""NIR, the exchange format of spiking simulators, in the layout of nir 1.0.4, which later versions read too.

    Input -> { Affine -> IF or CubaLIF } ... -> Affine -> Output

A runtime feeds the same integers in every step and sums what comes out. Two dialects, because simulators agree on
neither neuron (J. E. Pedersen et al., Nat. Commun. 15:8122, 2024, have the equations):

    nir-if        dv/dt = r I, with r = 1/dt: one step adds I
    nir-cubalif   tau_syn = dt: a current lasts one step; tau_mem = 10^8 dt: in float32 nothing leaks; r = tau_mem/dt

All numbers are integers times a power of two, below 2^24, so float32 has no rounding (`exporters.spiking.neurons`).
What the file leaves open is the reset: to zero, or by the threshold. Most simulators do the former.
"""

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lavaghost.base.errors import ExportError
from lavaghost.base.spec import Spec
from lavaghost.datasets import Dataset
from lavaghost.exporters.base import Expected, ExportReport, calibrated
from lavaghost.exporters.chain import chain, chaining
from lavaghost.exporters.spiking import hdf5, spiking_files
from lavaghost.exporters.spiking.conversion import SpikingOptions, convert
from lavaghost.exporters.spiking.neurons import FormatLimits, Spiking, magnitude
from lavaghost.model.model import Model
from lavaghost.numbers.arithmetic import Array

VERSION = "1.0.4"
DT = 1e-4
"""Of one step, in seconds; the default of the simulators."""
TAU_MEM = 1e4
EXACT = 1 << 24
"""Up to here float32 holds every integer."""
LIMITS = FormatLimits(weight=EXACT - 1, bias=EXACT - 1, threshold=EXACT // 2, drive=EXACT - 1)


@dataclass(frozen=True)
class NirExporter:
    """Integrate-and-fire neurons in one of the two dialects."""

    name: str
    neuron: str
    summary: str
    runtimes: tuple[str, ...]
    suffix: str = ".nir"
    needs: str = "h5py, a data set to calibrate on"
    options: type[Spec] = SpikingOptions

    def write(
        self, trained: Model, path: Path, options: SpikingOptions, calibration: Dataset | None
    ) -> ExportReport:
        """See `Exporter`."""
        net = chain(trained, self.name)
        data = calibrated(self, calibration)
        settings = convert(self, trained, data, options, LIMITS)
        whole = spiking_files.spiking_network(net, settings)
        packed = hdf5.hdf5_bytes(self.name, nir_tree(whole, self.neuron))
        activation = f"the rate of spikes in {options.steps} steps"
        return spiking_files.written(self, trained, path, packed, settings, data, activation, whole)

    def expected(self, trained: Model, settings: Mapping[str, Any], raw: Array) -> Expected:
        """See `Exporter`: the integrate-and-fire reference, whose sums float32 must hold without rounding."""
        net = chain(trained, self.name)
        whole = spiking_files.spiking_network(net, settings)
        largest = magnitude(whole, spiking_files.whole_samples(raw, settings), settings["steps"])
        if largest >= EXACT:
            raise ExportError(
                f"exporter {self.name!r}: sums reach {largest:.3g}, and float32 is exact up to {EXACT}; export with "
                "fewer steps, weight_bits or input_bits"
            )
        run = spiking_files.spiking_run(net, settings, raw)
        return spiking_files.exactly(run.sums, settings["units"][-1] / settings["steps"])


def nir_tree(net: Spiking, neuron: str) -> dict[str, Any]:
    """The tree of a file, path -> value."""
    nodes: dict[str, dict[str, Any]] = {
        "input": {"type": "Input", "shape": np.array([net.weights[0].shape[1]])}
    }
    thresholds = (*net.thresholds, None)
    for k, (w, b, theta) in enumerate(zip(net.weights, net.biases, thresholds, strict=True), start=1):
        # a power of two, so that a threshold lies in 1/2..1 and nothing is rounded
        scale = 1.0 if theta is None else 2.0 ** -math.ceil(math.log2(theta))
        nodes[f"fc{k}"] = {
            "type": "Affine",
            "weight": (w * scale).astype(np.float32),
            "bias": (b * scale).astype(np.float32),
        }
        if theta is not None:
            nodes[f"neurons{k}"] = _neuron(neuron, len(w), theta * scale)
    nodes["output"] = {"type": "Output", "shape": np.array([len(net.weights[-1])])}
    names = list(nodes)
    edges = [[a.encode(), b.encode()] for a, b in itertools.pairwise(names)]
    return {
        "version": VERSION,
        "node/type": "NIRGraph",
        "node/edges": np.array(edges, dtype=object),
        "node/metadata/producer": "lavaghost",
        "node/metadata/dt": DT,
        **{f"node/nodes/{name}/{key}": v for name, node in nodes.items() for key, v in node.items()},
    }


def _neuron(kind: str, size: int, theta: float) -> dict[str, Any]:
    values = {"r": 1 / DT, "v_threshold": theta}
    if kind == "CubaLIF":
        values |= {"tau_syn": DT, "tau_mem": TAU_MEM, "r": TAU_MEM / DT, "v_leak": 0.0, "w_in": 1.0}
    return {"type": kind} | {key: np.full(size, value, np.float32) for key, value in values.items()}


chaining("nir-if")
chaining("nir-cubalif")
integrate_and_fire = NirExporter(
    "nir-if",
    "IF",
    "NIR, integrate-and-fire neurons; Norse, Sinabs, SpikingJelly",
    ("norse", "sinabs", "spikingjelly"),
)
cubalif = NirExporter(
    "nir-cubalif",
    "CubaLIF",
    "NIR, current-based neurons that do not leak; snnTorch, SpikingJelly, Rockpool",
    ("snntorch", "spikingjelly", "rockpool"),
)
