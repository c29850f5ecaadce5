"""Figures with unit, source and confidence, which a hardware configuration is made of.

A figure is a mapping `{value, unit, source, confidence}`; `source` names an entry of the file's `sources`.
What nobody has published is `value: null`, or left out, and every rule that needs it answers "unknown".
Nothing is coerced: `"128"` and `true` are not numbers, and unknown keys are refused by their path.
"""

import math
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PlainValidator, WithJsonSchema, model_validator

from lavaghost.spec import Spec

Confidence = Literal["documented", "secondary", "unverified"]
"""`documented`: by the maker, or in code that drives the chip; `secondary`: others report it or it is derived;
`unverified`: one source, or sources that disagree."""

Text = Annotated[str, Field(min_length=1, max_length=500)]


def to_tuple(value: Any) -> Any:
    """YAML and JSON have lists where values here are tuples."""
    return tuple(value) if isinstance(value, list) else value


def _number(value: Any) -> float | None:
    """A number that is 0 or more, infinity for "unlimited", None for null."""
    if value is None:
        return None
    if value == "unlimited":
        return math.inf
    if isinstance(value, str):
        raise ValueError("text is no number; write it without quotes, with a point in it if it has an exponent")
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("write a number, null for unknown, or unlimited")
    if not (math.isfinite(value) and value >= 0):
        raise ValueError("write a finite number that is 0 or more, null for unknown, or unlimited")
    return value


Number = Annotated[
    float | None,
    PlainValidator(_number),
    WithJsonSchema({"anyOf": [{"type": "number", "minimum": 0}, {"const": "unlimited"}, {"type": "null"}]}),
]


class Sourced(Spec):
    """Anything that somebody says: by whom, and how far it can be trusted."""

    source: Text | None = None
    confidence: Confidence | None = None
    note: Text | None = None

    def _check(self, known: bool) -> None:
        if known and (self.source is None or self.confidence is None):
            raise ValueError("a figure needs its source and confidence; add both, or make the value null")
        if not known and self.confidence is not None:
            raise ValueError("an unknown figure has no confidence; remove it, or give the value")


class Figure(Sourced):
    """One number with its unit. `enforce: false` reports it without refusing anything because of it."""

    value: Number = None
    unit: Text
    enforce: bool = True

    @model_validator(mode="after")
    def _known_or_not(self) -> "Figure":
        self._check(self.value is not None)
        return self

    @property
    def limit(self) -> float | None:
        """The value that rules enforce; None is unknown."""
        return self.value if self.enforce else None


class Figures(Sourced):
    """Several numbers of one unit: one for each core, or the choices that there are."""

    values: Annotated[
        tuple[Annotated[int, Field(ge=0, le=10**12)], ...], BeforeValidator(to_tuple), Field(max_length=4096)
    ] = ()
    unit: Text

    @model_validator(mode="after")
    def _known_or_not(self) -> "Figures":
        self._check(bool(self.values))
        return self


class Flag(Sourced):
    """Yes, no, or unknown."""

    value: bool | None = None

    @model_validator(mode="after")
    def _known_or_not(self) -> "Flag":
        self._check(self.value is not None)
        return self


def figure(unit: str) -> Any:
    """A field for one figure in `unit`, unknown unless it is given."""
    return Field(default=Figure(unit=unit), json_schema_extra={"x-unit": unit})


def figure_list(unit: str) -> Any:
    """A field for several figures in `unit`."""
    return Field(default=Figures(unit=unit), json_schema_extra={"x-unit": unit})


class WithUnits(Spec):
    """A section whose figures have a prescribed unit."""

    def figures(self) -> Iterator[tuple[str, Figure | Figures]]:
        """Every figure with its key."""
        for key in type(self).model_fields:
            value = getattr(self, key)
            if isinstance(value, Figure | Figures):
                yield key, value

    @model_validator(mode="after")
    def _units(self) -> "WithUnits":
        for key, held in self.figures():
            extra = type(self).model_fields[key].json_schema_extra
            unit = extra.get("x-unit") if isinstance(extra, dict) else None
            if unit is not None and held.unit != unit:
                raise ValueError(f"{key}.unit is {held.unit!r}; write {unit!r} and convert the value")
        return self
