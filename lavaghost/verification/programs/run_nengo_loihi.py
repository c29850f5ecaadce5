# /// script
# requires-python = ">=3.10,<3.12"
# dependencies = ["nengo-loihi==1.1.0", "nengo==4.1.0", "numpy==1.26.4", "scipy==1.13.1", "pyyaml==6.0.2"]
# ///
"""Run a SANA-FE file in the emulator of Loihi 1 of nengo-loihi (Apache-2.0, on nengo, GPL-2): FILE IN.npz OUT.npz.

nengo-loihi has no file format, so it gets the network of exporter `sanafe`, block by block: the same integers,
aligned to 6 more bits as on the chip, and the same regular spikes. Its placement is left out, since the emulator has
none. The readout is the voltage of the output units, which never fire.
"""

import json
import sys
import warnings
from importlib.metadata import version

import numpy as np
import yaml

warnings.filterwarnings("ignore")

from nengo_loihi.block import Axon, LoihiBlock, Synapse  # noqa: E402
from nengo_loihi.builder import Model  # noqa: E402
from nengo_loihi.builder.discretize import discretize_model  # noqa: E402
from nengo_loihi.emulator import EmulatorInterface  # noqa: E402
from nengo_loihi.inputs import SpikeInput  # noqa: E402

ALIGN = 64
VOLTAGE = (1 << 23) - 1


def regular_spikes(sample, top, steps):
    """(steps, n_0): floor((2 t i + top) / (2 top)) spikes of a unit with integer i until step t."""
    t = np.arange(steps + 1)[:, None]
    return np.diff((2 * t * np.clip(sample, 0, top) + top) // (2 * top), axis=0) > 0


def read(file, inputs):
    """[(weights (n_k, n_{k-1}), biases, threshold)] of a SANA-FE file, all integers but the last."""
    with open(file, encoding="utf-8") as stream:  # noqa: PTH123
        network = yaml.load(stream, getattr(yaml, "CSafeLoader", yaml.SafeLoader))["network"]
    layers = []
    for group, edge in zip(network["groups"][1:], network["edges"], strict=True):
        somas = [next(iter(neuron.values()))[0]["soma"] for neuron in group["neurons"]]
        weights = next(part["weight"] for part in next(iter(edge.values())) if "weight" in part)
        biases = np.array([soma["bias"] for soma in somas])
        layers.append((np.array(weights).reshape(inputs, len(somas)).T, biases, somas[0]["threshold"]))
        inputs = len(somas)
    return layers


def build(layers, source):
    """The model, discretised; then each number is what the file says, and not what a search for exponents found."""
    model, before = Model(), source
    model.add_input(source)
    parts = []
    for weights, biases, threshold in layers:
        block, synapse, axon = LoihiBlock(len(weights)), Synapse(weights.shape[1]), Axon(weights.shape[1])
        block.compartment.configure_relu()
        synapse.set_weights(np.ones(weights.T.shape))
        block.add_synapse(synapse)
        axon.target = synapse
        before.add_axon(axon)
        model.add_block(block)
        parts.append((block.compartment, synapse, weights, biases, threshold))
        before = block
    discretize_model(model)
    for compartment, synapse, weights, biases, threshold in parts:
        compartment.vth[:] = min(int(threshold) * ALIGN, VOLTAGE)
        compartment.bias[:] = biases * ALIGN
        compartment.vmin, compartment.vmax = -VOLTAGE, VOLTAGE
        compartment.decay_u[:] = 4095  # of 4096, and the chip adds 1: a current lasts one step
        for i, row in enumerate(synapse.weights):
            row[:] = weights[:, i] * ALIGN
    return model


def main(file, given, answer):
    """Read, run sample by sample, write."""
    with np.load(given, allow_pickle=False) as arrays:
        x, settings = arrays["x"], json.loads(str(arrays["settings"]))
    samples = np.rint(x.astype(np.float64) * settings["factor"]).astype(np.int64)
    layers, source = read(file, samples.shape[1]), SpikeInput(samples.shape[1])
    steps, depth, outputs = settings["steps"], len(layers), len(layers[-1][1])
    EmulatorInterface.strict = True  # an overflow is an error
    logits = []
    with EmulatorInterface(build(layers, source), seed=0) as emulator:
        state = emulator.compartment
        for sample in samples:
            for t, spikes in enumerate(regular_spikes(sample, settings["top"], steps), start=emulator.t + 1):
                source.add_spikes(t, np.flatnonzero(spikes))
            for values in (state.voltage, state.current, state.spiked, state.ref_count, state.input):
                values[:] = 0
            emulator.run_steps(depth)
            early = state.voltage[-outputs:].copy()
            emulator.run_steps(steps)
            logits.append((state.voltage[-outputs:] - early) // ALIGN)
    runtime = f"nengo-loihi {version('nengo-loihi')}, emulator of Loihi 1"
    np.savez(answer, logits=np.array(logits, np.int64), runtime=np.array(runtime))


if __name__ == "__main__":
    main(*sys.argv[1:])
