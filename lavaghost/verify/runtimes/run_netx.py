# /// script
# requires-python = "==3.10.*"
# dependencies = ["lava-nc==0.10.0", "lava-dl==0.6.0", "h5py==3.16.0", "numpy==1.26.4", "scipy==1.15.3"]
# [tool.uv]
# override-dependencies = [
#     "torch; sys_platform == 'never'",
#     "torchvision; sys_platform == 'never'",
#     "opencv-python-headless; sys_platform == 'never'",
#     "ninja; sys_platform == 'never'",
#     "pytest; sys_platform == 'never'",
#     "unittest2; sys_platform == 'never'",
#     "matplotlib; sys_platform == 'never'",
#     "pillow; sys_platform == 'never'",
# ]
# ///
"""Run a netx file of lava-dl (BSD-3) in Lava's fixed-point simulator: FILE IN.npz OUT.npz.

lava-dl asks for torch to train; to run a file it needs none, once the two modules that import it are replaced.
Sigma-delta networks get one sample per step. Integrate-and-fire networks get each sample for `steps` steps, and what
the output neurons, which never fire, have summed up is read from their voltage.
"""

import json
import logging
import os
import signal
import sys
import types
from importlib.metadata import version
from pathlib import Path

import numpy as np

LIMIT_S = 1500
"""Lava waits for ever for a process that has died; the alarm ends this one, and its children with it."""


def import_netx():
    """lava-dl's netx without torch and slayer, which only resonate-and-fire neurons need."""

    def module(name, **content):
        sys.modules[name] = types.ModuleType(name)
        sys.modules[name].__dict__.update(content)

    def missing(*_args, **_kwargs):
        raise NotImplementedError("resonate-and-fire neurons need torch")

    module("lava.lib.dl.slayer", __path__=[])
    module("lava.lib.dl.slayer.neuron", __path__=[])
    module("lava.lib.dl.slayer.neuron.rf", neuron_params=missing)
    import lava.lib.dl

    place = Path(next(iter(lava.lib.dl.__path__)), "netx", "sequential_modules.py")
    module("lava.lib.dl.netx.sequential_modules", __file__=str(place))
    from lava.lib.dl import netx

    return netx


def fixed_point():
    """A run configuration that picks the fixed-point model of each process."""
    from lava.magma.core.run_configs import RunConfig

    class FixedPoint(RunConfig):
        def __init__(self):
            super().__init__(custom_sync_domains=None)

        def select(self, proc, models):
            del proc
            return next((model for model in models if "fixed_pt" in model.tags), models[0])

    return FixedPoint()


def sigma_delta(netx, file, samples, settings):
    """A new sample in every step; its sums come out as many steps later as there are layers."""
    from lava.magma.core.run_conditions import RunSteps
    from lava.proc import io

    del settings
    net = netx.hdf5.Network(net_config=file)
    depth = len(net) - 1  # the input is a layer of its own
    steps = len(samples) + depth
    source = io.source.RingBuffer(data=np.concatenate([samples, np.repeat(samples[-1:], depth, axis=0)]).T)
    sink = io.sink.RingBuffer(shape=net.out_layer.out.shape, buffer=steps)
    source.s_out.connect(net.in_layer.neuron.a_in)
    net.out.connect(sink.a_in)
    net.run(condition=RunSteps(num_steps=steps), run_cfg=fixed_point())
    sums = sink.data.get().T.copy()
    net.stop()
    return sums[depth:]


def integrate_and_fire(netx, file, samples, settings):
    """Each layer starts anew one step after the one below it, which is when a sample reaches it."""
    from lava.magma.core.run_conditions import RunSteps
    from lava.proc import io

    steps = settings["steps"]
    net = netx.hdf5.Network(net_config=file, input_message_bits=8, reset_interval=steps, reset_offset=1)
    depth = len(net)
    held = np.repeat(samples, steps, axis=0)
    source = io.source.RingBuffer(data=np.concatenate([held, np.zeros((depth, held.shape[1]), int)]).T)
    source.s_out.connect(net.inp)
    sums = []
    for i in range(len(samples)):
        net.run(condition=RunSteps(num_steps=steps + (depth if i == 0 else 0)), run_cfg=fixed_point())
        sums.append(net.out_layer.neuron.v.get() >> 6)  # voltages are aligned to 6 more bits
    net.stop()
    return np.array(sums)


def main(file, given, result):
    """Read, run, write."""
    logging.disable(logging.ERROR)
    os.setpgrp()
    signal.signal(signal.SIGALRM, lambda *_: os.killpg(0, signal.SIGKILL))
    signal.alarm(LIMIT_S)
    with np.load(given, allow_pickle=False) as arrays:
        x, settings = arrays["x"], json.loads(str(arrays["settings"]))
    samples = np.rint(x.astype(np.float64) * settings["factor"]).astype(np.int64)
    netx = import_netx()
    run = sigma_delta if settings["exporter"] == "netx-sdnn" else integrate_and_fire
    logits = run(netx, file, samples, settings)
    runtime = f"lava-dl {version('lava-dl')} netx in lava-nc {version('lava-nc')}, fixed point"
    np.savez(result, logits=logits.astype(np.int64), runtime=np.array(runtime))


if __name__ == "__main__":
    main(*sys.argv[1:])
