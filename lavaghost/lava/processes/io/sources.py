"""Sources that present samples, for inference and for learning, and a collector that keeps outputs.

Lava executes this file anew for each compilation: it defines classes and does nothing else.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from lava.magma.core.process.ports.ports import InPort, OutPort
from lava.magma.core.process.process import AbstractProcess

from lavaghost.lava.phases import Clock
from lavaghost.numbers.arithmetic import Array


class SampleSource(AbstractProcess):
    """Sends sample i during all of trial i.

    s_out  (n_0,)
    """

    def __init__(self, *, samples: Array, trial_steps: int) -> None:
        """`samples` is `(n, n_0)`."""
        super().__init__(samples=samples, trial_steps=trial_steps)
        self.s_out = OutPort(shape=samples.shape[1:])


class TeachingSource(AbstractProcess):
    """Presents training samples in the order that they are learned in, each with its target in the nudged phase.

    x_out      (n_0,)   sample of trial i, during all of the trial
    y_out      (n_L,)   its target, one-hot
    nudge_out  (1,)     1 in the nudged phase and 0 in the free phase
    """

    def __init__(self, *, samples: Array, targets: Array, order: Callable[[int], int], clock: Clock) -> None:
        """`samples` is `(n, n_0)`, `targets (n, n_L)`; `order(trial)` is the row of a trial."""
        super().__init__(samples=samples, targets=targets, order=order, clock=clock)
        self.x_out = OutPort(shape=samples.shape[1:])
        self.y_out = OutPort(shape=targets.shape[1:])
        self.nudge_out = OutPort(shape=(1,))


class OutputCollector(AbstractProcess):
    """Keeps the last vector of each of `trials` trials; after the last one it sends all of them.

    a_in        (n_L,)
    result_out  (trials, n_L), a pipe to the host: reading a Var takes 20 microseconds an element
    """

    def __init__(self, *, size: int, trials: int, trial_steps: int, kind: Any = np.float64) -> None:
        """`kind` is the type of the numbers that arrive."""
        super().__init__(size=size, trials=trials, trial_steps=trial_steps, kind=kind)
        self.a_in = InPort(shape=(size,))
        self.result_out = OutPort(shape=(trials, size))
        self.result_out.flag_external_pipe(buffer_size=1)
