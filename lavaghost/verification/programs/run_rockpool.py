# /// script
# requires-python = ">=3.11,<3.13"
# dependencies = ["rockpool==3.1.0", "nir==1.0.4", "nirtorch==2.0.2", "torch==2.13.0", "numpy==2.4.6", "h5py==3.16.0"]
# ///
"""Run a NIR file in Rockpool (AGPL-3): FILE IN.npz OUT.npz, see lavaghost/verification/runtimes.py.

Its neurons reset by the threshold, always, so the reference does too. Its synapse multiplies what it has and what
arrives by beta = exp(-dt / tau_syn), so tau_syn = dt is not a current of one step. Here beta is made 2^-24, which
leaves nothing of the step before, and the weights are multiplied by 2^24.
"""

import json
import logging
import math
import sys
from importlib.metadata import version

import nir
import numpy as np
import torch
from rockpool.nn.modules import LIFTorch
from rockpool.nn.modules.torch.nir import from_nir

GAIN = 24
PART = 250
"""Samples at a time."""


def instantaneous(graph):
    """The network with synapses that keep nothing, and at most one spike of a neuron in a step."""
    net, before = from_nir(graph), {target: source for source, target in graph.edges}
    for name in graph.nodes:
        neurons = getattr(net, name)
        if isinstance(neurons, LIFTorch):
            affine = getattr(net, before[name])
            affine.weight *= 2.0**GAIN
            affine.bias *= 2.0**GAIN
            neurons.tau_syn = torch.full_like(neurons.tau_syn, neurons.dt / (GAIN * math.log(2)))
            neurons.max_spikes_per_dt = torch.tensor(1.0)
    return net


@torch.no_grad()
def main(file, given, answer):
    """Read, run, write."""
    logging.disable(logging.WARNING)
    with np.load(given, allow_pickle=False) as arrays:
        x, settings = arrays["x"], json.loads(str(arrays["settings"]))
    held = torch.from_numpy(np.rint(x.astype(np.float64) * settings["factor"]).astype(np.float32))
    sums = []
    for part in held.split(PART):
        net = instantaneous(nir.read(file))
        found = net(part[:, None].expand(-1, settings["steps"], -1).contiguous())
        sums.append((found[0] if isinstance(found, tuple) else found).sum(1))
    np.savez(answer, logits=torch.cat(sums).numpy(), runtime=np.array(f"rockpool {version('rockpool')}"))


if __name__ == "__main__":
    main(*sys.argv[1:])
