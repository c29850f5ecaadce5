"""The floating-point model of `GhostNetwork`: all layers in one process, the steps of `dynamics`.

It runs trials, over and over: the first step of each resets, so that trials are independent. Its numbers are
those of `engines.stepped` with one sample, and of `online.course`, to the bit.

Lava executes this file anew for each compilation: it defines classes and does nothing else.
"""

from typing import Any

import numpy as np
from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.model.py.ports import PyInPort, PyOutPort
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol

from lavaghost.dynamics import Parameters, State, Wiring, network_step, start_trial, wire
from lavaghost.dynamics.neuron import rate
from lavaghost.engines import Trial
from lavaghost.engines.stepped import Stepped
from lavaghost.lava.late import late
from lavaghost.lava.phases import Clock, Sending, TrialPhase, Withholding, errors_come_down
from lavaghost.lava.processes.ghost.ghost_network import (
    CLASSES,
    LETTERS,
    GhostNetwork,
    Has,
    connections,
    membranes,
    var_names,
)
from lavaghost.lava.processes.ghost.senses import Seeing
from lavaghost.lava.vectors import flat, layer_record
from lavaghost.net.graph import Graph
from lavaghost.net.parameters import shapes
from lavaghost.numbers.arithmetic import Array, Float
from lavaghost.online.course import Course, apply_trial

ARITH = Float()
ARRAY = LavaPyType(np.ndarray, float)


class FusedGhostModel(Seeing):
    """What the models of all depths share."""

    x_in: Any = LavaPyType(PyInPort.VEC_DENSE, float)
    y_in: Any = LavaPyType(PyInPort.VEC_DENSE, float)
    nudge_in: Any = LavaPyType(PyInPort.VEC_DENSE, float)
    r_out: Any = LavaPyType(PyOutPort.VEC_DENSE, float)

    params_out: Any = LavaPyType(PyOutPort.VEC_DENSE, float)
    record_out: Any = LavaPyType(PyOutPort.VEC_DENSE, float)

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self.graph: Graph = proc_params["graph"]
        self.course: Course | None = proc_params["course"]
        self.export_after: frozenset[int] = proc_params["export_after"]
        self.record: tuple[int, ...] = proc_params["record"]
        self.clock = Clock(self.graph, self.course, proc_params["first"], proc_params["record_every"])
        self.withheld, self.sending = Withholding(self.course), Sending(self.course)
        self.engine = Stepped(self.graph, ARITH)
        self.net: Wiring | None = None
        self.params: Parameters
        self.state: State
        self.free_state: State
        self.drive: Array
        self.stale = True

    def run_spk(self) -> None:
        """One step of a trial; `r_out` sends the output rates that it ends with."""
        phase = self.clock.at(self.time_step)
        x, target = self.see(phase)
        if self.net is None:
            self.net = self._wiring()  # Vars have no values before the first step
        if phase.reset or self.stale or not (x is self.x or np.array_equal(x, self.x)):
            # the input is the same in a whole trial, as a rule
            self.x, self.drive = x, ARITH.synapse(self.net.weights[0], ARITH.array(x)[np.newaxis])
            self.stale = False
        if phase.reset:
            self.state = start_trial(self.net, self.drive, ARITH)
        else:
            goal, sent = None if target is None else target[np.newaxis], None
            if goal is not None and self.withheld(phase.trial, self._output(self.free_state), goal):
                goal = None
            if self.net.back:
                sent = None if goal is None else self.sending(phase.trial, self._output(self.free_state), goal)
                goal = None
            self.state = network_step(self.net, self.state, self.drive, goal, ARITH, phase.nudged, sent)
        for name, membrane in membranes(self.state).items():
            setattr(self, name, membrane)
        self.r_out.send(self._output(self.state)[0])
        if phase.free_end:
            self.free_state = self.state
        if phase.end and self.course is not None:
            self._teach(self.course, phase)

    def _output(self, state: State) -> Array:
        """r_L, `(1, n_L)`."""
        return rate(state.v_mem[-1], self.graph, self.graph.depth, ARITH)

    def _teach(self, course: Course, phase: TrialPhase) -> None:
        """The end of a trial: learn from it, and tell the host."""
        trial = self.engine.finished(ARITH.array(self.x)[np.newaxis], self.free_state, self.state)
        apply_trial(course, phase.trial, trial, self.params)
        if self.net is not None:
            self._copy(self.net)
        if self.record and phase.recorded:
            self.record_out.send(np.concatenate([self._recorded(k, trial) for k in self.record]))
        if phase.trial in self.export_after:
            self.params_out.send(flat(self.graph, self.params.named()))

    def _recorded(self, k: int, trial: Trial) -> Array:
        hidden = k < self.graph.depth
        feedback = self.free_state.feedback[k - 1] if hidden and self.graph.has_feedback else None
        inhibition = self.free_state.inhibition[k - 1] if hidden and self.graph.has_ghosts else None
        return layer_record(
            ARITH, trial.free[k - 1], self.engine.rates(self.state)[k - 1], feedback, inhibition
        )

    def on_var_update(self) -> None:
        """A Var was set between two runs."""
        self.stale = True  # W1 may be another
        if self.net is not None:
            self._copy(self.net)

    def _wiring(self) -> Wiring:
        """The Vars as what `network_step` takes. Those that the network owns share their memory with it."""
        owned = {}
        for name in shapes(self.graph):
            field, k = name.split(".")
            owned[name] = getattr(self, f"{LETTERS[field]}{k}")
        self.params = Parameters.from_named(self.graph, owned)
        net = wire(self.graph, self.params, ARITH, errors_come_down(self.graph, self.course))
        self._copy(net)
        return net

    def _copy(self, net: Wiring) -> None:
        """Bring up to date what is a copy of weights: tied feedback, and the Vars of tied and duplicate ones."""
        if self.graph.tied and (net.feedback or net.back):
            for feedback, weights in zip(net.feedback or net.back, net.weights[1:], strict=True):
                np.copyto(feedback, weights.T)
        for name, array in connections(net).items():
            shown = getattr(self, name)
            if not np.may_share_memory(shown, array):
                np.copyto(shown, array)


def _define(process: type[GhostNetwork], hidden: int, has: Has) -> type[Any]:
    body: dict[str, Any] = {"__module__": __name__, "__doc__": f"Fused model of {process.__name__}."}
    body |= dict.fromkeys(var_names(hidden, has), ARRAY)
    model = type(f"Fused{process.__name__}", (FusedGhostModel,), body)
    return implements(proc=process, protocol=LoihiProtocol)(requires(CPU)(tag("floating_pt")(model)))


# Lava looks for models among a module's names
__getattr__ = late(globals(), lambda: (_define(process, *key) for key, process in CLASSES.items()))
