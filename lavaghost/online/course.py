"""Online learning: one sample at a time, with what each cell and each synapse has at the end of a trial.

    dW_k = y_k r_{k-1}^T,   db_k = y_k,   y_k = eta_k post_k,    eta_k = eta(t) c lam^-(L-k)

`post_k` is the local rule's factor and `r_{k-1}` the nudged rate. Learned ghosts, if there are any, move at the
same moment and by the same kind of step:

    dG_k = z_k r_k^T,       dc_k = z_k,   z_k = y_{k+1} + mu (r_{k+1} - g_k)
    dI_k = q_k g_k^T,                     q_k = mu_I (B_k r_{k+1} - I_k g_k)

Where errors come down beside the membranes, in place of ghosts, `post_k` is the error of layer k, with the factor that
the output tells all cells if it tells one, and eta_k = eta(t): nothing attenuates it. What the output sends, a
method's `Teacher` says; what is random in it is a function of the run's seed and of the number of the trial.

The errors of ghosts are those of the end of the free phase, their rates r_k and g_k those of the end of the trial, and
`y_{k+1}` makes a ghost follow the weights that it stands for. Everything waits for the end of the trial, since a
weight that moves between the phases adds a drift that eta_k amplifies (docs/theory.md).

These functions are pure and know no engine: `apply_trial` serves the stepped engine and the fused Lava model, and a
Lava cell calls `Course.signal` for its own layer. A change is rounded in one way only, `W + y * r`, in the order
of Lava's learning engine, so all of them agree to the last bit.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from lavaghost.base.errors import SpecError, join_faults
from lavaghost.base.names import Decay
from lavaghost.dynamics import Parameters
from lavaghost.dynamics.errors import Sent
from lavaghost.dynamics.fixed_point import restoring_gain
from lavaghost.engines import Local, Trial
from lavaghost.engines.stepped import Stepped
from lavaghost.methods.base import Method, Moment, Teacher
from lavaghost.methods.by_name import check_together
from lavaghost.methods.carried import ERROR
from lavaghost.methods.ghost.depth import check_depth
from lavaghost.methods.ghost.plasticity import OnlineGhosts
from lavaghost.methods.ghost.rules import Rule
from lavaghost.methods.learning import Learning
from lavaghost.methods.optimiser import learning_rate
from lavaghost.net.graph import Graph
from lavaghost.numbers.arithmetic import Array


@dataclass(frozen=True)
class Course:
    """A run of online learning, as every cell knows it: what is learned, and how fast at which sample.

    samples    trials of the whole run, over which `decay` lets eta fall
    pretrain   trials before them in which only learned ghosts learn
    ghosts     steps of learned ghosts; None for ghosts that do not learn
    margin     no target is given where the answer is right by more than this; None: it is always given
    teacher    what the output sends down; None for a graph without errors that come down
    seed       of what is random in that
    """

    graph: Graph
    rule: Rule
    eta: float
    decay: Decay
    samples: int
    pretrain: int = 0
    ghosts: OnlineGhosts | None = None
    margin: float | None = None
    teacher: Teacher | None = None
    seed: int = 0

    def withholds(self, output: Array, target: Array) -> bool:
        """Whether the answer `output (1, n_L)` of a free phase is right by the margin, so that no target is given."""
        return self.margin is not None and right_by(output, target, self.margin)

    def sends(self, trial: int, output: Array, target: Array) -> Sent | None:
        """What the output `(1, n_L)` of the free phase of `trial` sends down; None where no errors come down."""
        if self.teacher is None:
            return None
        return self.teacher(output, target, Moment(self.seed, 0, trial))

    def step(self, k: int, trial: int) -> float:
        """eta_k of layer k (from 1) in trial `trial` (from 0); 0 while ghosts are pre-trained, and if it is frozen."""
        if trial < self.pretrain or not self.graph.learns(k):
            return 0.0
        progress = (trial - self.pretrain) / self.samples
        gain = restoring_gain(self.graph, k) if self.teacher is None else 1.0
        return learning_rate(self.eta, self.decay, progress) * gain

    def signal(self, k: int, trial: int, local: Local) -> Array:
        """y_k, `(1, n_k)`: the postsynaptic factor of layer k, with its step."""
        return self.rule.post(local) * self.step(k, trial)

    # ---- what a cell makes of it, in the words that `integers.integer_course.IntegerCourse` has too

    two_parts = False
    """Whether a signal that is sent ahead of a synapse goes in two steps."""
    unit = 1.0
    """The step of a product in the learning engine whose cell sends the whole signal."""

    @property
    def ghosts_learn(self) -> bool:
        """Whether ghosts have weights of their own."""
        return self.ghosts is not None

    def ghost_error(self, partner: Array, ghost: Array) -> Array:
        """mu (r_{k+1} - g_k), `(1, n_{k+1})`, at the end of the free phase; of ghosts that learn."""
        assert self.ghosts is not None
        return self.ghosts.prediction(partner, ghost)

    def ghost_signals(
        self, k: int, trial: int, error: Array | None, partner: Array
    ) -> tuple[Array, Array | None]:
        """z_k from `partner`, the signal y_{k+1} of what the ghosts stand for; one factor, so no second one."""
        return partner if error is None else partner + error, None

    def cancelling(self, k: int, trial: int, left_over: Array) -> Array:
        """q_k, `(1, n_k)`; of ghosts that learn."""
        assert self.ghosts is not None
        return self.ghosts.cancelling(left_over)

    def behind(self, rate: Array, message: Array) -> Array:
        """The factor behind a feedback connection."""
        return rate

    def ahead(self, signal: Array, negative: bool = False) -> Array:
        """The payload of a signal that is sent ahead of a synapse."""
        return signal

    def heard(self, message: Array) -> Array:
        """`message` as a payload that a synapse learns from."""
        return message

    def bias(self, k: int, trial: int, bias: Array, y: Array) -> Array:
        """The biases of layer k after `trial`, `(n_k,)`."""
        return bias + y[0] if self.graph.learns(k) else bias

    def ghost_bias(self, k: int, trial: int, bias: Array, signals: tuple[Array, Array | None]) -> Array:
        """The biases of the ghosts of layer k after `trial`, `(n_{k+1},)`."""
        if not self.ghosts_learn:
            return self.bias(k + 1, trial, bias, signals[0])
        return bias + signals[0][0]


def course(
    graph: Graph, method: Method, learning: Learning, samples: int, *, ghosts: OnlineGhosts | None = None
) -> Course:
    """The course of `samples` trials that `method` and `learning` describe.

    Learned ghosts need their steps, `ghosts`, and are pre-trained for as many trials as the method has batches for it.
    Raises `SpecError` for what cannot be learned one sample at a time.
    """
    check_together(method, graph, learning)
    check_depth(graph, method, learning)
    teacher = method.teacher(graph)
    rule = getattr(method, "local_rule", None) if teacher is None else ERROR
    faults = []
    if not isinstance(rule, Rule):
        faults.append(
            f"method {method.name!r} has no local rule, which each cell learns by; use method 'ghost', 'relaxation' "
            "or 'brainprop'"
        )
    wanted = {"batch_size": 1, "momentum": 0.0, "weight_decay": 0.0}
    wrong = [f"{name} {getattr(learning, name)}" for name, v in wanted.items() if getattr(learning, name) != v]
    if wrong:
        faults.append(
            f"online learning has one sample at a time and no memory of earlier ones, and learning has "
            f"{', '.join(wrong)}; use {', '.join(f'{name} {value}' for name, value in wanted.items())}"
        )
    if graph.ghosts_learn != (ghosts is not None):
        does = "ghosts that learn need" if graph.ghosts_learn else "ghosts that do not learn take no"
        faults.append(f"{does} steps (OnlineGhosts)")
    if faults or not isinstance(rule, Rule):
        raise SpecError(join_faults(faults))
    pretrain = method.pretrain_batches(graph)
    return Course(
        graph,
        rule,
        learning.eta,
        learning.eta_decay,
        max(samples, 1),
        pretrain,
        ghosts,
        learning.margin,
        teacher,
        learning.seed,
    )


def right_by(output: Array, target: Array, margin: float) -> bool:
    """Whether the output of the class that `target (1, n_L)` names is above all others by more than `margin`."""
    label = int(target[0].argmax())
    others = np.delete(output[0], label)
    return bool(others.size and output[0, label] - others.max() > margin)


class Change(NamedTuple):
    """An array of `Parameters`, by name, and the factors of its change; `pre` is None for a bias."""

    name: str
    post: Array
    pre: Array | None


def changes(course: Course, index: int, trial: Trial) -> list[Change]:
    """What the end of `trial`, number `index` of its course and of one sample, changes: `(n_post,)`, `(n_pre,)`."""
    depth = course.graph.depth
    signals = [course.signal(k, index, trial.local(k))[0] for k in range(1, depth + 1)]
    found = []
    for k, (y, r) in enumerate(zip(signals, trial.pre, strict=True), start=1):
        if course.graph.learns(k):
            found += [Change(f"weights.{k}", y, r[0]), Change(f"biases.{k}", y, None)]
    if course.ghosts is not None:
        for k in range(1, depth):
            error = course.ghost_error(trial.free[k], trial.ghost_rate[k - 1])[0]
            z = signals[k] + error
            q = course.cancelling(k, index, trial.left_over[k - 1])[0]
            found += [
                Change(f"ghost_weights.{k}", z, trial.pre[k][0]),
                Change(f"ghost_biases.{k}", z, None),
                Change(f"ghost_inhibition.{k}", q, trial.ghost_pre[k - 1][0]),
            ]
    return found


def apply_trial(course: Course, index: int, trial: Trial, params: Parameters) -> None:
    """Apply the changes of a finished trial to `params`, in place; float64."""
    arrays = params.named()
    for name, post, pre in changes(course, index, trial):
        if pre is None:
            arrays[name] += post
        else:
            arrays[name] += np.multiply.outer(post, pre)


def taught(course: Course, index: int, engine: Stepped, params: Parameters, x: Array, target: Array) -> Trial:
    """The trial `index` of the course, of `x (1, n_0)` with `target (1, n_L)`, on the stepped engine."""

    def sends(output: Array, goal: Array) -> Sent | None:
        return course.sends(index, output, goal)

    return engine.trial(params, x, target, course.withholds, sends)


def online_epoch(
    course: Course, params: Parameters, samples: Iterable[tuple[Array, Array]], first: int = 0
) -> int:
    """Learn from `samples`, pairs `(x (n_0,), target (n_L,))`, on the stepped engine; `params` change in place.

    `first` is the number of the first one's trial in the course. Returns the number of the next trial. This is the
    reference that the Lava processes equal to the bit.
    """
    engine = Stepped(course.graph)
    index = first
    for x, target in samples:
        trial = taught(course, index, engine, params, x[np.newaxis], target[np.newaxis])
        apply_trial(course, index, trial, params)
        index += 1
    return index
