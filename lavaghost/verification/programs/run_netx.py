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
import multiprocessing
import os
import signal
import sys
import types
import warnings
from importlib.metadata import version
from pathlib import Path

import numpy as np

START_S, STEPS_PER_S = 60, 50
"""What is granted; on two cores 500 steps take one second."""


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


def watch(steps):
    """End this process and those of Lava, which waits for ever for one that has died, in good time."""

    def give_up(*_):
        for child in multiprocessing.active_children():
            child.kill()
        sys.stderr.write(f"Lava did not finish {steps} steps within {limit} s\n")
        sys.stderr.flush()
        os._exit(1)

    limit = START_S + steps // STEPS_PER_S
    signal.signal(signal.SIGALRM, give_up)
    signal.alarm(limit)


def run(net, samples, source_port, connect):
    """Feed `samples (steps, n_0)`, one a step; `connect(steps)` gives a function that reads the result."""
    from lava.magma.core.run_conditions import RunSteps
    from lava.proc import io

    watch(len(samples))
    source = io.source.RingBuffer(data=samples.T)
    source.s_out.connect(source_port)
    read = connect(len(samples))
    net.run(condition=RunSteps(num_steps=len(samples)), run_cfg=fixed_point())
    found = read()
    net.stop()
    return found


def sigma_delta(netx, file, samples, settings):
    """A new sample in every step; its sums come out as many steps later as there are layers of weights."""
    from lava.proc import io

    del settings
    net = netx.hdf5.Network(net_config=file)
    depth = len(net) - 1  # the input is a layer of its own

    def connect(steps):
        sink = io.sink.RingBuffer(shape=net.out_layer.out.shape, buffer=steps)
        net.out.connect(sink.a_in)
        return lambda: sink.data.get().T

    held = np.concatenate([samples, np.repeat(samples[-1:], depth, axis=0)])
    return run(net, held, net.in_layer.neuron.a_in, connect)[depth:]


def integrate_and_fire(netx, file, samples, settings):
    """Each sample for some steps; a layer starts anew when it reaches it, one step after the layer below."""
    from lava.proc.monitor.process import Monitor

    steps = settings["steps"]
    net = netx.hdf5.Network(net_config=file, input_message_bits=8, reset_interval=steps, reset_offset=1)
    depth = len(net)

    def connect(total):
        monitor, voltage = Monitor(), net.out_layer.neuron.v
        monitor.probe(voltage, total)
        return lambda: monitor.get_data()[net.out_layer.neuron.name][voltage.name]

    held = np.concatenate([np.repeat(samples, steps, axis=0), np.zeros((depth, samples.shape[1]), int)])
    voltages = run(net, held, net.inp, connect)
    # aligned to 6 more bits, and read before the next sample reaches the output
    return voltages[depth + steps - 1 :: steps].astype(np.int64) >> 6


def main(file, given, result):
    """Read, run, write."""
    logging.disable(logging.ERROR)
    warnings.filterwarnings("ignore")
    os.environ["PYTHONWARNINGS"] = (
        "ignore"  # of the processes of Lava, so that the last line is what went wrong
    )
    with np.load(given, allow_pickle=False) as arrays:
        x, settings = arrays["x"], json.loads(str(arrays["settings"]))
    samples = np.rint(x.astype(np.float64) * settings["factor"]).astype(np.int64)
    netx = import_netx()
    kind = sigma_delta if settings["exporter"] == "netx-sdnn" else integrate_and_fire
    logits = kind(netx, file, samples, settings)
    runtime = f"lava-dl {version('lava-dl')} netx in lava-nc {version('lava-nc')}, fixed point"
    np.savez(result, logits=logits.astype(np.int64), runtime=np.array(runtime))


if __name__ == "__main__":
    main(*sys.argv[1:])
