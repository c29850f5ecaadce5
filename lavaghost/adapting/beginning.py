"""From a saved network to one that learns sample by sample: its physics, its numbers, its course."""

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from lavaghost.base.errors import SpecError
from lavaghost.base.names import ArithmeticName
from lavaghost.base.spec import parse
from lavaghost.datasets import Dataset
from lavaghost.methods.base import Method
from lavaghost.methods.by_name import check_together
from lavaghost.methods.ghost.method import Ghost
from lavaghost.methods.ghost.plasticity import GhostSteps, OnlineGhosts
from lavaghost.methods.learning import Learning
from lavaghost.model.inputs import range_seen, scaled_for
from lavaghost.model.model import Model
from lavaghost.net.graph import Graph
from lavaghost.net.network import Network
from lavaghost.net.parameters import Parameters, initial_parameters
from lavaghost.numbers.integers import Integers
from lavaghost.numbers.widths import DEFAULT, LoihiWidths, exponent_of, nearest_power
from lavaghost.online.course import course as float_course
from lavaghost.online.integers.formats import suited_fraction
from lavaghost.online.integers.integer_course import AnyCourse, IntegerCourse
from lavaghost.online.integers.settings import IntegerLearning, check_integer, integer_rule, suited
from lavaghost.run.spec import RunSpec, one_by_one
from lavaghost.training.refit import refitted
from lavaghost.training.start import as_integers, continued_method, must_refit

ETA_EXPONENT = -6
"""The usual step of integers; that of floating point is engine 'lava''s (`one_by_one`)."""
ENDLESS = 2**30
"""Trials after which the numbers of a course begin anew; no run of a chip gets there unnoticed."""


@dataclass(frozen=True, eq=False)
class Beginning:
    """What learns, and from which numbers; `refit` is the record of what was done to a start of another loss."""

    network: Network
    method: Method
    learning: Learning | IntegerLearning
    numbers: Parameters | Integers
    refit: dict[str, Any] | None = None

    @property
    def graph(self) -> Graph:
        """What learns."""
        return self.method.graph(self.network)

    @property
    def course(self) -> AnyCourse:
        """What each trial teaches; an endless one, with a constant step."""
        graph = self.graph
        if isinstance(self.learning, IntegerLearning):
            assert isinstance(self.numbers, Integers)
            rule = integer_rule(self.method)
            return IntegerCourse(graph, rule, self.learning, self.numbers.formats, self.numbers.widths, ENDLESS)
        ghosts = _steps(self.method) if graph.ghosts_learn else None
        found = float_course(graph, self.method, self.learning, ENDLESS, ghosts=ghosts)
        return replace(found, pretrain=0)  # its ghosts have learned to cancel before


def refit_for_chip(model: Model, old: Dataset | None, seed: int) -> Model:
    """`model`, refitted to squared error on training samples of `old` if it was trained with another loss.

    Raises `SpecError` if it must be and there are no data.
    """
    method = continued_method(model)
    if not must_refit(model):
        return model
    if old is None:
        raise SpecError(
            f"the network was trained with {model.network.loss}, whose rates and outputs break in integers at the "
            "first samples; give data like those it was trained on (--keep, or `old`), with which it is refitted off "
            "the chip, or train it on with `lavaghost train --from` and --loss squared_error"
        )
    network, _ = suited(model.network, Ghost(), DEFAULT)
    network = _own_activation(network, model.network)
    done = refitted(network, model.params, scaled_for(model, old), seed)
    params = initial_parameters(method.graph(network), seed, np.float32, done.params)
    return replace(
        model,
        network=network,
        method=method,
        learning=Learning(epochs=0),
        tensors=params,
        record={**model.record, "refit": done.record},
    )


def _own_activation(network: Network, own: Network) -> Network:
    """The physics of integers, with the rate function of a network, and its own bound if it has one."""
    bound = own.saturation if own.saturation is not None or own.activation != "relu" else network.saturation
    return network.model_copy(update={"activation": own.activation, "saturation": bound})


def begin(
    model: Model,
    *,
    arithmetic: ArithmeticName = "loihi",
    widths: LoihiWidths | None = None,
    plastic: tuple[int, ...] | None = None,
    margin: float | None = None,
    eta: float | None = None,
    seed: int = 0,
    lava: bool = False,
) -> Beginning:
    """`model`, which needs no refit, as a learner of single samples. Raises `SpecError` with what cannot be.

    plastic  layers that learn, from 1; those of the network unless given, which are all as a rule
    eta      the learning rate; in integers the nearest power of two
    """
    chosen = model.network.plastic if plastic is None else plastic
    network = parse(Network, {**model.network.model_dump(), "plastic": tuple(chosen)})
    given: dict[str, Any] = {
        "engine": "lava" if lava else "stepped",
        "epochs": 1,
        "margin": margin,
        "seed": seed,
    }
    method = continued_method(model)
    if arithmetic == "float":
        usual = one_by_one(RunSpec(hidden=network.layers[1:-1]))
        if method is not model.method:
            method = usual.method
        constant = {"eta_decay": "constant"} | ({} if eta is None else {"eta": eta})
        learning = parse(Learning, usual.learning.model_dump() | given | constant, "learning")
        graph = method.graph(network)
        check_together(method, graph, learning)
        return Beginning(network, method, learning, initial_parameters(graph, seed, np.float64, model.params))
    own = model.integers
    if widths is None and own is not None:
        widths = own.widths
    if widths is None:
        widths = replace(DEFAULT, state_fraction=suited_fraction(method.graph(network)))
    if own is None:
        network, method = _suited(network, method, widths)
    elif not isinstance(model.learning, IntegerLearning):
        _, method = suited(
            network, method, widths
        )  # quantised: its numbers as they are, and physics to learn with
    if eta is not None and not 0 < eta < math.inf:
        raise SpecError(f"eta is {eta}; give a learning rate above 0")
    exponent = ETA_EXPONENT if eta is None else exponent_of(nearest_power(eta), "eta")
    constant = {"eta_exponent": exponent, "halve_at": (), "pretrain_samples": 0}
    learning = parse(IntegerLearning, {**given, **constant}, "learning")
    graph = method.graph(network)
    check_together(method, graph, learning)
    seen = range_seen(model)
    integers = as_integers(graph, model, widths, largest_input=seen.largest if seen else 1.0, seed=seed)
    check_integer(graph, integer_rule(method), learning, integers.formats, integers.widths)
    return Beginning(network, method, learning, integers)


def _suited(network: Network, method: Method, widths: LoihiWidths) -> tuple[Network, Method]:
    chip, method = suited(network, method, widths)
    return _own_activation(chip, network), method


def _steps(method: Method) -> OnlineGhosts:
    """Steps of learned ghosts that hold for the rates of any network of this kind: the smallest usual ones."""
    settings = getattr(method, "plasticity", GhostSteps())
    return OnlineGhosts(settings.mu / 256, settings.mu_inhibition / 256)
