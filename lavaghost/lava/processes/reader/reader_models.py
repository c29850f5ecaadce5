"""The models of `ParameterReader`, in floating point and in integers.

Lava executes this file anew for each compilation: it defines classes and does nothing else.
"""

from typing import Any

import numpy as np
from lava.magma.core.model.py.model import PyLoihiProcessModel
from lava.magma.core.model.py.ports import PyInPort, PyOutPort, PyRefPort
from lava.magma.core.model.py.type import LavaPyType

from lavaghost.lava.both import both
from lavaghost.lava.late import late
from lavaghost.lava.phases import Clock
from lavaghost.lava.processes.reader.parameter_reader import CLASSES, ParameterReader


class ExporterModel(PyLoihiProcessModel):
    """What the models of all numbers of arrays share."""

    params_out: Any
    record_in: Any = LavaPyType(PyInPort.VEC_DENSE, float)
    record_out: Any = LavaPyType(PyOutPort.VEC_DENSE, float)

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self.names = [f"array{i}" for i in range(1, proc_params["count"] + 1)]
        self.after: frozenset[int] = proc_params["after"]
        self.clock: Clock = proc_params["clock"]
        self.records: bool = proc_params["records"]

    def run_spk(self) -> None:
        """Pass a record on at the end of a trial that is recorded."""
        if self.records and self.clock.at(self.time_step).recorded:
            self.record_out.send(self.record_in.recv())

    def post_guard(self) -> Any:
        """Whether there is something to read after this step's learning phase."""
        phase = self.clock.at(self.time_step)
        return phase.end and phase.trial in self.after

    def run_post_mgmt(self) -> None:
        """Read all arrays and send them."""
        self.params_out.send(np.concatenate([getattr(self, name).read().reshape(-1) for name in self.names]))


def _define(process: type[ParameterReader], count: int) -> list[type[Any]]:
    """RefPorts of the arrays, in either number system."""
    references = {f"array{i}": LavaPyType(PyRefPort.VEC_DENSE, float) for i in range(1, count + 1)}
    logic = type(f"{process.__name__}Model", (ExporterModel,), references)
    return both(process, logic, __name__, sends=["params_out"])


# Lava looks for models among a module's names
__getattr__ = late(globals(), lambda: (model for n, cls in CLASSES.items() for model in _define(cls, n)))
