"""The floating-point model of `Exporter`.

Lava executes this file anew for each compilation: it defines classes and does nothing else.
"""

from typing import Any

import numpy as np
from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.model.py.model import PyLoihiProcessModel
from lava.magma.core.model.py.ports import PyInPort, PyOutPort, PyRefPort
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol

from lavaghost.lava_backend.phases import Clock
from lavaghost.lava_backend.proc.reader.process import CLASSES, Exporter

REFERENCE = LavaPyType(PyRefPort.VEC_DENSE, float)


class ExporterModel(PyLoihiProcessModel):
    """What the models of all numbers of arrays share."""

    params_out: Any = LavaPyType(PyOutPort.VEC_DENSE, float)
    record_in: Any = LavaPyType(PyInPort.VEC_DENSE, float)
    record_out: Any = LavaPyType(PyOutPort.VEC_DENSE, float)

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self.names = [f"array{i}" for i in range(1, proc_params["count"] + 1)]
        self.after: frozenset[int] = proc_params["after"]
        self.clock: Clock = proc_params["clock"]
        self.records: bool = proc_params["records"]

    def run_spk(self) -> None:
        """Pass a record on at the end of a trial."""
        if self.records and self.clock.at(self.time_step).end:
            self.record_out.send(self.record_in.recv())

    def post_guard(self) -> Any:
        """Whether there is something to read after this step's learning phase."""
        phase = self.clock.at(self.time_step)
        return phase.end and phase.trial in self.after

    def run_post_mgmt(self) -> None:
        """Read all arrays and send them."""
        self.params_out.send(np.concatenate([getattr(self, name).read().reshape(-1) for name in self.names]))


def _define(process: type[Exporter], count: int) -> type[Any]:
    body: dict[str, Any] = {"__module__": __name__, "__doc__": f"Model of {process.__name__}."}
    body |= {f"array{i}": REFERENCE for i in range(1, count + 1)}
    model = type(f"Py{process.__name__}", (ExporterModel,), body)
    return implements(proc=process, protocol=LoihiProtocol)(requires(CPU)(tag("floating_pt")(model)))


# Lava looks for models among a module's names
globals().update({model.__name__: model for n, cls in CLASSES.items() for model in [_define(cls, n)]})
