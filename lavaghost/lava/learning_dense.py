"""Lava's models of LearningDense: with weights that keep their layout, and with our random numbers."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.learning.constants import W_ACCUMULATOR_U, W_WEIGHTS_U
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol
from lava.proc.dense.models import PyLearningDenseModelBitApproximate, PyLearningDenseModelFloat
from lava.proc.dense.process import LearningDense

from lavaghost.lava.phases import Clock
from lavaghost.numbers.arithmetic import Array
from lavaghost.online.integers.integer_course import IntegerCourse


@implements(proc=LearningDense, protocol=LoihiProtocol)
@requires(CPU)
@tag("floating_pt")
class RowMajorLearningDense(PyLearningDenseModelFloat):
    """Lava's learning engine as it is; only the order of the new weights in memory is put right.

    From 256 KiB on, NumPy adds the change, whose columns lie together, in its own memory, and so turns the
    weights round. BLAS then takes the products in another order and rounds them differently in the last bit,
    which is all that this avoids. `session.configuration` selects it; Lava's own model agrees to 1e-12.
    """

    def _saturate_synaptic_variable(self, name: str, values: Any) -> Any:
        lava: Any = super()
        return np.ascontiguousarray(lava._saturate_synaptic_variable(name, values))


@implements(proc=LearningDense, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class NumberedLearningDense(PyLearningDenseModelBitApproximate):
    """Lava's learning engine in integers as it is; only the numbers that it rounds weights with are given.

    Lava draws one number per connection and step, always from seed 2. Here `numbers` of the process's parameters
    (`RoundingNumbers`) says them, so that a run depends on its own seed and each synapse may have its own.
    """

    def _update_synaptic_variable_random(self) -> None:
        lava: Any = self
        q = lava.proc_params["numbers"].at(lava.time_step)
        self._conn_var_random: Any = Given(q / STEPS)


class Given(NamedTuple):
    """Stands for Lava's `ConnVarRandom`: numbers in 0..1, of which a weight is rounded up if its fraction is larger."""

    random_stochastic_round: Array


STEPS = 1 << (W_ACCUMULATOR_U - W_WEIGHTS_U)
"""A weight is rounded to the next of so many steps of its accumulator, so only whole shares of it matter."""


@dataclass(frozen=True)
class RoundingNumbers:
    """What the synapses `shape (n_post, n_pre)` of a projection are rounded with, step by step.

    `group` and `k` are those of `IntegerCourse.synapses`. Between trials a mirroring projection learns the second
    part of the trial before.
    """

    course: IntegerCourse
    clock: Clock
    group: str
    k: int
    shape: tuple[int, ...]

    def at(self, time_step: int) -> Array:
        """Numbers of 0..127, of the trial that teaches in `time_step`; 0 where none does."""
        phase = self.clock.at(time_step)
        trial = phase.trial if phase.end else phase.trial - 1 if phase.reset else -1
        if trial < self.clock.first:
            return np.zeros(1, np.int64)
        return np.asarray(self.course.synapses(self.group, self.k, trial, self.shape))
