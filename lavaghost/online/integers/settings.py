"""How integers learn: the settings of a run, what cannot work, and physics that do."""

from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from lavaghost.base.errors import SpecError, join_faults
from lavaghost.base.names import Rounding
from lavaghost.base.spec import Count, NotNegative, Spec, listed
from lavaghost.methods.base import Method
from lavaghost.methods.ghost.depth import resolution_faults, steps_needed, time_faults
from lavaghost.methods.ghost.rules import RULES, Rule
from lavaghost.net.graph import Graph
from lavaghost.net.network import Network
from lavaghost.numbers.loihi import Loihi
from lavaghost.numbers.widths import DEFAULT, Formats, LoihiWidths, exponent_of


class IntegerLearning(Spec):
    """Learning in integers, one sample at a time. Every gain is a power of two, given by its exponent.

    eta_exponent      the learning rate is 2^eta_exponent, in the units of a backprop learning rate
    output_exponent   added to it at the output layer
    halve_at          shares of the run after which the learning rate is halved
    rounding          of weights: a random number per synapse, one per connection (Lava's), or none
    error_rounding    of errors to traces
    exact_shift       round errors to multiples of 8, so that the engine's shift cuts nothing
    mantissa, exponent   of the rule's literal m 2^e
    mu_exponent, mu_inhibition_exponent   steps of learned ghosts, not normalised
    pretrain_samples  samples on which only learned ghosts learn, before anything else does
    margin            no target is given where the answer is right by more than this; none: always given

    Example: `RunSpec(learning=IntegerLearning(epochs=20, eta_exponent=-6))`.
    """

    arithmetic: Literal["loihi"] = "loihi"
    engine: Literal["stepped", "lava"] = "stepped"
    epochs: Annotated[int, Field(ge=0, le=10**6)] = 20
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    eta_exponent: Annotated[int, Field(ge=-20, le=4)] = -6
    output_exponent: Annotated[int, Field(ge=-8, le=8)] = 0
    halve_at: Annotated[tuple[Annotated[float, Field(gt=0, lt=1)], ...], BeforeValidator(listed)] = (
        0.4,
        0.65,
        0.85,
    )
    rounding: Rounding = "independent"
    error_rounding: Literal["stochastic", "nearest"] = "stochastic"
    exact_shift: bool = True
    mantissa: Annotated[int, Field(ge=1, le=7)] = 1
    exponent: Annotated[int, Field(ge=-7, le=8)] = -7
    mu_exponent: Annotated[int, Field(ge=-20, le=4)] = -8
    mu_inhibition_exponent: Annotated[int, Field(ge=-20, le=4)] = -6
    pretrain_samples: Annotated[int, Field(ge=0, le=10**9)] = 10_000
    margin: NotNegative | None = None
    chunk: Count = 1000
    """Samples between two reports of progress; it changes nothing else."""

    def halvings(self, epoch: int) -> int:
        """How often the learning rate has been halved in `epoch` (from 0)."""
        return sum(epoch >= share * self.epochs for share in self.halve_at)

    def margin_states(self, arith: Loihi) -> int:
        """The margin in states; -1 for none."""
        return -1 if self.margin is None else int(arith.array(self.margin))


def integer_rule(method: Method) -> Rule:
    """The rule that a method learns by in integers. Raises `SpecError` for a method without one that is compiled."""
    rule = getattr(method, "local_rule", None)
    if "loihi" not in method.needs.arithmetics or not isinstance(rule, Rule):
        raise SpecError(
            f"method {method.name!r} does not learn in integers, which need a local rule; use method 'ghost', or "
            "arithmetic float"
        )
    check_rule(rule)
    return rule


def check_rule(rule: Rule) -> None:
    """Refuse a rule that is not compiled. Raises `SpecError`."""
    if RULES.get(rule.name) != rule:
        raise SpecError(
            f"rule {rule.name!r} is not compiled for integers, which have {' and '.join(map(repr, RULES))}; use one of "
            "these, or arithmetic float"
        )


