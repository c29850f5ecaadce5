"""Populations of rate neurons and of ghosts: what a decomposed ghost network consists of, next to Dense.

Each receives what arrived through its dendrites, makes the Euler step of its own equation in `dynamics`, sends
its rates, and at the end of a trial the signals that its synapses learn from: `s_out_y1..3` of Lava's learning
neurons. Connections are Lava's Dense and LearningDense; one-to-one links between a ghost and its partner take
no time, and whoever has one sends before it receives.

Lava executes this file anew for each compilation: it defines classes and does nothing else.
"""

from typing import Any, NamedTuple

from lava.magma.core.process.neuron import LearningNeuronProcess
from lava.magma.core.process.ports.ports import InPort, OutPort
from lava.magma.core.process.process import AbstractProcess
from lava.magma.core.process.variable import Var

from lavaghost.lava.phases import Clock
from lavaghost.net.graph import Graph
from lavaghost.numbers.arithmetic import Arithmetic, Array
from lavaghost.online.integers.integer_course import AnyCourse


class RecordSlot(NamedTuple):
    """Where the record of a layer begins, in one of `size` numbers."""

    start: int
    size: int


class Cell(LearningNeuronProcess, AbstractProcess):
    """What all populations have; `size` neurons of layer `k`, or ghosts beside it.

    s_out   (n,)  rates, to the layer above and to its ghosts; of ghosts, to the layer that they inhibit
    v_mem   (n,)  membranes
    bias    (n,)  biases; learned by the cell itself
    """

    def __init__(
        self,
        *,
        graph: Graph,
        k: int,
        size: int,
        bias: Array,
        arith: Arithmetic,
        course: AnyCourse | None = None,
        clock: Clock,
        learning_rule: Any = None,
        **more: Any,
    ) -> None:
        super().__init__(
            shape=(size,),
            learning_rule=learning_rule,
            graph=graph,
            k=k,
            arith=arith,
            course=course,
            clock=clock,
            **more,
        )
        self.s_out = OutPort(shape=(size,))
        self.v_mem = Var(shape=(size,), init=0)
        self.bias = Var(shape=(size,), init=bias)


class HiddenCell(Cell):
    """A hidden layer.

    a_ff, a_fb, a_gh   (n_k,)  W_k r_{k-1}; B_k r_{k+1}; i_k, the inhibition of its ghosts
    a_ghost            (n_k,)  one-to-one: the rates of the ghosts that predict it
    s_fb               (n_k,)  rates, to the layer below; when `feedback_learns`, the signal y_k in a trial's last step
    teach_out          (n_k,)  rates, to the ghosts that predict it; the signal y_k in a trial's last step
    probe_out          (m,)    when `probe` is given, at the end of each trial that teaches: this layer's part of a
                               record of `m` numbers, zeros elsewhere; an InPort adds up the parts of all layers

    s_out_y1: y_k, for W_k. s_out_y2: r_k, for B_k. s_out_y3: q_k, for I_k. All 0 before a trial's last step.
    In that step what a layer sends is dropped by the reset that follows, so `s_fb` can carry the signal: the
    feedback connection then sees y_{k+1} before and r_k behind it, and learns what W_{k+1} learns. In integers it
    carries the positive signals then, and in the reset the negative ones, with -r_k behind (`IntegerCourse`).
    """

    def __init__(
        self,
        *,
        probe: RecordSlot | None = None,
        feedback_learns: bool = False,
        w_gain: float = 1.0,
        **more: Any,
    ) -> None:
        """`w_gain` is what y_k is multiplied by for W_k, whose learning rule has the rest of the step."""
        super().__init__(probe=probe, feedback_learns=feedback_learns, w_gain=w_gain, **more)
        size = more["size"]
        for name in ("a_ff", "a_fb", "a_gh", "a_ghost"):
            setattr(self, name, InPort(shape=(size,)))
        self.s_fb = OutPort(shape=(size,))
        self.teach_out = OutPort(shape=(size,))
        self.probe_out = OutPort(shape=(1 if probe is None else probe.size,))


class OutputCell(Cell):
    """The output layer; its ports are those of `HiddenCell`, less feedback and inhibition.

    y_in      (n_L,)  target of the nudged phase; this cell alone knows where the course withholds it
    nudge_in  (1,)    1 in the nudged phase, 0 in the free phase
    """

    def __init__(
        self,
        *,
        probe: RecordSlot | None = None,
        feedback_learns: bool = False,
        w_gain: float = 1.0,
        **more: Any,
    ) -> None:
        """`w_gain` is what y_k is multiplied by for W_k, whose learning rule has the rest of the step."""
        super().__init__(probe=probe, feedback_learns=feedback_learns, w_gain=w_gain, **more)
        size = more["size"]
        for name in ("a_ff", "a_ghost", "y_in"):
            setattr(self, name, InPort(shape=(size,)))
        self.nudge_in = InPort(shape=(1,))
        self.s_fb = OutPort(shape=(size,))
        self.teach_out = OutPort(shape=(size,))
        self.probe_out = OutPort(shape=(1 if probe is None else probe.size,))


class CarryingCell(HiddenCell):
    """A hidden layer with an error beside its membrane: what arrives at `a_fb` is B_k e_{k+1}, and `s_fb` sends e_k.

    factor_in  (1,)    one-to-one: what the output tells all cells, and whether it does
    error      (n_k,)  e_k; 0 without a target
    """

    def __init__(self, **more: Any) -> None:
        super().__init__(**more)
        self.factor_in = InPort(shape=(2,))
        self.error = Var(shape=(more["size"],), init=0)


class SendingCell(OutputCell):
    """The output of a network down which errors come; it alone sees target and outputs, and so sends what they say.

    factor_out  (2,)    what it tells all cells, and 1 if it tells anything
    error       (n_L,)  what it sends down; 0 without a target
    """

    def __init__(self, **more: Any) -> None:
        super().__init__(**more)
        self.factor_out = OutPort(shape=(2,))
        self.error = Var(shape=(more["size"],), init=0)


class GhostCell(Cell):
    """Ghosts of layer k that predict layer k + 1.

    a_in               (n_{k+1},)  G_k r_k
    a_third_factor_in  (n_{k+1},)  one-to-one: the rates of their partners; y_{k+1} in a trial's last step
    g_out              (n_{k+1},)  one-to-one: rates, to their partners

    s_out_y1: z_k, for G_k. When `mirrors`, `s_out` carries y_{k+1} in a trial's last step, so that I_k learns
    what B_k learns.
    """

    def __init__(self, *, mirrors: bool = False, **more: Any) -> None:
        super().__init__(mirrors=mirrors, **more)
        self.a_in = InPort(shape=(more["size"],))
        self.g_out = OutPort(shape=(more["size"],))


class ReplicatingGhostCell(Cell):
    """Ghosts of layer k, one for each of its neurons: they replicate its feedback, and hold it.

    a_in   (n_k,)  B_k r_{k+1}
    s_out  (n_k,)  one-to-one: the inhibition
    """

    def __init__(self, **more: Any) -> None:
        super().__init__(**more)
        self.a_in = InPort(shape=(more["size"],))
