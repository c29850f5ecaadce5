"""`Ghost`: a free and a nudged phase, then a local rule. All plasticity waits for the trial's end."""

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, NamedTuple

import numpy as np
from pydantic import Field, PlainSerializer, PlainValidator, WithJsonSchema, model_validator

from lavaghost.base.names import Feedback as FeedbackName
from lavaghost.base.names import FeedbackKind, Mechanism, RuleName
from lavaghost.base.spec import Positive
from lavaghost.dynamics.fixed_point import restoring_gain, units
from lavaghost.engines.equilibrium import Equilibrium
from lavaghost.engines.stepped import Stepped
from lavaghost.engines.trial import Trial, TrialEngine
from lavaghost.methods import footprint
from lavaghost.methods.base import Batch, Changes, Factors, Method, Needs, OwnState
from lavaghost.methods.carried import returned
from lavaghost.methods.footprint import Footprint, Stretch
from lavaghost.methods.ghost.mechanisms import with_ghosts
from lavaghost.methods.ghost.plasticity import GhostSteps, pending
from lavaghost.methods.ghost.residuals import loop_gain, residuals
from lavaghost.methods.ghost.rules import RULES, Rule
from lavaghost.methods.learning import Learning
from lavaghost.net.graph import Graph, Path, Relaxation
from lavaghost.net.network import Network, Schedule
from lavaghost.net.parameters import Parameters


def usual_rule(mechanism: Mechanism) -> RuleName:
    """The rule that goes best with a mechanism, for where none is named.

    Duplicate ghosts predict exactly, so their prediction error is the gradient for any `lam`. Learned ghosts
    leave a residual, which the temporal rule forgives; online ghosts predict nothing.
    """
    return "prediction" if mechanism == "duplicate" else "temporal"


def _named_rule(value: Any) -> "Rule | str | None":
    if value is None or isinstance(value, Rule) or (isinstance(value, str) and value in RULES):
        return value
    raise ValueError(f"use one of {', '.join(RULES)}, or a lavaghost Rule of your own")


AnyRule = Annotated[
    Any,
    PlainValidator(_named_rule),
    PlainSerializer(lambda rule: rule.name if isinstance(rule, Rule) else rule),
    WithJsonSchema({"enum": [*RULES]}),
]


PATHS: tuple[Path, ...] = ("feedforward", "feedback", "ghost", "inhibition")


class GhostWork(NamedTuple):
    """What a run of ghost learning holds beside its numbers: graph, engine, and the gain of each layer."""

    graph: Graph
    engine: TrialEngine
    gains: tuple[float, ...]


