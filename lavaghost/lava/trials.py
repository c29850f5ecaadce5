"""The trials of a run: which sample each presents, what it teaches, and after which the host hears of it."""

from dataclasses import dataclass

import numpy as np

from lavaghost.base.errors import SpecError
from lavaghost.datasets import Dataset
from lavaghost.dynamics import Parameters
from lavaghost.engines.stepped import Stepped
from lavaghost.engines.trial import Trial
from lavaghost.net.graph import Graph
from lavaghost.numbers.arithmetic import Array
from lavaghost.numbers.widths import DEFAULT, LoihiWidths
from lavaghost.online.integers.integer_course import AnyCourse
from lavaghost.training.order import PRETRAINING, order

SAMPLES_SEEN = 64
"""Training samples whose activity sets the constant steps of learned ghosts."""


@dataclass
class TrialOrder:
    """The row of the training set that a trial presents, in the order of `training.order`."""

    seed: int
    rows: int
    per_epoch: int
    pretrain: int
    _epoch: int = -1
    _order: Array | None = None

    def __call__(self, trial: int) -> int:
        """The row of `trial`."""
        if trial < self.pretrain:
            epoch, i = divmod(trial, self.rows)
            epoch += PRETRAINING
        else:
            epoch, i = divmod(trial - self.pretrain, self.per_epoch)
        if self._order is None or epoch != self._epoch:
            self._epoch, self._order = epoch, order(self.seed, epoch, self.rows)
        return int(self._order[i])


def export_plan(plan: AnyCourse, per_epoch: int, epochs: int, looks: int, first: int) -> list[int]:
    """After which trials the host wants the parameters: `looks` times in each epoch, and at its end."""
    wanted = {plan.pretrain - 1} if plan.pretrain else set[int]()
    for epoch in range(epochs):
        begin = plan.pretrain + epoch * per_epoch
        wanted |= {begin + per_epoch * (i + 1) // (looks + 1) - 1 for i in range(looks)}
        wanted.add(begin + per_epoch - 1)
    return sorted(trial for trial in wanted if trial >= first)


def first_trial(graph: Graph, params: Parameters, data: Dataset) -> Trial:
    """The activity of the first training samples before anything is learned."""
    x = np.asarray(data.x_train[:SAMPLES_SEEN], np.float64)
    return Stepped(graph).trial(params, x, np.eye(data.n_classes)[data.y_train[:SAMPLES_SEEN]])


def check_engine(widths: LoihiWidths) -> None:
    """Refuse widths that Lava's learning engine does not have. Raises `SpecError`."""
    fixed = ("weight_bits", "weight_range", "trace_bits", "accumulator_bits")
    wrong = [f for f in fixed if getattr(widths, f) != getattr(DEFAULT, f)]
    if wrong:
        raise SpecError(
            "the decomposed network learns on Lava's engine, and widths."
            + ", widths.".join(f"{f} {getattr(widths, f)} is there always {getattr(DEFAULT, f)}" for f in wrong)
            + "; use model fused, which has any widths"
        )


def check_layers(graph: Graph, record: tuple[int, ...]) -> None:
    """Refuse layers that cannot be recorded. Raises `SpecError`."""
    if any(not 1 <= k <= graph.depth for k in record) or len(set(record)) != len(record):
        raise SpecError(
            f"record {list(record)}: the network has layers 1 to {graph.depth}; name each at most once"
        )
