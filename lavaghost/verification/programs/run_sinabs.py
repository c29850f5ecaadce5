# /// script
# requires-python = ">=3.11,<3.13"
# dependencies = ["sinabs==3.1.3", "nir==1.0.4", "nirtorch==2.0.2", "torch==2.13.0", "numpy==2.4.6", "h5py==3.16.0"]
# [tool.uv]
# override-dependencies = ["samna; sys_platform == 'never'"]
# ///
"""Run a NIR file in Sinabs (Apache-2.0): FILE IN.npz OUT.npz, see lavaghost/verification/runtimes.py.

Sinabs resets by the threshold, fires several spikes in a step and bounds voltages from below, unless told otherwise;
here it is told. samna, which drives SynSense's chips, is left out: importing it installs software.
"""

import json
import logging
import sys
from importlib.metadata import version

import nir
import numpy as np
import torch
from sinabs.activation import MembraneReset, MembraneSubtract, SingleSpike
from sinabs.layers import IAFSqueeze
from sinabs.nir import from_nir

PART = 250
"""Samples at a time."""


@torch.no_grad()
def main(file, given, answer):
    """Read, run, write."""
    logging.disable(logging.WARNING)
    with np.load(given, allow_pickle=False) as arrays:
        x, settings = arrays["x"], json.loads(str(arrays["settings"]))
    held = torch.from_numpy(np.rint(x.astype(np.float64) * settings["factor"]).astype(np.float32))
    steps, sums = settings["steps"], []
    for part in held.split(PART):
        net = from_nir(nir.read(file), batch_size=len(part))
        for module in net.modules():
            if isinstance(module, IAFSqueeze):
                module.spike_fn = SingleSpike
                module.reset_fn = MembraneReset() if settings["reset"] == "hard" else MembraneSubtract()
                module.min_v_mem = None
        # its layers take the steps of all samples in one row
        found = net(part.repeat_interleave(steps, dim=0))
        out = found[0] if isinstance(found, tuple) else found
        sums.append(out.reshape(len(part), steps, -1).sum(1))
    np.savez(answer, logits=torch.cat(sums).numpy(), runtime=np.array(f"sinabs {version('sinabs')}"))


if __name__ == "__main__":
    main(*sys.argv[1:])
