"""`RunSpec`: everything that a training run depends on, as one value. A configuration file holds the same keys.

The shell, Python, studies and a file all make one of these, and `run.train.run_spec` is the only thing that runs it.
What is not named is decided here, once: `resolved` fills in what goes with what is named.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from lavaghost.base import strict_yaml
from lavaghost.base.errors import SpecError, join_faults
from lavaghost.base.files import read_regular
from lavaghost.base.names import LavaModel
from lavaghost.base.spec import HiddenSizes, S, Size, Spec, listed, parse
from lavaghost.methods.by_name import METHODS, AnyMethod
from lavaghost.methods.ghost.method import Ghost
from lavaghost.methods.learning import Learning
from lavaghost.methods.modulated import Modulated
from lavaghost.model.model import Model
from lavaghost.net.network import Network, Physics
from lavaghost.numbers.widths import exponent_of, nearest_power
from lavaghost.online.any_learning import KINDS, AnyLearning
from lavaghost.run.merging import merged
from lavaghost.training.start import decided

MAX_BYTES = 1 << 20


class Lava(Spec):
    """What engine lava has of its own.

    processes  one fused process, or a process for each population and connection
    limit      training samples of an epoch; all unless given
    record     layers, from 1, whose rates, residuals and weights are recorded

    Example: `train(network, digits, engine="lava", lava=Lava(limit=200, record=(1,)))`.
    """

    processes: LavaModel = "fused"
    limit: Annotated[int, Field(ge=1)] | None = None
    record: Annotated[tuple[Size, ...], BeforeValidator(listed)] = ()


class RunSpec(Spec):
    """One training run; `hidden` lists the hidden layers, the data set gives the sizes of the others.

    start      folder or `model.yaml` of the network that training goes on from
    hardware   a chip whose bit widths integers have; Lava's model of Loihi 1 where none is named
    state_fraction   fractional bits of a state in integers; those that the graph learns well with unless named

    Example: `run_spec(RunSpec(hidden=(64, 32), method="backprop")).figures[-1]`.
    """

    dataset: str = "digits"
    hidden: HiddenSizes = (128,)
    network: Physics = Physics()
    method: AnyMethod = Ghost()
    learning: AnyLearning = Learning()
    lava: Lava = Lava()
    start: str | None = None
    hardware: str | None = None
    state_fraction: int | None = None

    def network_for(self, n_inputs: int, n_classes: int) -> Network:
        """The network of this run between `n_inputs` and `n_classes`."""
        return Network(layers=(n_inputs, *self.hidden, n_classes), **dict(self.network))


def read_spec(
    path: Path | None, overrides: Mapping[str, Any] | None = None, defaults: Mapping[str, Any] | None = None
) -> RunSpec:
    """The configuration in `path` over `defaults`, with `overrides` such as `{"learning": {"epochs": 3}}` over it.

    Raises `SpecError` with every fault by its path; `path` itself is named if it cannot be read.
    """
    values = values_in(path) if path is not None else {}
    where = str(path) if path is not None else ""
    return resolved(merged(merged(defaults or {}, values), overrides or {}), where)


def continued(path: Path | None, overrides: Mapping[str, Any]) -> tuple[dict[str, Any], Model | None]:
    """The network that a configuration or `overrides` start from, if they do, and what it decides unless they say else.

    A network that was only imported decides no method; see `training.start.decided`.
    """
    source = overrides.get("start", values_in(path).get("start") if path is not None else None)
    if source is None:
        return {}, None
    start = Model.load(source)
    learning = merged(values_in(path) if path is not None else {}, overrides).get("learning", {})
    integers = isinstance(learning, Mapping) and learning.get("arithmetic") == "loihi"
    return decided(start, integers), start


def resolved(values: Mapping[str, Any], where: str = "") -> RunSpec:
    """The run that `values` mean, with what they leave open.

    The loss is one that the method has, eta that of the number of layers; engine 'lava' has defaults of its own, since
    it learns one sample at a time (`one_by_one`); in integers a learning rate `eta` becomes the nearest power of two.
    """
    values = dict(values)
    if faults := _misplaced(values):
        raise SpecError(f"{where}: {join_faults(faults)}" if where else join_faults(faults))
    learning = values.get("learning", {})
    if isinstance(learning, Mapping) and learning.get("arithmetic") == "loihi":
        values["learning"] = _in_integers(learning)
    run = parse(RunSpec, values, where)
    if isinstance(run.learning, Learning) and run.learning.engine == "lava":
        run = one_by_one(run)
    losses = run.method.needs.losses
    if "loss" not in run.network.model_fields_set and run.network.loss not in losses:
        run = run.model_copy(update={"network": run.network.model_copy(update={"loss": losses[0]})})
    if isinstance(run.learning, Learning) and "eta" not in run.learning.model_fields_set:
        eta = run.method.usual_eta(len(run.hidden) + 1)
        run = run.model_copy(update={"learning": run.learning.model_copy(update={"eta": eta})})
    return run


def _misplaced(values: Mapping[str, Any]) -> list[str]:
    """Keys that belong to another section, each with its place."""
    homes = {"method": Ghost, "learning": Learning, "network": Physics}
    found = []
    for section, own in {"": RunSpec, "network": Physics, "learning": None}.items():
        part = values.get(section, {}) if section else values
        for key in part if isinstance(part, Mapping) else ():
            if own is None and any(key in kind.model_fields for kind in KINDS.values()):
                continue
            if own is not None and key in own.model_fields:
                continue
            if home := next(
                (name for name, kind in homes.items() if name != section and key in kind.model_fields), ""
            ):
                path = f"{section}.{key}" if section else key
                found.append(f"{path} belongs to section {home}: write {home}: {{{key}: ...}}")
    return found + _unwrapped(values.get("method"))


def _unwrapped(method: Any) -> list[str]:
    """Keys of modulation in the section of another method, and the other way round, each with its place."""
    if not isinstance(method, Mapping):
        return []
    inner = method.get("method") if method.get("name") == Modulated.name else method
    found = []
    if inner is not method:
        found = [
            f"method.{key} belongs to the method that is modulated: write method: {{method: {{{key}: ...}}}}"
            for key in method
            if key in Ghost.model_fields
        ]
    if not isinstance(inner, Mapping):
        return found
    name = inner.get("name", Ghost.name)
    has = METHODS.find(name).model_fields if name in METHODS.names() else {}
    own = Modulated.model_fields.keys() - has.keys() - {"method"}
    return found + [
        f"method.{'' if inner is method else 'method.'}{key} belongs to method modulated: write method: {{name: "
        f"modulated, method: {{...}}, {key}: ...}}, or --modulate {key}=..."
        for key in inner
        if key in own
    ]


def _in_integers(learning: Mapping[str, Any]) -> dict[str, Any]:
    found = dict(learning)
    if "eta" in found:
        eta = found.pop("eta")
        if not isinstance(eta, int | float) or isinstance(eta, bool) or not eta > 0:
            raise SpecError(f"learning.eta: a number above 0 is needed, got {eta!r:.80}")
        found["eta_exponent"] = exponent_of(nearest_power(float(eta)), "learning.eta")
    if found.get("engine") == "equilibrium":
        raise SpecError(
            "learning.engine equilibrium has no integers; use stepped or lava with arithmetic loihi"
        )
    return found


def one_by_one(run: RunSpec) -> RunSpec:
    """A run in floating point with what goes with learning one sample at a time on Lava, where nothing else is said.

    With `tau_steps` 1 a signal takes one step per layer: the reset and `depth` steps bring the input to the
    output, and `depth` steps the error back to layer 1. These are the shortest phases in which every layer
    learns (docs/results.md).
    """
    depth, method = len(run.hidden) + 1, run.method
    eta = (
        0.02 if isinstance(method, Ghost) else 0.05
    )  # digits, 3 epochs: relaxation 0.968, brainprop 0.936 on 3 seeds
    learning = silent(run.learning, batch_size=1, momentum=0.0, weight_decay=0.0, eta=eta, epochs=3)
    if isinstance(method, Ghost):
        shortest = {"tau_steps": 1.0, "tau_ghost_steps": 1.0, "t_free_steps": depth + 1, "t_nudge_steps": depth}
        method = silent(method, lam=0.25, beta=0.5)
        method = method.model_copy(update={"schedule": silent(run.method.schedule, **shortest)})
    return run.model_copy(update={"learning": learning, "method": method})


def silent(spec: S, **defaults: Any) -> S:
    """`spec` with defaults of another use, for the fields that nobody named."""
    return spec.model_copy(update={k: v for k, v in defaults.items() if k not in spec.model_fields_set})


def values_in(path: Path) -> dict[str, Any]:
    """The keys of a configuration file. Raises `SpecError`, which names it, if it has none that can be read."""
    try:
        values = strict_yaml.read(read_regular(path, MAX_BYTES))
    except OSError as error:
        raise SpecError(
            f"cannot read configuration {path}: {error.strerror}; name a file with a few lines of YAML"
        ) from error
    except ValueError as error:
        raise SpecError(f"{path} is not valid YAML ({error}); see the example in the README") from error
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise SpecError(f"{path} holds a {type(values).__name__}; give keys such as dataset and hidden")
    return values
