"""The model of `GhostNetwork` in integers: all layers in one process, the compiled steps of a chip's arithmetic.

Its numbers are those of `Stepped` with `loihi.Loihi`, and of `online.integers.CompiledNetwork`, to the bit.

Lava executes this file anew for each compilation: it defines classes and does nothing else.
"""

from typing import Any

import numpy as np

from lavaghost.dynamics.neuron import rate
from lavaghost.lava.both import STATE, both
from lavaghost.lava.late import late
from lavaghost.lava.phases import Clock, TrialPhase, Withholding
from lavaghost.lava.processes.ghost.ghost_network import CLASSES, LETTERS, GhostNetwork, Has, var_names
from lavaghost.lava.processes.ghost.senses import Seeing
from lavaghost.lava.vectors import flat, layer_record
from lavaghost.net.graph import Graph
from lavaghost.net.parameters import shapes
from lavaghost.numbers.arithmetic import Array
from lavaghost.numbers.integers import Integers
from lavaghost.numbers.loihi import Loihi
from lavaghost.online.integers.compiled_network import CompiledNetwork
from lavaghost.online.integers.integer_course import IntegerCourse


class FixedGhostModel(Seeing):
    """What the models of all depths share."""

    r_out: Any
    params_out: Any
    record_out: Any

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self.graph: Graph = proc_params["graph"]
        self.course: IntegerCourse | None = proc_params["course"]
        self.arith: Loihi = proc_params["arith"]
        self.export_after: frozenset[int] = proc_params["export_after"]
        self.record: tuple[int, ...] = proc_params["record"]
        self.clock = Clock(self.graph, self.course, proc_params["first"], proc_params["record_every"])
        self.withheld = Withholding(self.course)
        self.integers: CompiledNetwork | None = None
        self.whole: list[Array] = []

    def run_spk(self) -> None:
        """One step of a trial; `r_out` sends the output's membrane."""
        phase = self.clock.at(self.time_step)
        x, target = self.see(phase)
        # Vars have no values before the first step
        integers = self.integers = self.integers or self._network()
        if phase.reset:
            integers.reset(x)
        elif target is None:
            integers.step(None)
        else:
            free = integers.states.u_free[-1][np.newaxis]
            integers.step(target, self.withheld(phase.trial, free, target[np.newaxis]))
        if phase.free_end:
            integers.keep_free()
            if self.record:
                self.whole = [f.astype(np.int64) for f in integers.states.fb]
        self.r_out.send(integers.states.u[-1])
        if phase.end and self.course is not None:
            self._teach(self.course, integers, x, phase)

    def _teach(self, course: IntegerCourse, integers: CompiledNetwork, x: Array, phase: TrialPhase) -> None:
        """The end of a trial: learn from it, and tell the host."""
        integers.teach(course.rule, course.learning, x, *course.lesson(phase.trial))
        self._show(integers)
        if self.record and phase.recorded:
            self.record_out.send(np.concatenate([self._recorded(k, integers) for k in self.record]))
        if phase.trial in self.export_after:
            self.params_out.send(flat(self.graph, integers.arrays).astype(np.int32, copy=False))

    def _recorded(self, k: int, integers: CompiledNetwork) -> Array:
        states = integers.states
        pair = (states.u_free[k - 1], states.u[k - 1])
        free, now = (rate(u[np.newaxis].astype(np.int64), self.graph, k, self.arith) for u in pair)
        feedback = inhibition = None
        if k < self.graph.depth and self.graph.has_ghosts:
            feedback = self.whole[k - 1][np.newaxis]
            inhibition = feedback - states.left[k - 1]
        return layer_record(self.arith, free, now, feedback, inhibition)

    def on_var_update(self) -> None:
        """A Var was set between two runs: the network is made anew, and its membranes with it."""
        self.integers = None

    def _network(self) -> CompiledNetwork:
        """The integers that the Vars show."""
        owned = {}
        for name in shapes(self.graph):
            field, k = name.split(".")
            owned[name] = getattr(self, f"{LETTERS[field]}{k}")
        held = Integers(owned, self.arith.formats, self.arith.widths)
        seed = 0 if self.course is None else self.course.learning.seed
        integers = CompiledNetwork(self.graph, held, seed)
        for letters, group in (("v_mem", integers.states.u), ("v_ghost", integers.states.v)):
            for k, membrane in enumerate(group, start=1):
                setattr(self, f"{letters}{k}", membrane)  # the very array, which each step changes
        self._show(integers)
        return integers

    def _show(self, integers: CompiledNetwork) -> None:
        """Bring the Vars of connections up to date."""
        held, states = integers.mantissas, integers.states
        shown = {
            "W": (held.w[0].T, *held.w[1:]),
            "b": states.b,
        }
        if self.graph.has_feedback:
            shown["B"] = tuple(b.T for b in held.back)
        if self.graph.predicts:
            shown |= {"G": held.g, "c": states.c, "I": tuple(i.T for i in held.inhibit)}
        for letter, group in shown.items():
            for k, array in enumerate(group, start=1):
                np.copyto(getattr(self, f"{letter}{k}"), array)


def _define(process: type[GhostNetwork], hidden: int, has: Has) -> type[Any]:
    ports = (("x_in", "y_in", "nudge_in"), ("r_out", "params_out"))
    models = both(process, FixedGhostModel, __name__, *ports, var_names(hidden, has), floats=["record_out"])
    return models[list(STATE).index("fixed_pt")]


# Lava looks for models among a module's names
__getattr__ = late(globals(), lambda: (_define(process, *key) for key, process in CLASSES.items()))
