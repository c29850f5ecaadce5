"""Online learning in integers as each cell knows it: the counterpart of `online.course.Course`.

A cell has states in full resolution, and makes of them, at the end of a trial, the traces that its synapses learn
from. All numbers are those of the compiled loops (`online.integers.kernels`), to the bit; the random ones are
functions of seed, stream, sample and index.

A trace x1 has no sign. A feedback connection that mirrors what W_{k+1} learns has the signed error y_{k+1} before it
and the trace of r_k behind it, so it learns in two parts, the positive errors in the last step of a trial and the
negative ones in the reset that follows, with the other sign behind. No synapse takes part in both.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from lavaghost.engines import Local
from lavaghost.methods.ghost.rules import Rule
from lavaghost.net.graph import Graph
from lavaghost.numbers.arithmetic import Array
from lavaghost.numbers.loihi import Loihi
from lavaghost.numbers.widths import Formats, LoihiWidths
from lavaghost.online.course import Course, right_by
from lavaghost.online.integers.kernels import (
    BIAS,
    ERROR,
    GHOST,
    GHOST_BIAS,
    GHOST_ERROR,
    INHIBITION,
    INHIBITION_ERROR,
    fill,
    key_of,
)
from lavaghost.online.integers.settings import (
    IntegerLearning,
    check_integer,
)
from lavaghost.online.integers.update import (
    error_shifts,
    grain_of,
    post_trace,
    pre_trace,
    rule_of,
    shared_numbers,
    trace_limit,
    updated,
)

PRETRAINING = 2**31
"""Number of the first sample of pre-training: its random numbers are not used again."""


class Lesson(NamedTuple):
    """What a trial teaches: the number of its sample, halvings of the learning rate, and whether the network learns."""

    sample: int
    halvings: int
    network: bool


@dataclass(frozen=True)
class IntegerCourse:
    """A run of online learning in integers: `pretrain` trials for learned ghosts alone, then epochs of `per_epoch`.

    Raises `SpecError` for what integers cannot learn.
    """

    graph: Graph
    rule: Rule
    learning: IntegerLearning
    formats: Formats
    widths: LoihiWidths
    per_epoch: int

    two_parts = True
    """A signal that is sent ahead of a synapse goes in two steps (see above)."""

    @property
    def unit(self) -> float:
        """The step of a product in the learning engine, before it halves x1: its literal is twice this."""
        return 0.5 * self.learning.mantissa * 2.0**self.learning.exponent

    def __post_init__(self) -> None:
        check_integer(self.graph, self.rule, self.learning, self.formats, self.widths)

    @property
    def pretrain(self) -> int:
        """Trials before the first epoch."""
        return self.learning.pretrain_samples if self.ghosts_learn else 0

    @property
    def ghosts_learn(self) -> bool:
        """Whether ghosts have weights of their own."""
        return self.graph.ghosts_learn

    def lesson(self, trial: int) -> Lesson:
        """What `trial` (from 0) teaches."""
        if trial < self.pretrain:
            return Lesson(PRETRAINING + trial, 0, False)
        index = trial - self.pretrain
        return Lesson(index, self.learning.halvings(index // self.per_epoch), True)

    def withholds(self, output: Array, target: Array) -> bool:
        """Whether the answer `output (1, n_L)` of a free phase is right by the margin, so that no target is given."""
        margin = self.learning.margin_states(Loihi(self.formats, self.widths))
        return margin >= 0 and right_by(output, target, margin)

    # ---- signals at the end of a trial, arrays `(1, n)` of states or of traces

    def signal(self, k: int, trial: int, local: Local) -> Array:
        """y_k: the rule's error of layer k (from 1) as a trace; 0 while only ghosts learn."""
        lesson = self.lesson(trial)
        error = self.rule.post(local)
        if not lesson.network or not self.graph.learns(k):
            return np.zeros_like(error)
        return self._trace(error, "error", ERROR, k, lesson)

    def ghost_error(self, partner: Array, ghost: Array) -> Array:
        """r_{k+1} - g_k at the end of the free phase, in states."""
        return partner - ghost

    def ghost_signals(
        self, k: int, trial: int, error: Array | None, partner: Array
    ) -> tuple[Array, Array | None]:
        """What G_k learns from: the ghosts' own error, and `partner`, the signal y_{k+1} of what they stand for.

        Duplicates, which have no `error`, learn from the latter alone, and so far as what they copy does.
        """
        if error is None:
            return partner, None
        own = self._trace(error, "ghost_error", GHOST_ERROR, k, self.lesson(trial))
        return own, partner

    def cancelling(self, k: int, trial: int, left_over: Array) -> Array:
        """q_k: what the ghosts left of the feedback, as a trace."""
        return self._trace(left_over, "inhibition_error", INHIBITION_ERROR, k, self.lesson(trial))

    def _trace(self, error: Array, kind: str, stream: int, k: int, lesson: Lesson) -> Array:
        right = int(_shifts(self, lesson.halvings)[kind][k - 1])
        q: Array | int = 1 << max(right - 1, 0)
        if right > 0 and self.learning.error_rounding == "stochastic":
            q = self._numbers(stream + k - 1, lesson.sample, error.size, right).reshape(error.shape)
        grain = grain_of(self.learning, self.widths)
        return post_trace(error, right, grain, trace_limit(self.widths, grain), q)

    # ---- what a synapse has before and behind it

    def behind(self, rate: Array, message: Array) -> Array:
        """The factor r_k behind a feedback connection: the trace that `message` leaves elsewhere."""
        return pre_trace(message, self.widths)

    def ahead(self, signal: Array, negative: bool = False) -> Array:
        """The payload whose trace x1 is the positive, or the negative, part of `signal`."""
        return 2 * np.maximum(-signal if negative else signal, 0)

    def heard(self, message: Array) -> Array:
        """`message` as a payload with a trace: a trace has no sign and its own limit."""
        return np.clip(message, 0, self.widths.message_limit)

    # ---- biases belong to the cells

    def bias(self, k: int, trial: int, bias: Array, y: Array) -> Array:
        """The biases of layer k after `trial`, in states: synapses from a unit of rate 1, `(n_k,)`."""
        lesson = self.lesson(trial)
        if not lesson.network or not self.graph.learns(k):
            return bias
        slot = self.graph.depth + k - 1
        return self._bias(k, bias, [y[0]], self.rounding(slot, BIAS + k - 1, lesson.sample, (len(bias), 1)))

    def ghost_bias(self, k: int, trial: int, bias: Array, signals: tuple[Array, Array | None]) -> Array:
        """The biases of the ghosts of layer k after `trial`; duplicates have those of layer k + 1."""
        own, follow = signals
        if follow is None:
            return self.bias(k + 1, trial, bias, own)
        sample, slot = self.lesson(trial).sample, 3 * self.graph.depth + k - 1
        q = self.rounding(slot, GHOST_BIAS + k - 1, sample, (len(bias), 1))
        return self._bias(k + 1, bias, [own[0], follow[0]], q)

    def _bias(self, k: int, bias: Array, y: list[Array], q: Array | int) -> Array:
        left = self.widths.state_fraction - self.formats.weights[k - 1]
        one = np.array([(1 << self.formats.messages[k - 1]) >> 1])
        constants = rule_of(self.learning, self.widths)
        return updated((bias.astype(np.int64) >> left)[:, None], one, y, q, constants)[:, 0] << left

    # ---- random numbers

    def synapses(self, group: str, k: int, trial: int, shape: tuple[int, ...]) -> Array | int:
        """What the synapses `(n_post, n_pre)` of `group`, a field of `Parameters`, are rounded with in `trial`.

        Feedback that mirrors W_{k+1} is rounded as W_{k+1}^T is.
        """
        sample, depth = self.lesson(trial).sample, self.graph.depth
        if group == "feedback":
            q = self.rounding(k, k, sample, (shape[1], shape[0]))
            return q.T if isinstance(q, np.ndarray) else q
        slot, stream = {
            "weights": (k - 1, k - 1),
            "ghost_weights": (2 * depth + k - 1, GHOST + k - 1),
            "ghost_inhibition": (4 * depth + k - 1, INHIBITION + k - 1),
        }[group]
        return self.rounding(slot, stream, sample, shape)

    def rounding(self, slot: int, stream: int, sample: int, shape: tuple[int, ...]) -> Array | int:
        """Numbers of 0..2^bits - 1 for the synapses `(n_post, n_pre)` of one projection; one for all where shared."""
        constants = rule_of(self.learning, self.widths)
        bits = constants.unit + constants.step_bits
        if self.learning.rounding == "nearest":
            return (1 << (bits - 1)) - 1
        if self.learning.rounding == "shared":
            return int(shared_numbers(self.learning.seed, sample, (1, 5 * self.graph.depth), bits)[0, slot])
        n_post, n_pre = shape
        return self._numbers(stream, sample, n_post * n_pre, bits).reshape(n_pre, n_post).T

    def _numbers(self, stream: int, sample: int, count: int, bits: int) -> Array:
        found = np.empty(count, np.int64)
        fill(key_of(self.learning.seed, stream, sample), bits, found)
        return found


@lru_cache(maxsize=16)
def _shifts(course: IntegerCourse, halvings: int) -> dict[str, Array]:
    return error_shifts(course.graph, course.learning, course.formats, course.widths, halvings)


AnyCourse = Course | IntegerCourse
"""What is learned online, in either number system."""
