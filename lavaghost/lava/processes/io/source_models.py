"""Models of the sources and the collector, each in floating point and in integers.

Lava executes this file anew for each compilation: it defines classes and does nothing else.
"""

from typing import Any

import numpy as np
from lava.magma.core.model.py.model import PyLoihiProcessModel

from lavaghost.lava.both import both
from lavaghost.lava.processes.io.sources import OutputCollector, SampleSource, TeachingSource


class SampleSourceModel(PyLoihiProcessModel):
    """See `SampleSource`."""

    s_out: Any

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self.samples = proc_params["samples"]
        self.trial_steps = proc_params["trial_steps"]

    def run_spk(self) -> None:
        """Send the sample of the present trial."""
        self.s_out.send(self.samples[(self.time_step - 1) // self.trial_steps])


class TeachingSourceModel(PyLoihiProcessModel):
    """See `TeachingSource`."""

    x_out: Any
    y_out: Any
    nudge_out: Any

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
        self.nudge_out.send(np.array([phase.nudged], self.targets.dtype))


class OutputCollectorModel(PyLoihiProcessModel):
    """See `OutputCollector`."""

    a_in: Any
    result_out: Any

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self.trial_steps = proc_params["trial_steps"]
        self.result = np.zeros((proc_params["trials"], proc_params["size"]), proc_params["kind"])

    def run_spk(self) -> None:
        """Keep what a trial ends with."""
        arrived = self.a_in.recv()
        trial, before_end = divmod(self.time_step, self.trial_steps)
        if before_end == 0:
            self.result[trial - 1] = arrived
            if trial == len(self.result):
                self.result_out.send(self.result)


PORTS: dict[Any, tuple[type[Any], tuple[str, ...], tuple[str, ...]]] = {
    SampleSource: (SampleSourceModel, (), ("s_out",)),
    TeachingSource: (TeachingSourceModel, (), ("x_out", "y_out", "nudge_out")),
    OutputCollector: (OutputCollectorModel, ("a_in",), ("result_out",)),
}
# Lava looks for models among a module's names
globals().update(
    {
        model.__name__: model
        for process, (logic, receives, sends) in PORTS.items()
        for model in both(process, logic, __name__, receives, sends)
    }
)
