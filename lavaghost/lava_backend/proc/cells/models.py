"""Floating-point models of the populations. Equations are those of `dynamics`, signals those of `learning.online`.

Lava executes this file anew for each compilation: it defines classes and does nothing else.
"""

from typing import Any

import numpy as np
from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.model.py.neuron import LearningNeuronModelFloat
from lava.magma.core.model.py.ports import PyInPort, PyOutPort
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol

from lavaghost.arithmetic import Array, Float
from lavaghost.dynamics.neuron import rate
from lavaghost.dynamics.step import ghost_membrane, hidden_membrane, online_ghost, output_membrane
from lavaghost.engines import Local
from lavaghost.lava_backend.exports import layer_record
from lavaghost.lava_backend.phases import Clock, Phase, check_nudge
from lavaghost.lava_backend.proc.cells.process import (
    GhostCell,
    HiddenCell,
    OnlineGhostCell,
    OutputCell,
    Probe,
)
from lavaghost.learning.online import Course
from lavaghost.spec import Network

ARITH = Float()
IN = LavaPyType(PyInPort.VEC_DENSE, float)
OUT = LavaPyType(PyOutPort.VEC_DENSE, float)
ARRAY = LavaPyType(np.ndarray, float)


class CellModel(LearningNeuronModelFloat):
    """What all populations do. Arrays inside are `(1, n)`, as in `dynamics`; messages are `(n,)`."""

    s_out: Any = OUT
    v_mem: Any = ARRAY
    bias: Any = ARRAY

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self.network: Network = proc_params["network"]
        self.course: Course | None = proc_params["course"]
        self.k: int = proc_params["k"]
        self.clock = Clock(self.network, self.course, proc_params["first"])
        self.zero = ARITH.zeros(1, *proc_params["shape"])
        self.v = self.zero

    def settle(self, v: Array, k: int) -> Array:
        """Take the new membrane `v` and give its rate, by the rate function of layer `k`."""
        self.v, self.v_mem = v, v[0]
        return rate(v, self.network, k, ARITH)

    def send_signals(self, y1: Array | None = None, y2: Array | None = None, y3: Array | None = None) -> None:
        """What the synapses onto these neurons learn from, 0 unless given."""
        nothing = self.zero[0]
        self.s_out_bap.send(np.zeros(nothing.shape, dtype=bool))
        for port, signal in ((self.s_out_y1, y1), (self.s_out_y2, y2), (self.s_out_y3, y3)):
            port.send(nothing if signal is None else signal[0])


class NeuronModel(CellModel):
    """What hidden and output layers have in common: what they send, and how they learn."""

    a_ff: Any = IN
    a_ghost: Any = IN
    s_fb: Any = OUT
    teach_out: Any = OUT
    probe_out: Any = OUT

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self.probe: Probe | None = proc_params["probe"]
        self.feedback_learns: bool = proc_params["feedback_learns"]
        self.w_gain: float = proc_params["w_gain"]
        self.free = self.left_over = self.zero
        self.feedback: Array | None = None
        self.inhibition: Array | None = None

    def finish(self, r: Array, phase: Phase) -> None:
        """Send the rates `r`; at the end of a trial, learn."""
        self.s_out.send(r[0])
        predicted = self.a_ghost.recv()[np.newaxis]  # sent before the ghosts wait for `teach_out`
        if phase.free_end:
            self.free = r
        if not phase.end or self.course is None:
            self.s_fb.send(r[0])
            self.teach_out.send(r[0])
            self.send_signals()
            return
        y = self.course.signal(self.k, phase.trial, self._local(r, predicted))
        self.bias = self.bias + y[0]
        self.s_fb.send(y[0] if self.feedback_learns else r[0])
        self.teach_out.send(y[0])
        ghosts = self.course.ghosts
        cancelling = None if ghosts is None or self.feedback is None else ghosts.cancelling(self.left_over)
        self.send_signals(y * self.w_gain, r, cancelling)
        if self.probe is not None:
            own = layer_record(self.free, r, self.feedback, self.inhibition)
            record = np.zeros(self.probe.size)
            record[self.probe.start : self.probe.start + len(own)] = own
            self.probe_out.send(record)

    def _local(self, r: Array, predicted: Array) -> Local:
        """What these neurons have seen of the trial."""
        change = ARITH.subtract(r, self.free)
        if self.network.mechanism == "online":
            return Local(self.free, change, None)
        return Local(self.free, change, change if self.k == 1 else ARITH.subtract(r, predicted))


