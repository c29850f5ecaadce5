"""Models of the populations, in floating point and in integers. Equations are those of `dynamics`; what a cell sends
its synapses to learn from is said by an `online.course.Course` or an `online.integers.integer_course.IntegerCourse`.

Lava executes this file anew for each compilation: it defines classes and does nothing else.
"""

from typing import Any

import numpy as np
from lava.magma.core.model.py.model import PyLoihiProcessModel
from lava.magma.core.model.py.neuron import LearningNeuronModelFixed, LearningNeuronModelFloat

from lavaghost.dynamics.errors import Sent, hidden_error
from lavaghost.dynamics.neuron import rate
from lavaghost.dynamics.step import ghost_membrane, hidden_membrane, online_ghost, output_membrane
from lavaghost.engines import Local
from lavaghost.lava.both import both
from lavaghost.lava.phases import Clock, Sending, TrialPhase, Withholding, check_nudge
from lavaghost.lava.processes.cells.populations import (
    CarryingCell,
    GhostCell,
    HiddenCell,
    OutputCell,
    RecordSlot,
    ReplicatingGhostCell,
    SendingCell,
)
from lavaghost.lava.vectors import layer_record
from lavaghost.net.graph import Graph
from lavaghost.numbers.arithmetic import Arithmetic, Array
from lavaghost.online.integers.integer_course import AnyCourse


class CellModel(PyLoihiProcessModel):
    """What all populations do. Arrays inside are `(1, n)`, as in `dynamics`; messages are `(n,)`."""

    s_out: Any
    s_out_bap: Any
    s_out_y1: Any
    s_out_y2: Any
    s_out_y3: Any
    v_mem: Any
    bias: Any

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self.graph: Graph = proc_params["graph"]
        self.course: AnyCourse | None = proc_params["course"]
        self.arith: Arithmetic = proc_params["arith"]
        self.k: int = proc_params["k"]
        self.clock: Clock = proc_params["clock"]
        self.zero = self.arith.zeros(1, *proc_params["shape"])
        self.v = self.zero

    def arrived(self, port: Any) -> Array:
        """What has come in at a port; in integers, in the width that products need."""
        return port.recv()[np.newaxis].astype(self.zero.dtype, copy=False)

    def send(self, port: Any, values: Array | None) -> None:
        """Send `(1, n)` values, or zeros, in the type of the port."""
        found = self.zero if values is None else values
        port.send(found[0].astype(self.v_mem.dtype, copy=False))

    def settle(self, v: Array, k: int) -> Array:
        """Take the new membrane `v` and give its rate, by the rate function of layer `k`."""
        self.v, self.v_mem = v, v[0].astype(self.v_mem.dtype, copy=False)
        return rate(v, self.graph, k, self.arith)

    def send_signals(self, y1: Array | None = None, y2: Array | None = None, y3: Array | None = None) -> None:
        """What the synapses onto these neurons learn from, 0 unless given."""
        self.s_out_bap.send(np.zeros(self.zero.shape[1], dtype=bool))
        for port, signal in ((self.s_out_y1, y1), (self.s_out_y2, y2), (self.s_out_y3, y3)):
            self.send(port, signal)

    def second_part(self, phase: TrialPhase) -> bool:
        """Whether this step is the reset after a trial whose mirrored signals still want their second part."""
        return phase.reset and self.course is not None and self.course.two_parts


class NeuronModel(CellModel):
    """What hidden and output layers have in common: what they send, and how they learn."""

    a_ff: Any
    a_ghost: Any
    s_fb: Any
    teach_out: Any
    probe_out: Any

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self.probe: RecordSlot | None = proc_params["probe"]
        self.feedback_learns: bool = proc_params["feedback_learns"]
        self.w_gain: float = proc_params["w_gain"]
        self.free = self.missed = self.left_over = self.signal = self.behind = self.zero
        self.feedback: Array | None = None
        self.inhibition: Array | None = None

    def finish(self, r: Array, phase: TrialPhase) -> None:
        """Send the rates `r`; at the end of a trial, learn."""
        sent = self.arith.message(r, self.k)
        self.send(self.s_out, r if self.k == self.graph.depth else sent)
        down = self.sent_down(sent)
        predicted = self.arrived(self.a_ghost)  # sent before the ghosts wait for `teach_out`
        if phase.free_end:
            self.free, self.missed = r, self.arith.subtract(r, predicted)
        if phase.end and self.course is not None:
            self._teach(self.course, r, sent, down, predicted, phase)
            return
        if self.second_part(phase) and self.course is not None and self.feedback_learns:
            self.send(self.s_fb, self.course.ahead(self.signal, negative=True))
            self.send(self.teach_out, r)
            self.send_signals(y2=-self.behind)
            return
        self.send(self.s_fb, down)
        self.send(self.teach_out, r)
        self.send_signals()

    def sent_down(self, sent: Array) -> Array:
        """What goes to the layer below: the rates that are `sent`, unless errors go there."""
        return sent

    def _teach(
        self, course: AnyCourse, r: Array, sent: Array, down: Array, predicted: Array, phase: TrialPhase
    ) -> None:
        trial = phase.trial
        self.signal = y = course.signal(self.k, trial, self._local(r, predicted))
        self.behind = course.behind(r, sent)
        self.bias = course.bias(self.k, trial, self.bias, y).astype(self.v_mem.dtype, copy=False)
        self.send(self.s_fb, course.ahead(y) if self.feedback_learns else down)
        self.send(self.teach_out, y)
        cancelling = None
        if course.ghosts_learn and self.feedback is not None:
            cancelling = course.cancelling(self.k, trial, self.left_over)
        self.send_signals(y if self.w_gain == 1.0 else y * self.w_gain, self.behind, cancelling)
        if self.probe is not None and phase.recorded:
            own = layer_record(self.arith, self.free, r, self.feedback, self.inhibition)
            record = np.zeros(self.probe.size)
            record[self.probe.start : self.probe.start + len(own)] = own
            self.probe_out.send(record)

    def _local(self, r: Array, predicted: Array) -> Local:
        """What these neurons have seen of the trial."""
        change = self.arith.subtract(r, self.free)
        if not self.graph.predicts:
            return Local(self.free, change, None)
        if self.k == 1:
            return Local(self.free, change, change)
        missed = self.arith.subtract(r, predicted)
        return Local(self.free, change, self.arith.subtract(missed, self.missed))


