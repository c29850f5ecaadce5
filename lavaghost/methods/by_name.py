"""Methods by their name: in a configuration file, in a manifest, on the command line, as a value in Python."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import PlainSerializer, PlainValidator, WithJsonSchema

from lavaghost.base.errors import SpecError, join_faults
from lavaghost.base.registry import Registry
from lavaghost.base.spec import parse
from lavaghost.methods.alignment import DirectFeedbackAlignment, FeedbackAlignment, KolenPollack, SignSymmetric
from lavaghost.methods.backprop import Backprop, Frozen
from lavaghost.methods.base import Method
from lavaghost.methods.brainprop import BrainProp
from lavaghost.methods.ghost.method import Ghost
from lavaghost.methods.learning import engine_faults
from lavaghost.methods.least_action import LeastAction
from lavaghost.methods.modulated import Modulated
from lavaghost.methods.pal import Pal
from lavaghost.methods.relaxation import ActivationRelaxation
from lavaghost.net.graph import Graph

OURS: tuple[type[Method], ...] = (
    Ghost,
    Backprop,
    Frozen,
    ActivationRelaxation,
    LeastAction,
    Pal,
    BrainProp,
    FeedbackAlignment,
    DirectFeedbackAlignment,
    SignSymmetric,
    KolenPollack,
    Modulated,
)
METHODS: Registry[type[Method]] = Registry(
    "lavaghost.methods", "method", type, {method.name: method for method in OURS}
)
"""All that can be named; `METHODS.register(Mine.name, Mine)` adds one in Python."""


def method_of(values: Any) -> Method:
    """A method, from a value, its name, or its name and settings. Raises `SpecError`."""
    if isinstance(values, Method):
        return values
    values = {"name": values} if isinstance(values, str) else values
    if not isinstance(values, Mapping):
        raise SpecError(f"method is {values!r:.80}; give a name, or a name and settings")
    settings = dict(values)
    name = settings.pop("name", Ghost.name)
    found = METHODS.find(name) if isinstance(name, str) else None
    if found is None or not issubclass(found, Method):
        raise SpecError(f"method {name!r:.80} is no method; there are {', '.join(METHODS.names())}")
    return parse(found, settings, "method")


def _valid(values: Any) -> Method:
    try:
        return method_of(values)
    except SpecError as error:
        raise ValueError(str(error)) from error


AnyMethod = Annotated[
    Any,
    PlainValidator(_valid),
    PlainSerializer(lambda method: method.settings()),
    WithJsonSchema({"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}}),
]
"""A field of a description that holds a method."""


IN_CELLS = "in time there are ghosts, and errors that come down a layer a step"
"""What engines that step, and Lava, have: why they lack another method."""


def check_together(method: Method, graph: Graph, learning: Any) -> None:
    """Refuse, all at once, what each part accepts but they cannot do together. Raises `SpecError`.

    `learning` are settings in either arithmetic: it has `arithmetic` and `engine`.
    """
    needs, faults = method.needs, [*method.faults(graph), *engine_faults(learning)]
    if learning.engine not in needs.engines:
        faults.append(
            f"method {method.called} has no processes or equations for engine {learning.engine!r}; use "
            f"{' or '.join(needs.engines)} ({needs.why or IN_CELLS})"
        )
    if learning.arithmetic not in needs.arithmetics:
        faults.append(
            f"method {method.called} does not learn in arithmetic {learning.arithmetic!r}; use "
            f"{' or '.join(needs.arithmetics)}"
        )
    if graph.loss not in needs.losses:
        faults.append(f"method {method.called} has no loss {graph.loss!r}; use {' or '.join(needs.losses)}")
    if needs.feedback != "none" and graph.depth > 1 and not graph.back:
        faults.append(f"method {method.called} needs {needs.feedback} feedback, and its graph has none")
    if needs.ghosts and not graph.has_ghosts:
        faults.append(f"method {method.called} needs ghosts, and its graph has none")
    if faults:
        raise SpecError(join_faults(faults))
