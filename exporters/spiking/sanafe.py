"""SANA-FE's YAML: integrate-and-fire neurons on the cores of the Loihi 1 that ships with it; energy and time come out.

    network:   groups of neurons, and dense edges with weights in the order of their sources
    mappings:  each neuron on a core, placed by `lavaghost.hardware.mapper` as on our own description of that chip

A message takes one step from layer to layer. Output neurons never fire; their voltage is the readout. A neuron with
a bias is updated in every step (`force_update`), one without only when something arrives. Inputs are spikes at regular
distances, which the runtime puts in; input units cost nothing but their messages, and lie on cores behind the network.
SANA-FE is J. A. Boyle et al., IEEE TCAD 2025.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lavaghost.base.errors import ExportError
from lavaghost.base.spec import Spec
from lavaghost.datasets import Dataset
from lavaghost.exporters.base import Expected, ExportReport, calibrated
from lavaghost.exporters.chain import chain, chaining
from lavaghost.exporters.spiking import spiking_files
from lavaghost.exporters.spiking.conversion import SpikingOptions, convert
from lavaghost.exporters.spiking.neurons import FormatLimits, Spiking
from lavaghost.exporters.spiking.own_integers import dropped_by_a_chip
from lavaghost.hardware.catalogue import load_chip
from lavaghost.hardware.findings import Plan
from lavaghost.hardware.mapper import map_network
from lavaghost.model.model import Model
from lavaghost.numbers.arithmetic import Array

CHIP = "loihi1"
CORES_PER_TILE, CORES, INPUTS_PER_CORE = 4, 128, 1024
"""Of the Loihi that ships with SANA-FE."""
NEVER = 1 << 30
"""A threshold that no output reaches; SANA-FE reads integers of 32 bits."""
LIMITS = FormatLimits(weight=1 << 23, bias=1 << 23, threshold=1 << 23, drive=1 << 23)
PARTS = "dendrite: loihi_dendrites, synapse: loihi_dense_synapse"


@dataclass(frozen=True)
class SanafeExporter:
    """A file for SANA-FE 2."""

    name: str = "sanafe"
    suffix: str = ".yaml"
    summary: str = "SANA-FE YAML on its Loihi 1, integrate-and-fire neurons; energy and time per sample"
    needs: str = "a data set to calibrate on"
    runtimes: tuple[str, ...] = ("sanafe", "nengo-loihi")
    options: type[Spec] = SpikingOptions

    def write(
        self, trained: Model, path: Path, options: SpikingOptions, calibration: Dataset | None
    ) -> ExportReport:
        """See `Exporter`."""
        net = chain(trained, self.name)
        cores = placed(trained, options.weight_bits)
        data = calibrated(self, calibration)
        if (least := float(data.x_train.min())) < 0:
            raise ExportError(
                f"exporter {self.name!r}: {data.name} has samples down to {least:.3g}, and a spike train has no sign; "
                "export what lavaghost quantize makes of the network, in two channels, or use exporter 'nir-if'"
            )
        settings = convert(self, trained, data, options, LIMITS, code="spikes")
        whole = spiking_files.spiking_network(net, settings)
        text = "\n".join([*network_lines(whole), *mapping_lines(whole, cores)]) + "\n"
        activation = f"the rate of spikes in {options.steps} steps, and of those that come in"
        remark = dropped_by_a_chip(whole)
        return spiking_files.written(
            self, trained, path, text.encode(), settings, data, activation, whole, remark
        )

    def expected(self, trained: Model, settings: Mapping[str, Any], raw: Array) -> Expected:
        """See `Exporter`: the integrate-and-fire reference, a step from layer to layer."""
        run = spiking_files.spiking_run(chain(trained, self.name), settings, raw, delayed=True, most=NEVER)
        return spiking_files.exactly(run.sums, settings["units"][-1] / settings["steps"])


def placed(trained: Model, weight_bits: int) -> list[list[int]]:
    """The core of each neuron: inputs first, then layer by layer. Raises `ExportError` if they do not fit."""
    network = trained.network
    mapping = map_network(trained.graph, load_chip(CHIP), plan=Plan(weight_bits=weight_bits, messages="counts"))
    inputs = range(network.layers[0])
    needed = mapping.needed + (len(inputs) - 1) // INPUTS_PER_CORE + 1
    if mapping.violations or needed > CORES:
        why = "; ".join(violation.line(CHIP) for violation in mapping.violations)
        raise ExportError(
            f"exporter 'sanafe': layers {network.layers} need {needed} cores of {CORES} with the input"
            f"{': ' if why else ''}{why}; use smaller layers or fewer weight_bits"
        )
    found = [[len(mapping.cores) + i // INPUTS_PER_CORE for i in inputs]]
    for k, size in enumerate(network.layers[1:], start=1):
        name = trained.graph.layer(k)
        cores = [0] * size
        for core, part in mapping.parts[name]:
            cores[part.start : part.stop] = [core] * part.size
        found.append(cores)
    return found


def groups(net: Spiking) -> list[str]:
    """Of the groups."""
    return ["input", *(f"hidden{k}" for k in range(1, len(net.weights))), "output"]


def network_lines(net: Spiking) -> Iterator[str]:
    """Groups and edges."""
    yield from ("network:", "  name: lavaghost", "  groups:", "    - name: input", "      neurons:")
    yield f"        - 0..{net.weights[0].shape[1] - 1}: [soma: {{spikes: [0]}}]"
    common = "reset_mode: hard, leak_decay: 1.0, input_decay: 0.0"
    for name, biases, theta in zip(groups(net)[1:], net.biases, (*net.thresholds, NEVER), strict=True):
        yield f"    - name: {name}"
        yield f"      attributes: {{log_potential: {str(name == 'output').lower()}}}"
        yield "      neurons:"
        for i, b in enumerate(biases.astype(int)):
            update = str(bool(b)).lower()
            yield f"        - {i}: [soma: {{threshold: {theta}, bias: {b}, {common}, force_update: {update}}}]"
    yield "  edges:"
    for source, target, w in zip(groups(net), groups(net)[1:], net.weights, strict=False):
        yield from (f"    - {source} -> {target}:", "        - type: dense")
        # source by source: all targets of the first, then of the next
        yield f"        - weight: [{', '.join(map(str, w.T.ravel().astype(int)))}]"


def mapping_lines(net: Spiking, cores: list[list[int]]) -> Iterator[str]:
    """Where each neuron lies. A name with brackets is quoted, or YAML would read a list."""
    yield "mappings:"
    for name, places in zip(groups(net), cores, strict=True):
        for i, core in enumerate(places):
            soma = f'"loihi_inputs[{i % INPUTS_PER_CORE}]"' if name == "input" else "loihi_lif"
            place = f"{core // CORES_PER_TILE}.{core % CORES_PER_TILE}"
            yield f"  - {name}.{i}: [core: {place}, soma: {soma}, {PARTS}]"


chaining("sanafe")
exporter = SanafeExporter()