def check_integer(
    graph: Graph, rule: Rule, learning: IntegerLearning, formats: Formats, widths: LoihiWidths
) -> None:
    """Refuse, all at once, what integers cannot learn. Raises `SpecError`."""
    check_rule(rule)
    if graph.relaxation is None or not graph.has_feedback:
        raise SpecError(
            "integers learn from a nudge that feedback carries down, and this graph has none; use method 'ghost'"
        )
    faults = _network_faults(graph, rule, widths) + format_faults(graph, formats, widths)
    arith, schedule, n = Loihi(formats, widths), graph.schedule, graph.layers
    checks: list[Callable[[], object]] = [
        lambda: exponent_of(graph.lam, "method.lam"),
        lambda: exponent_of(graph.beta, "method.beta"),
        lambda: arith.take(schedule.tau_steps),
        lambda: arith.take(schedule.tau_ghost_steps),
    ]
    if not faults:
        checks += [
            partial(arith.check_sum, n[k - 1], s, k - 1, f"weights.{k}")
            for k, s in enumerate(formats.weights, start=1)
        ]
    for check in checks:
        try:
            check()
        except SpecError as error:
            faults.append(str(error))
    if faults:
        raise SpecError(join_faults(dict.fromkeys(faults)))


def _network_faults(graph: Graph, rule: Rule, widths: LoihiWidths) -> list[str]:
    faults = []
    if graph.loss != "squared_error":
        faults.append("network.loss cross_entropy needs a softmax, which integers lack; use squared_error")
    if rule.needs_prediction and not graph.predicts:
        faults.append(
            f"rule {rule.name!r} needs ghosts that predict the layer above, and there are none; use rule 'temporal'"
        )
    if not graph.all_dense:
        kinds = sorted({p.kind for p in graph.projections} - {"dense", "one_to_one"})
        faults.append(
            f"kind {', '.join(kinds)}: integers learn dense projections, whose weights are a synapse each; use "
            "arithmetic float, and quantise what it learned"
        )
    if any(p.own and p.plastic for p in graph.along("feedback")):
        faults.append("feedback that learns is not compiled for integers; use tied or random feedback")
    fraction = widths.state_fraction
    why = f"a state has {fraction} fractional bits"
    return faults + resolution_faults(graph, fraction - 1, why, power_of_two=True) + time_faults(graph)


def format_faults(graph: Graph, formats: Formats, widths: LoihiWidths) -> list[str]:
    """Why nothing could be learned in `formats`, a line each."""
    faults = []
    if len(formats.messages) != graph.depth + 1 or len(formats.weights) != graph.depth:
        faults.append(
            f"formats name {len(formats.messages)} layers, the network has {graph.depth + 1}; make them for it"
        )
    for k, f in enumerate(formats.messages[:-1]):
        if (1 << max(0, f)) > widths.message_limit:
            faults.append(
                f"layer {k}: a bias unit of rate 1 has the message {1 << f}, above the limit of "
                f"{widths.message_limit}; use a message fraction of at most {widths.message_bits - 1}"
            )
    for k, s in enumerate(formats.weights, start=1):
        if s > widths.state_fraction:
            faults.append(
                f"weights.{k}: fraction {s} is finer than a state's {widths.state_fraction} bits; lower it"
            )
    if widths.message_limit // 2 >= 1 << widths.trace_bits:
        faults.append(
            f"message_bits {widths.message_bits}: a trace of {widths.trace_bits} bits cannot hold half of the "
            f"message {widths.message_limit}; use message_bits of at most {widths.trace_bits + 1}"
        )
    return faults


def suited(network: Network, method: Method, widths: LoihiWidths = DEFAULT) -> tuple[Network, Method]:
    """Network and method with physics that integers learn well with; what a method has no setting for stays out.

    Squared error, since a neuron has no softmax. A hidden rate saturates where its message does, so that errors
    and messages agree. beta = 1 and lam = 1/8 fill many bits with error and keep the loop of feedback and nudge
    stable; with tau = 2 it settles within the schedule. Beyond three hidden layers lam is as much larger as leaves
    an error of 1 three bits in layer 1, and phases as long as they need.
    """
    schedule = method.graph(network).schedule
    depth, tau = network.depth, schedule.tau_steps
    needed = steps_needed(tau, depth) if depth > 4 else 0
    steps = {"t_free_steps": max(24, 2 * needed), "t_nudge_steps": max(12, needed)}
    lam = 0.125
    if depth > 4:
        lam = 2.0 ** -min(3, max(0, widths.state_fraction - 3) // (depth - 1))
    saturation = widths.message_limit * 2.0 ** (2 - widths.message_bits)
    physics = {"loss": "squared_error", "saturation": saturation, "activation": "relu"}
    return network.model_copy(update=physics), adjusted(
        method, lam=lam, beta=1.0, schedule=schedule.model_copy(update=steps)
    )


def adjusted(method: Method, **settings: Any) -> Method:
    """A method with other settings, of those that it has, or its core has."""
    if method.core is not method:
        return method.model_copy(update={"method": adjusted(method.core, **settings)})
    return method.model_copy(
        update={name: v for name, v in settings.items() if name in type(method).model_fields}
    )