class HiddenCellModel(NeuronModel):
    """See `HiddenCell`."""

    a_fb: Any
    a_gh: Any

    def run_spk(self) -> None:
        """One step of a trial."""
        phase = self.clock.at(self.time_step)
        drive, feedback, inhibition = (self.arrived(port) for port in (self.a_ff, self.a_fb, self.a_gh))
        if phase.second and self.feedback_mirrors:
            feedback = inhibition = self.zero  # what arrives are signals; rates were 0 in the reset
        if phase.nudged and self.free_ended:
            # what was sent in the last step of the free phase arrives now
            self.feedback, self.inhibition = feedback, inhibition if self.graph.has_ghosts else None
            self.left_over = self.arith.subtract(feedback, inhibition)
        self.free_ended = phase.free_end
        v = self.zero
        if not phase.reset:
            back = feedback if self.graph.has_feedback else None
            by_ghosts = inhibition if self.graph.has_ghosts else None
            v = hidden_membrane(self.v, drive, self.bias, back, by_ghosts, self.graph, self.arith)
        self.finish(self.settle(v, self.k), phase)

    free_ended = False

    @property
    def feedback_mirrors(self) -> bool:
        """Whether signals come down the feedback port in two parts."""
        return self.graph.tied and self.course is not None and self.course.two_parts


class OutputCellModel(NeuronModel):
    """See `OutputCell`."""

    y_in: Any
    nudge_in: Any

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self.withheld = Withholding(self.course)

    def run_spk(self) -> None:
        """One step of a trial."""
        phase = self.clock.at(self.time_step)
        drive, target = self.arrived(self.a_ff), self.arrived(self.y_in)
        check_nudge(bool(self.nudge_in.recv()[0]), phase)
        v = self.zero
        if not phase.reset:
            given = phase.nudged and not self.withheld(phase.trial, self.free, target)
            goal = target if given else None
            v = output_membrane(self.v, drive, self.bias, goal, self.graph, self.arith)
        self.finish(self.settle(v, self.k), phase)


class CarryingCellModel(NeuronModel):
    """See `CarryingCell`."""

    a_fb: Any
    factor_in: Any
    error: Any

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self.e, self.factor = self.zero, None

    def run_spk(self) -> None:
        """One step of a trial."""
        phase = self.clock.at(self.time_step)
        drive, arriving = self.arrived(self.a_ff), self.arrived(self.a_fb)
        factor, told = self.factor_in.recv()
        self.factor = np.array([[factor]]) if told else None
        v = self.zero
        if not phase.reset:
            v = hidden_membrane(self.v, drive, self.bias, None, None, self.graph, self.arith)
        r = self.settle(v, self.k)
        self.e = hidden_error(arriving, r, self.graph) if phase.nudged else self.zero
        self.error = self.e[0]
        self.finish(r, phase)

    def sent_down(self, sent: Array) -> Array:
        """e_k."""
        return self.e

    def _local(self, r: Array, predicted: Array) -> Local:
        return super()._local(r, predicted)._replace(error=self.e, factor=self.factor)


