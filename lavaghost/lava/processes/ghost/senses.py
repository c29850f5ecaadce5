"""What a fused network sees in a step: from its ports, or from lessons of its own.

Lava executes this file anew for each compilation: it defines classes and does nothing else.
"""

from typing import Any

from lava.magma.core.model.py.model import PyLoihiProcessModel

from lavaghost.lava.phases import Clock, Lessons, TrialPhase, check_nudge
from lavaghost.numbers.arithmetic import Array


class Seeing(PyLoihiProcessModel):
    """Base of the fused models."""

    x_in: Any
    y_in: Any
    nudge_in: Any
    clock: Clock

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self.lessons: Lessons | None = proc_params["lessons"]
        self.taught: tuple[Array, Array] | None = None

    def see(self, phase: TrialPhase) -> tuple[Array, Array | None]:
        """Input `(n_0,)`, and in a nudged phase the target `(n_L,)`. Raises `LavaError` for one at another time."""
        if self.lessons is None:
            x, target, nudged = self.x_in.recv(), self.y_in.recv(), self.nudge_in.recv()
            check_nudge(bool(nudged[0]), phase)
            return x, target if phase.nudged else None
        if phase.reset or self.taught is None:
            row = self.lessons.order(phase.trial)
            self.taught = self.lessons.samples[row], self.lessons.targets[row]
        x, target = self.taught
        return x, target if phase.nudged else None
