"""A run's configuration file: strict YAML with the fields of `Physics` and `Learning` under their names.

    dataset: digits
    hidden: [128]
    network: {mechanism: duplicate, lam: 0.1}
    learning: {rule: prediction, epochs: 30, seed: 1}

and, to learn in the integers of a chip:

    arithmetic: loihi
    integer: {rounding: shared, halve_at: [0.5, 0.8]}

Options of the command line win over the file. Unknown keys are refused by their path.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lavaghost.base import strict_yaml
from lavaghost.base.errors import SpecError
from lavaghost.base.files import read_regular
from lavaghost.base.names import ArithmeticName, Engine
from lavaghost.base.spec import HiddenSizes, Spec, parse
from lavaghost.datasets import Dataset
from lavaghost.net.spec import Learning, Network, Physics, online_defaults, usual_eta, usual_rule
from lavaghost.numbers.widths import DEFAULT, LoihiWidths, exponent_of, nearest_power
from lavaghost.online.integers.settings import (
    IntegerLearning,
    check_integer,
    default_formats,
    suited,
)

MAX_BYTES = 1 << 20


class RunConfig(Spec):
    """One training run; `hidden` lists the hidden layers, the data set gives the sizes of the others."""

    dataset: str = "digits"
    hidden: HiddenSizes = (128,)
    network: Physics = Physics()
    learning: Learning = Learning()
    arithmetic: ArithmeticName = "float"
    integer: IntegerLearning = IntegerLearning()
    """For arithmetic loihi: what it names wins over `learning`."""

    def network_for(self, n_inputs: int, n_classes: int) -> Network:
        """The network of this run between `n_inputs` and `n_classes`."""
        return Network(layers=(n_inputs, *self.hidden, n_classes), **dict(self.network))


def read_config(
    path: Path | None, overrides: Mapping[str, Any], defaults: Mapping[str, Any] | None = None
) -> RunConfig:
    """The configuration in `path` over the defaults, with `overrides` such as `{"learning": {"epochs": 3}}`.

    Where no rule is named, it is the usual one of the mechanism, and eta that of the number of layers; engine
    'lava' has defaults of its own, since it learns one sample at a time (`spec.online_defaults`).

    Raises `SpecError` with every fault by its path; `path` itself is named if it cannot be read.
    """
    values = _read(path) if path is not None else {}
    where = str(path) if path is not None else ""
    values = _merged(_merged(defaults or {}, values), overrides)
    run = parse(RunConfig, values, where)
    if run.learning.engine == "lava" and run.arithmetic == "float":
        values = _merged(online_defaults(len(run.hidden) + 1), values)
        run = parse(RunConfig, values, where)
    usual = {"rule": usual_rule(run.network.mechanism), "eta": usual_eta(len(run.hidden) + 1)}
    silent = {name: value for name, value in usual.items() if name not in values.get("learning", {})}
    return run.model_copy(update={"learning": run.learning.model_copy(update=silent)})


def engine_of(run: RunConfig) -> Engine:
    """The engine of a run; in integers, which know no equilibrium, stepped unless it is named. Raises `SpecError`."""
    if run.arithmetic == "float":
        return run.learning.engine
    if "engine" not in run.learning.model_fields_set:
        return "stepped"
    if run.learning.engine == "equilibrium":
        raise SpecError(
            "learning.engine equilibrium has no integers; use stepped or lava with arithmetic loihi"
        )
    return run.learning.engine


def integer_run(
    run: RunConfig, data: Dataset, widths: LoihiWidths = DEFAULT
) -> tuple[Network, IntegerLearning]:
    """Network and learning that a configuration means in integers.

    What is named of a network is taken as it is, the rest is `suited` to integers; one sample at a time, eta as the
    nearest power of two, 2^-6 unless it is named. Raises `SpecError` for what integers cannot do.
    """
    named = run.network.model_fields_set
    network = suited(run.network_for(data.n_inputs, data.n_classes), widths)
    network = network.model_copy(update={name: getattr(run.network, name) for name in named})
    if network.activation == "hard_sigmoid" and "saturation" not in named:
        network = network.model_copy(update={"saturation": None})  # it saturates at 1 by definition
    learning: dict[str, Any] = {"rule": run.learning.rule, "seed": run.learning.seed}
    if "epochs" in run.learning.model_fields_set:
        learning["epochs"] = run.learning.epochs
    if "eta" in run.learning.model_fields_set:
        learning["eta_exponent"] = exponent_of(nearest_power(run.learning.eta), "learning.eta")
    learning |= {name: getattr(run.integer, name) for name in run.integer.model_fields_set}
    found = parse(IntegerLearning, learning, "learning")
    check_integer(network, found, default_formats(network, widths), widths)
    return network, found


def _read(path: Path) -> dict[str, Any]:
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


def _merged(values: Any, overrides: Mapping[str, Any]) -> dict[str, Any]:
    """`overrides` laid over `values`, section by section."""
    merged = dict(values)
    for key, value in overrides.items():
        if isinstance(value, Mapping):
            section = merged.get(key, {})
            # a section that is not a mapping is left for the schema to refuse
            merged[key] = _merged(section, value) if isinstance(section, dict) else section
        else:
            merged[key] = value
    return merged