class Ghost(Method):
    """Ghost units (Mesnard et al. 2019, as docs/theory.md reconstructs them).

    Example: `Ghost(mechanism="learned", feedback="random")`. `lam` is the feedback gain, `beta` the nudging strength;
    `rule` is the usual one of the mechanism where none is named (`usual_rule`).
    """

    name: ClassVar[str] = "ghost"

    mechanism: Mechanism = "duplicate"
    rule: AnyRule = None
    """A name, or a `Rule` of your own."""
    feedback: FeedbackName = "tied"
    lam: Positive = 0.03
    beta: Positive = 0.1
    schedule: Schedule = Schedule()
    free_sweeps: Annotated[int, Field(ge=1, le=10_000)] = 6
    """Sweeps of the equilibrium engine's free phase; only `learned` ghosts need any."""
    plasticity: GhostSteps = GhostSteps()
    """Of `learned` ghosts."""

    @model_validator(mode="after")
    def _usual(self) -> "Ghost":
        if self.rule is None:
            object.__setattr__(self, "rule", usual_rule(self.mechanism))
        return self

    @property
    def local_rule(self) -> Rule:
        """The rule itself."""
        return self.rule if isinstance(self.rule, Rule) else RULES[self.rule]

    @property
    def needs(self) -> Needs:
        """See `Method`."""
        feedback: FeedbackKind = self.feedback
        if feedback == "learned":
            # on Lava and in integers B_k is either drawn or mirrored
            return Needs(feedback, True)
        return Needs(feedback, True, ("equilibrium", "stepped", "lava"), ("float", "loihi"))

    @property
    def relaxation(self) -> Relaxation:
        """Its numbers, as a graph holds them."""
        return Relaxation(lam=self.lam, beta=self.beta, schedule=self.schedule, free_sweeps=self.free_sweeps)

    def graph(self, network: Network) -> Graph:
        """See `Method`."""
        return with_ghosts(network, self.mechanism, self.feedback, self.relaxation)

    def faults(self, graph: Graph) -> list[str]:
        """See `Method`."""
        if not self.local_rule.needs_prediction or graph.predicts:
            return []
        return [
            f"rule {self.local_rule.name!r} needs ghosts that predict the layer above, and mechanism "
            f"{self.mechanism!r} only replicates its feedback; use rule 'temporal', or mechanism 'duplicate' or "
            "'learned'"
        ]

    def pretrain_batches(self, graph: Graph) -> int:
        """See `Method`."""
        return self.plasticity.pretrain_batches if graph.ghosts_learn else 0

    def prepare(self, graph: Graph, learning: Learning) -> GhostWork:
        """See `Method`."""
        settles = learning.engine == "equilibrium"
        unit = units(graph, np.dtype(np.float32)) if settles else (0,) * graph.depth
        gains = tuple(restoring_gain(graph, k, m) for k, m in enumerate(unit, start=1))
        return GhostWork(graph, self._engine(graph, learning), gains)

    def _engine(self, graph: Graph, learning: Learning) -> TrialEngine:
        if learning.engine != "equilibrium":
            return Stepped(graph)
        return Equilibrium(
            graph,
            learning.batch_size,
            sweeps=learning.sweeps,
            tolerance=learning.tolerance,
            push=self.local_rule.needs_push or graph.replicates,
            predict=self.local_rule.needs_prediction,
        )

    def update(
        self, work: GhostWork, params: Parameters, state: OwnState, batch: Batch
    ) -> tuple[Changes, OwnState]:
        """See `Method`. The network waits while learned ghosts do not cancel well enough."""
        trial = work.engine.trial(params, batch.x, batch.target)
        if not work.graph.ghosts_learn or batch.purpose == "probe":
            return Changes(factors=self.factors(work, params, trial)), state
        ready, add = pending(self.plasticity, trial)
        if batch.purpose == "pretrain" or not ready:
            return Changes(add=add), state
        # ghosts follow each step of what they stand for
        follow = {
            f"ghost_{name}.{k}": f"{name}.{k + 1}"
            for name in ("weights", "biases")
            for k in range(1, work.graph.depth)
        }
        return Changes(self.factors(work, params, trial), add, follow), state

    def factors(self, work: GhostWork, params: Parameters, trial: Trial) -> dict[str, Factors]:
        """The rule's factors for a finished trial."""
        dtype, rule = params.weights[0].dtype, self.local_rule
        found = {
            f"weights.{k}": Factors(
                np.ascontiguousarray(rule.post(trial.local(k)), dtype),
                np.ascontiguousarray(trial.pre[k - 1], dtype),
                work.gains[k - 1],
            )
            for k in range(1, work.graph.depth + 1)
        }
        return found | returned(work.graph, found)

    def footprint(self, graph: Graph) -> Footprint:
        """See `Method`."""
        schedule, kept = graph.schedule, "its change since the free phase"
        if self.local_rule.needs_prediction:
            kept = "what its ghosts did not predict of it"
        return Footprint(
            (Stretch("free", schedule.t_free_steps, PATHS), Stretch("nudged", schedule.t_nudge_steps, PATHS)),
            ("membrane", "rate of the free phase"),
            f"the rate before it, and behind it {kept}",
            signed=False,
        )

    def operations(self, graph: Graph, learning: Any) -> int:
        """See `Method`: by fixed points up, down, up again where the rule or the ghosts need it, and the change.

        With a tolerance, as many sweeps as are allowed. Ghosts that learn are counted too, and their own change.
        """
        if learning.engine != "equilibrium":
            return self.footprint(graph).multiplications(graph)
        up, back, beside, inhibited = (footprint.weights(graph, graph.along(path)) for path in PATHS)
        above = up - footprint.weights(graph, graph.along("feedforward")[:1])  # layer 1 is clamped
        learns, sweeps = graph.ghosts_learn, learning.sweeps
        pushes = self.local_rule.needs_push or graph.replicates or learns or sweeps > 1
        free, changed, sweep = up, footprint.learning(graph), back + pushes * above
        later = sweep
        if learns:
            free += graph.free_sweeps * above + (graph.free_sweeps + 1) * (beside + back + inhibited)
            changed += beside + inhibited
            sweep, later = sweep + beside, sweep + beside + inhibited
        return free + sweep + (sweeps - 1) * later + changed

    def remedy(self, broken: Sequence[str]) -> str:
        """See `Method`: least mean squares is stable below a step of 2."""
        if not all(name.startswith("ghost_") for name in broken):
            return ""
        steps = self.plasticity
        return (
            f"lower the ghosts' steps, method.plasticity.mu ({steps.mu:g}) and mu_inhibition "
            f"({steps.mu_inhibition:g}); they are stable below 2"
        )

    def figures(self, work: GhostWork, params: Parameters, state: OwnState, batch: Batch) -> dict[str, Any]:
        """`residuals` and `loop_gain` of each hidden layer."""
        trial = work.engine.trial(params, batch.x, batch.target)
        return {
            "residuals": list(residuals(work.graph, params, trial)),
            "loop_gain": list(loop_gain(work.graph, params)),
        }
