"""A trained network as the start of learning in integers: its own integers, or its weights in formats chosen for them.

What a start decides (`as_integers`), when it must be refitted first (`must_refit`), and which of its settings go on.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from lavaghost.base.errors import SpecError, join_faults, warn
from lavaghost.methods.base import Method
from lavaghost.methods.ghost.method import Ghost
from lavaghost.methods.ghost.rules import Rule
from lavaghost.model.model import Model
from lavaghost.net.graph import Graph
from lavaghost.net.parameters import Parameters, initial_parameters, shapes
from lavaghost.numbers.integers import Integers
from lavaghost.numbers.widths import LoihiWidths
from lavaghost.online.integers.formats import trained_integers, unheld_biases
from lavaghost.online.integers.settings import IntegerLearning, format_faults


def must_refit(start: Model) -> bool:
    """Whether `start` was trained with another loss than the squared error that integers learn by."""
    return start.network.loss != "squared_error"


def continued_method(start: Model) -> Method:
    """The method by which a network learns on sample by sample: its own, or ghosts where it has no local rule.

    Raises `SpecError` for a method that modulates another: which of the two is meant must be said.
    """
    if start.method.core is not start.method:
        raise SpecError(
            f"method {start.method.called} is for batches in floating point, and this learns sample by sample or in "
            "integers; make a network of one method of it first: lavaghost train --from MODEL --method ghost --epochs 0"
        )
    rule = getattr(start.method, "local_rule", None)
    return start.method if isinstance(rule, Rule) else Ghost()


def decided(start: Model, integers: bool) -> dict[str, Any]:
    """What `start` decides of a run that goes on from it, unless the run says else: sections of a `RunSpec`.

    A run in integers takes the physics of integers (`suited`) for what was trained in floating point, and of a method
    without a local rule only the network.
    """
    network = start.network.model_dump(exclude={"layers"})
    found: dict[str, Any] = {"hidden": start.network.layers[1:-1], "network": network}
    learned = isinstance(start.learning, IntegerLearning)
    if integers and (start.integers is None or must_refit(start)):
        # a chip has no softmax, and its rates are bounded
        network.pop("loss")
        if network["saturation"] is None:
            network.pop("saturation")
    if start.learning.epochs > 0 and not (integers and continued_method(start) is not start.method):
        settings = start.method.settings()
        if integers and not learned:
            settings = {k: v for k, v in settings.items() if k not in ("lam", "beta", "schedule")}
        found["method"] = settings
    return found


def as_integers(
    graph: Graph,
    start: Model,
    widths: LoihiWidths,
    *,
    params: Parameters | None = None,
    largest_input: float = 1.0,
    seed: int = 0,
) -> Integers:
    """The integers in which `graph` goes on from `start`, in `widths`.

    Its own, as they are, where it has some of these widths and all that the graph needs; else `params`, or what it
    stands for, in `trained_formats`. So too, with a warning, for a quantised network in whose formats nothing could be
    learned, such as one with a bias that is larger than the weights of its layer can be.
    """
    own = start.integers
    if (
        own is not None
        and params is None
        and own.widths == widths
        and shapes(graph) == {name: a.shape for name, a in own.arrays.items()}
    ):
        faults = format_faults(graph, own.formats, own.widths)
        if names := unheld_biases(own):
            faults.append(f"{', '.join(names)}: beyond the weights of the layer, in whose bits a bias learns")
        if not faults:
            return own
        warn(
            f"the start was quantised in formats that cannot learn ({join_faults(faults)}); its numbers are put into "
            "others, which may change an answer; start from the network before it was quantised to lose nothing"
        )
    given = start.params if params is None else params
    real: Mapping[str, Any] = initial_parameters(graph, seed, np.float64, given).named()
    return trained_integers(graph, real, widths, largest_input)
