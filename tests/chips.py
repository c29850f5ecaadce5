"""Chips that nobody sells: those of `hw_configs/` with other figures."""

import math
from functools import cache

from lavaghost.hardware.catalogue import load_chip
from lavaghost.hardware.demand import REACHES, Share
from lavaghost.hardware.figures import CountFigure, Extra, Figure, Flag, Width
from lavaghost.hardware.schema import Hardware

once = cache(load_chip)
"""Read once; they are frozen."""
UNITS = {"payload_bits": "bits", "cores": "cores", "cores_reached": "cores", "state_bits": "bits"}
KINDS: dict[str, type[Figure]] = {"payload_bits": Extra, "state_bits": Width}


def figure(key: str, value: float | None) -> Figure:
    """A limit that we made up; None is unknown."""
    kind, unit = KINDS.get(key, CountFigure), UNITS.get(key, key.removesuffix("_per_core").rpartition("_")[2])
    if value is None:
        return kind(unit=unit)
    known = "unlimited" if value == math.inf else value
    return kind.model_validate({"value": known, "unit": unit, "source": "lava", "confidence": "unverified"})


def with_limits(name: str, **limits: float | None) -> Hardware:
    """The chip `name` with other limits."""
    chip = once(name)
    made = {key: figure(key, value) for key, value in limits.items()}
    return chip.model_copy(update={"limits": chip.limits.model_copy(update=made)})


def learning_loihi1(**limits: float | None) -> Hardware:
    """Loihi 1, if its spikes carried numbers, its rules had three factors, and its traces took no room."""
    chip = with_limits("loihi1", **{"payload_bits": 32, "trace_bits_per_core": math.inf, **limits})
    yes = Flag(value=True, source="lava", confidence="unverified")
    return chip.model_copy(update={"plasticity": chip.plasticity.model_copy(update={"third_factor": yes})})


def share(kind: str, n_pre: int, n_post: int, plastic: bool = False) -> Share:
    """A whole projection of a kind."""
    counted = REACHES[kind](n_pre, n_post)
    return Share("a", "b", "feedforward", n_pre, n_post, *counted, plastic=plastic)