class SendingCellModel(NeuronModel):
    """See `SendingCell`."""

    y_in: Any
    nudge_in: Any
    factor_out: Any
    error: Any

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self.withheld, self.sending = Withholding(self.course), Sending(self.course)
        self.e, self.factor = self.zero, None

    def run_spk(self) -> None:
        """One step of a trial."""
        phase = self.clock.at(self.time_step)
        drive, target = self.arrived(self.a_ff), self.arrived(self.y_in)
        check_nudge(bool(self.nudge_in.recv()[0]), phase)
        v = self.zero
        if not phase.reset:
            v = output_membrane(self.v, drive, self.bias, None, self.graph, self.arith)
        sent: Sent | None = None
        if phase.nudged and not self.withheld(phase.trial, self.free, target):
            sent = self.sending(phase.trial, self.free, target)
        self.e, self.factor = (self.zero, None) if sent is None else sent
        self.error = self.e[0]
        told = self.factor is not None
        self.factor_out.send(np.array([self.factor[0, 0] if self.factor is not None else 0.0, float(told)]))
        self.finish(self.settle(v, self.k), phase)

    def sent_down(self, sent: Array) -> Array:
        """What the method says."""
        return self.e

    def _local(self, r: Array, predicted: Array) -> Local:
        return super()._local(r, predicted)._replace(error=self.e, factor=self.factor)


class GhostCellModel(CellModel):
    """See `GhostCell`."""

    a_in: Any
    a_third_factor_in: Any
    g_out: Any

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self.mirrors: bool = proc_params["mirrors"]
        self.error = self.signal = self.zero

    def run_spk(self) -> None:
        """One step of a trial."""
        phase = self.clock.at(self.time_step)
        drive = self.arrived(self.a_in)
        v = self.zero if phase.reset else ghost_membrane(self.v, drive, self.bias, self.graph, self.arith)
        g = self.settle(v, self.k + 1)
        sent = self.arith.message(g, self.k + 1)
        self.send(self.g_out, g)
        partner = self.arrived(self.a_third_factor_in)
        course = self.course
        if course is not None and phase.end:
            self._teach(course, sent, partner, phase.trial)
            return
        if course is not None and course.ghosts_learn and phase.free_end:
            self.error = course.ghost_error(partner, g)
        if course is not None and self.mirrors and self.second_part(phase):
            sent = course.ahead(self.signal, negative=True)
        self.send(self.s_out, sent)
        self.send_signals()

    def _teach(self, course: AnyCourse, sent: Array, partner: Array, trial: int) -> None:
        """`partner` is the signal y_{k+1}."""
        self.signal = partner
        signals = course.ghost_signals(self.k, trial, self.error if course.ghosts_learn else None, partner)
        self.bias = course.ghost_bias(self.k, trial, self.bias, signals).astype(self.v_mem.dtype, copy=False)
        self.send(self.s_out, course.ahead(partner) if self.mirrors else course.heard(sent))
        self.send_signals(*signals)


class ReplicatingGhostCellModel(CellModel):
    """See `ReplicatingGhostCell`."""

    a_in: Any

    def run_spk(self) -> None:
        """One step of a trial."""
        phase = self.clock.at(self.time_step)
        feedback = self.arrived(self.a_in)
        if phase.second and self.course is not None and self.course.two_parts:
            feedback = self.zero  # what arrives are signals, or nothing
        v = self.zero
        if not phase.reset:
            v = online_ghost(self.v, feedback, phase.nudged, self.graph, self.arith)
        self.v, self.v_mem = v, v[0].astype(self.v_mem.dtype, copy=False)
        self.send(self.s_out, v)


LEARNS = ((LearningNeuronModelFloat,), (LearningNeuronModelFixed,))
NEURON = ("s_out", "s_fb", "teach_out")
PORTS: dict[Any, tuple[type[Any], tuple[str, ...], tuple[str, ...], tuple[str, ...]]] = {
    HiddenCell: (HiddenCellModel, ("a_ff", "a_fb", "a_gh", "a_ghost"), NEURON, ("probe_out",)),
    OutputCell: (OutputCellModel, ("a_ff", "a_ghost", "y_in", "nudge_in"), NEURON, ("probe_out",)),
    CarryingCell: (
        CarryingCellModel,
        ("a_ff", "a_fb", "a_gh", "a_ghost", "factor_in"),
        NEURON,
        ("probe_out",),
    ),
    SendingCell: (
        SendingCellModel,
        ("a_ff", "a_ghost", "y_in", "nudge_in"),
        (*NEURON, "factor_out"),
        ("probe_out",),
    ),
    GhostCell: (GhostCellModel, ("a_in",), ("s_out", "g_out"), ()),
    ReplicatingGhostCell: (ReplicatingGhostCellModel, ("a_in",), ("s_out",), ()),
}
VARS: dict[Any, tuple[str, ...]] = dict.fromkeys((CarryingCell, SendingCell), ("v_mem", "bias", "error"))
# Lava looks for models among a module's names
globals().update(
    {
        model.__name__: model
        for process, (logic, receives, sends, floats) in PORTS.items()
        for model in both(
            process, logic, __name__, receives, sends, VARS.get(process, ("v_mem", "bias")), LEARNS, floats
        )
    }
)