@implements(proc=HiddenCell, protocol=LoihiProtocol)
@requires(CPU)
@tag("floating_pt")
class PyHiddenCell(NeuronModel):
    """See `HiddenCell`."""

    a_fb: Any = IN
    a_gh: Any = IN

    def run_spk(self) -> None:
        """One step of a trial."""
        phase = self.clock.at(self.time_step)
        drive, feedback, inhibition = (port.recv()[np.newaxis] for port in (self.a_ff, self.a_fb, self.a_gh))
        if phase.nudged and self.free_ended:
            # what was sent in the last step of the free phase arrives now
            self.feedback, self.inhibition = feedback, inhibition
            self.left_over = ARITH.subtract(feedback, inhibition)
        self.free_ended = phase.free_end
        v = self.zero
        if not phase.reset:
            v = hidden_membrane(self.v, drive, self.bias, feedback, inhibition, self.network, ARITH)
        self.finish(self.settle(v, self.k), phase)

    free_ended = False


@implements(proc=OutputCell, protocol=LoihiProtocol)
@requires(CPU)
@tag("floating_pt")
class PyOutputCell(NeuronModel):
    """See `OutputCell`."""

    y_in: Any = IN
    nudge_in: Any = IN

    def run_spk(self) -> None:
        """One step of a trial."""
        phase = self.clock.at(self.time_step)
        drive, target = self.a_ff.recv()[np.newaxis], self.y_in.recv()[np.newaxis]
        check_nudge(bool(self.nudge_in.recv()[0]), phase)
        v = self.zero
        if not phase.reset:
            goal = target if phase.nudged else None
            v = output_membrane(self.v, drive, self.bias, goal, self.network, ARITH)
        self.finish(self.settle(v, self.k), phase)


@implements(proc=GhostCell, protocol=LoihiProtocol)
@requires(CPU)
@tag("floating_pt")
class PyGhostCell(CellModel):
    """See `GhostCell`."""

    a_in: Any = IN
    a_third_factor_in: Any = IN
    g_out: Any = OUT

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self.mirrors: bool = proc_params["mirrors"]
        self.error = self.zero

    def run_spk(self) -> None:
        """One step of a trial."""
        phase = self.clock.at(self.time_step)
        drive = self.a_in.recv()[np.newaxis]
        v = self.zero if phase.reset else ghost_membrane(self.v, drive, self.bias, self.network, ARITH)
        g = self.settle(v, self.k + 1)
        self.g_out.send(g[0])
        partner = self.a_third_factor_in.recv()[np.newaxis]
        if self.course is None or not phase.end:
            if phase.free_end and self.course is not None and self.course.ghosts is not None:
                self.error = self.course.ghosts.prediction(partner, g)
            self.s_out.send(g[0])
            self.send_signals()
            return
        z = partner if self.course.ghosts is None else partner + self.error
        self.bias = self.bias + z[0]
        self.s_out.send(partner[0] if self.mirrors else g[0])
        self.send_signals(z)


@implements(proc=OnlineGhostCell, protocol=LoihiProtocol)
@requires(CPU)
@tag("floating_pt")
class PyOnlineGhostCell(CellModel):
    """See `OnlineGhostCell`."""

    a_in: Any = IN

    def run_spk(self) -> None:
        """One step of a trial."""
        phase = self.clock.at(self.time_step)
        feedback = self.a_in.recv()[np.newaxis]
        v = self.zero if phase.reset else online_ghost(self.v, feedback, phase.nudged, self.network, ARITH)
        self.v, self.v_mem = v, v[0]
        self.s_out.send(v[0])
