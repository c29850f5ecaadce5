"""Online learning on Lava, in floating point and in integers: one sample at a time, by Lava's time step."""

from typing import Any

import numpy as np

from lavaghost.base.errors import SpecError
from lavaghost.datasets import Dataset
from lavaghost.dynamics import Parameters, initial_parameters
from lavaghost.engines.stepped import Stepped
from lavaghost.lava.available import require_lava
from lavaghost.lava.runner import Model
from lavaghost.lava.teaching import NumberSystem, Watching, teach
from lavaghost.methods.ghost.plasticity import OnlineGhosts, online_steps
from lavaghost.methods.ghost.rules import Rule
from lavaghost.net.spec import Learning, Network
from lavaghost.numbers.arithmetic import Float
from lavaghost.numbers.loihi import Loihi
from lavaghost.numbers.widths import DEFAULT, Formats, LoihiWidths
from lavaghost.online.course import course
from lavaghost.online.integers.compiled_network import CompiledNetwork, initial_integers, real_parameters
from lavaghost.online.integers.integer_course import IntegerCourse
from lavaghost.online.integers.settings import (
    IntegerLearning,
)
from lavaghost.train.checkpoint import identity
from lavaghost.train.integer_loop import formats_for
from lavaghost.train.integer_loop import identity as integer_identity
from lavaghost.train.integer_loop import measure as measure_integers
from lavaghost.train.loop import Trained, accuracy, check_data, fingerprint, measure

SAMPLES_SEEN = 64
"""Training samples whose activity sets the constant steps of learned ghosts."""


def train(
    network: Network,
    learning: Learning,
    data: Dataset,
    *,
    model: Model = "fused",
    rule: Rule | None = None,
    ghosts: OnlineGhosts | None = None,
    **watching: Any,
) -> Trained:
    """Train `network` on Lava, as `learning.online_epoch` would on the stepped engine, to the bit.

    rule      a local rule of your own, in place of the one that `learning` names
    ghosts    steps of learned ghosts, which are otherwise set from the activity of the first training samples
    watching  fields of `Watching`

    Ctrl-C ends all processes and passes through; the last checkpoint stays. Raises `MissingError` without Lava,
    `SpecError` for what does not go together, `LavaError` if a Lava process fails, `DivergedError` when a weight is
    no longer finite.
    """
    require_lava()
    settings = Watching(**watching)
    check_data(network, data)
    params = initial_parameters(network, learning.seed, np.float64)
    if network.mechanism == "learned" and ghosts is None:
        ghosts = online_steps(learning.ghosts, _first_trial(network, params, data))
    samples = settings.per_epoch(data) * learning.epochs
    plan = course(network, learning, samples, rule=rule, ghosts=ghosts)
    # the engine that takes the very steps of Lava
    stepped = learning.model_copy(update={"engine": "stepped", "tolerance": None})

    def look(params: Parameters) -> float:
        return accuracy(network, learning, params.astype(np.float32), data.x_test, data.y_test)

    kind = NumberSystem(
        plan=plan,
        arith=Float(),
        params=params,
        epochs=learning.epochs,
        seed=learning.seed,
        measure=lambda p, _: measure(network, stepped, p, data, settings.diagnostics, plan.rule),
        look=look,
        decode=lambda p: p,
        identity=identity(network, learning, f"{fingerprint(data)}:lava:{settings.limit}"),
    )
    return teach(network, data, kind, model, settings)


def train_integers(
    network: Network,
    learning: IntegerLearning,
    data: Dataset,
    *,
    model: Model = "fused",
    widths: LoihiWidths = DEFAULT,
    formats: Formats | None = None,
    **watching: Any,
) -> Trained:
    """Train `network` on Lava in the integers of `widths`, as `integer_training.train_integers` does, to the bit.

    `watching` are fields of `Watching`. The engine of the decomposed network is Lava's own, with its widths: others
    are refused. Raises what `train` raises.
    """
    require_lava()
    settings = Watching(**watching)
    check_data(network, data)
    if model == "decomposed":
        _check_engine(widths)
    formats = formats or formats_for(network, data, widths)
    plan = IntegerCourse(network, learning, formats, widths, settings.per_epoch(data))
    arith = Loihi(formats, widths)

    def integers(params: Parameters) -> CompiledNetwork:
        return CompiledNetwork(network, formats, widths, params, learning.seed)

    kind = NumberSystem(
        plan=plan,
        arith=arith,
        params=initial_integers(network, learning.seed, formats, widths),
        epochs=learning.epochs,
        seed=learning.seed,
        measure=lambda p, epoch: measure_integers(integers(p), learning, data, epoch, settings.diagnostics),
        look=lambda p: measure_integers(integers(p), learning, data, 0, False)["accuracy"],
        decode=lambda p: real_parameters(p, arith),
        identity=integer_identity(network, learning, data, widths, formats, f":lava:{settings.limit}"),
    )
    return teach(network, data, kind, model, settings)


def _first_trial(network: Network, params: Parameters, data: Dataset) -> Any:
    x = np.asarray(data.x_train[:SAMPLES_SEEN], np.float64)
    return Stepped(network).trial(params, x, np.eye(data.n_classes)[data.y_train[:SAMPLES_SEEN]])


def _check_engine(widths: LoihiWidths) -> None:
    """Refuse widths that Lava's learning engine does not have."""
    fixed = ("weight_bits", "weight_range", "trace_bits", "accumulator_bits")
    wrong = [f for f in fixed if getattr(widths, f) != getattr(DEFAULT, f)]
    if wrong:
        raise SpecError(
            "the decomposed network learns on Lava's engine, and widths."
            + ", widths.".join(f"{f} {getattr(widths, f)} is there always {getattr(DEFAULT, f)}" for f in wrong)
            + "; use model fused, which has any widths"
        )
