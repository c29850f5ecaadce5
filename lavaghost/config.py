"""A run's configuration file: strict YAML with the fields of `Physics` and `Learning` under their names.

    dataset: digits
    hidden: [128]
    network: {mechanism: duplicate, lam: 0.1}
    learning: {rule: prediction, epochs: 30, seed: 1}

Options of the command line win over the file. Unknown keys are refused by their path.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from lavaghost.errors import SpecError
from lavaghost.spec import HiddenSizes, Learning, Network, Physics, Spec, online_defaults, parse, usual_rule

MAX_BYTES = 1 << 20


class RunConfig(Spec):
    """One training run; `hidden` lists the hidden layers, the data set gives the sizes of the others."""

    dataset: str = "digits"
    hidden: HiddenSizes = (128,)
    network: Physics = Physics()
    learning: Learning = Learning()

    def network_for(self, n_inputs: int, n_classes: int) -> Network:
        """The network of this run between `n_inputs` and `n_classes`."""
        return Network(layers=(n_inputs, *self.hidden, n_classes), **dict(self.network))


def read_config(
    path: Path | None, overrides: Mapping[str, Any], defaults: Mapping[str, Any] | None = None
) -> RunConfig:
    """The configuration in `path` over the defaults, with `overrides` such as `{"learning": {"epochs": 3}}`.

    Where no rule is named, it is the usual one of the mechanism; engine 'lava' has defaults of its own, since it
    learns one sample at a time (`spec.online_defaults`).

    Raises `SpecError` with every fault by its path; `path` itself is named if it cannot be read.
    """
    values = _read(path) if path is not None else {}
    where = str(path) if path is not None else ""
    values = _merged(_merged(defaults or {}, values), overrides)
    run = parse(RunConfig, values, where)
    if run.learning.engine == "lava":
        values = _merged(online_defaults(len(run.hidden) + 1), values)
        run = parse(RunConfig, values, where)
    if "rule" in values.get("learning", {}):
        return run
    rule = usual_rule(run.network.mechanism)
    return run.model_copy(update={"learning": run.learning.model_copy(update={"rule": rule})})


def _read(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise SpecError(f"{path} is larger than 1 MiB; a configuration is a few lines of YAML")
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise SpecError(f"cannot read configuration {path}: {reason}; name a YAML file") from error
    try:
        if any(isinstance(token, yaml.AliasToken) for token in yaml.scan(text)):
            raise SpecError(f"{path} uses YAML aliases; write the values out")
        values = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        place = f" in line {mark.line + 1}" if mark is not None else ""
        if isinstance(error, SpecError):
            raise
        raise SpecError(f"{path} is not valid YAML{place}; see the example in the README") from error
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
