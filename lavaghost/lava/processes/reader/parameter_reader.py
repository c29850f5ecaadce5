"""`ParameterReader`: sends the parameters of a decomposed network, and records of single layers, to the host.

Lava wants a process's ports and its model's attributes to agree, so there is a class for each number of
parameter arrays; `exporter` makes and takes the right one.

Lava executes this file anew for each compilation: it defines classes and does nothing else.
"""

from collections.abc import Sequence
from typing import Any

from lava.magma.core.process.ports.ports import InPort, OutPort, RefPort
from lava.magma.core.process.process import AbstractProcess

from lavaghost.lava.phases import Clock


class ParameterReader(AbstractProcess):
    """Reads Vars through RefPorts, a whole array at a time, after the learning phase of the trials in `after`.

    params_out  (m,)  all of them in one vector, in the order of `arrays`
    record_in   (r,)  the sum of what the recorded layers send at the end of each trial that teaches
    record_out  (r,)  the same, to the host
    """

    def __init__(self, *, arrays: Sequence[Any], after: frozenset[int], clock: Clock, record_size: int) -> None:
        """`arrays` are the Vars; `record_size` is 0 if nothing is recorded."""
        super().__init__(count=len(arrays), after=after, clock=clock, records=record_size > 0)
        for i, var in enumerate(arrays, start=1):
            reference = RefPort(shape=var.shape)
            setattr(self, f"array{i}", reference)
            reference.connect_var(var)
        self.params_out = OutPort(shape=(sum(var.size for var in arrays),))
        self.record_in = InPort(shape=(max(1, record_size),))
        self.record_out = OutPort(shape=(max(1, record_size),))


CLASSES: dict[int, type[ParameterReader]] = {}
"""The classes that were asked for, by their number of arrays."""


def exporter(*, arrays: Sequence[Any], after: frozenset[int], clock: Clock, record_size: int) -> Any:
    """A `ParameterReader` of `arrays`, which are Vars."""
    if (n := len(arrays)) not in CLASSES:
        body = {"__module__": __name__, "__doc__": f"Exports {n} arrays."}
        CLASSES[n] = type(f"Exporter{n}", (ParameterReader,), body)
    return CLASSES[n](arrays=arrays, after=after, clock=clock, record_size=record_size)
