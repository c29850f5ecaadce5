# /// script
# requires-python = ">=3.10,<3.12"
# dependencies = ["sanafe==2.2.9", "numpy==2.2.6"]
# ///
"""Run a network in SANA-FE (GPL-3) on its own Loihi 1: FILE IN.npz OUT.npz, see lavaghost/verification/runtimes.py.

Sample by sample: regular spikes into the input units, voltages of the output units out, with energy and time. The
readout starts when a sample can reach the output, one step per layer later.
"""

import contextlib
import json
import os
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import sanafe


def regular_spikes(sample, top, steps):
    """(steps, n_0): floor((2 t i + top) / (2 top)) spikes of a unit with integer i until step t."""
    t = np.arange(steps + 1)[:, None]
    return np.diff((2 * t * np.clip(sample, 0, top) + top) // (2 * top), axis=0) > 0


def main(file, given, answer):
    """Read, run, write."""
    with np.load(given, allow_pickle=False) as arrays:
        x, settings = arrays["x"], json.loads(str(arrays["settings"]))
    samples = np.rint(x.astype(np.float64) * settings["factor"]).astype(np.int64)
    steps, depth = settings["steps"], len(settings["units"])
    arch = sanafe.load_arch(str(Path(sanafe.__file__).with_name("examples") / "loihi.yaml"))
    chip = sanafe.SpikingChip(arch)
    chip.load(sanafe.load_net(file, arch))
    inputs = chip.mapped_neuron_groups["input"]
    logits, energy, latency = [], [], []
    for sample in samples:
        chip.reset()
        spikes = np.pad(regular_spikes(sample, settings["top"], steps), ((0, depth), (0, 0)))
        for i in range(len(sample)):
            inputs[i].set_attributes(model_attributes={"spikes": spikes[:, i].tolist()})
        found = chip.sim(steps + depth, timing_model="detailed", potential_trace=True)
        voltages = np.array(found["potential_trace"])
        logits.append(voltages[-1] - voltages[depth - 1])
        energy.append(found["energy"]["total"])
        latency.append(found["sim_time"])
    np.savez(
        answer,
        logits=np.rint(logits).astype(np.int64),
        energy_j=np.array(energy),
        latency_s=np.array(latency),
        runtime=np.array(f"sanafe {version('sanafe')}, Loihi 1"),
    )


if __name__ == "__main__":
    # it reports its progress on standard output
    with Path(os.devnull).open("w") as nowhere, contextlib.redirect_stdout(nowhere):
        main(*sys.argv[1:])
