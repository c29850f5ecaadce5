# /// script
# requires-python = ">=3.11,<3.13"
# dependencies = ["spikingjelly==2.0.0", "nir==1.0.8", "nirtorch==2.6", "torch==2.13.0", "numpy==2.4.6", "h5py==3.16.0"]
# [tool.uv]
# override-dependencies = [
#     "torchvision; sys_platform == 'never'",
#     "torchaudio; sys_platform == 'never'",
#     "tensorboard; sys_platform == 'never'",
#     "scienceplots; sys_platform == 'never'",
#     "requests; sys_platform == 'never'",
# ]
# ///
"""Run a NIR file in SpikingJelly (Apache-2.0): FILE IN.npz OUT.npz, see lavaghost/verification/runtimes.py.

Its neurons reset to zero. Each sample is the same current in every step; the outputs are summed.
"""

import json
import logging
import sys
from importlib.metadata import version

import numpy as np
import torch
from spikingjelly.activation_based import nir_exchange

PART = 500
"""Samples at a time."""


@torch.no_grad()
def main(file, given, answer):
    """Read, run, write."""
    logging.disable(logging.WARNING)
    with np.load(given, allow_pickle=False) as arrays:
        x, settings = arrays["x"], json.loads(str(arrays["settings"]))
    held = torch.from_numpy(np.rint(x.astype(np.float64) * settings["factor"]).astype(np.float32))
    net, sums = nir_exchange.import_from_nir(file, dt=float(np.float32(1e-4))), []
    for part in held.split(PART):
        state, total = None, 0
        for _ in range(settings["steps"]):
            out, state = net(part, state)
            total = total + out
        sums.append(total)
    np.savez(
        answer, logits=torch.cat(sums).numpy(), runtime=np.array(f"spikingjelly {version('spikingjelly')}")
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
