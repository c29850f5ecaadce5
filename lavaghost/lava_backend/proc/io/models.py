"""Floating-point models of the source and the collector.

Lava executes this file anew for each compilation: it defines classes and does nothing else.
"""

from typing import Any

import numpy as np
from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.model.py.model import PyLoihiProcessModel
from lava.magma.core.model.py.ports import PyInPort, PyOutPort
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol

from lavaghost.lava_backend.proc.io.process import OutputCollector, SampleSource, TeachingSource


@implements(proc=SampleSource, protocol=LoihiProtocol)
@requires(CPU)
@tag("floating_pt")
class PySampleSource(PyLoihiProcessModel):
    """See `SampleSource`."""

    s_out: Any = LavaPyType(PyOutPort.VEC_DENSE, float)

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self.samples = proc_params["samples"]
        self.trial_steps = proc_params["trial_steps"]

    def run_spk(self) -> None:
        """Send the sample of the present trial."""
        self.s_out.send(self.samples[(self.time_step - 1) // self.trial_steps])


@implements(proc=TeachingSource, protocol=LoihiProtocol)
@requires(CPU)
@tag("floating_pt")
class PyTeachingSource(PyLoihiProcessModel):
    """See `TeachingSource`."""

    x_out: Any = LavaPyType(PyOutPort.VEC_DENSE, float)
    y_out: Any = LavaPyType(PyOutPort.VEC_DENSE, float)
    nudge_out: Any = LavaPyType(PyOutPort.VEC_DENSE, float)

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self.samples, self.targets = proc_params["samples"], proc_params["targets"]
        self.order, self.clock = proc_params["order"], proc_params["clock"]
        self.row = 0

    def run_spk(self) -> None:
        """Send the sample of the present trial, its target, and whether the target counts."""
        phase = self.clock.at(self.time_step)
        if phase.reset:
            self.row = self.order(phase.trial)
        self.x_out.send(self.samples[self.row])
        self.y_out.send(self.targets[self.row])
        self.nudge_out.send(np.array([float(phase.nudged)]))


@implements(proc=OutputCollector, protocol=LoihiProtocol)
@requires(CPU)
@tag("floating_pt")
class PyOutputCollector(PyLoihiProcessModel):
    """See `OutputCollector`."""

    a_in: Any = LavaPyType(PyInPort.VEC_DENSE, float)
    result_out: Any = LavaPyType(PyOutPort.VEC_DENSE, float)

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self.trial_steps = proc_params["trial_steps"]
        self.result = np.zeros((proc_params["trials"], proc_params["size"]))

    def run_spk(self) -> None:
        """Keep what a trial ends with."""
        arrived = self.a_in.recv()
        trial, before_end = divmod(self.time_step, self.trial_steps)
        if before_end == 0:
            self.result[trial - 1] = arrived
            if trial == len(self.result):
                self.result_out.send(self.result)
