"""Figures with unit, source and confidence, which a hardware configuration is made of.

    Figure   an amount of energy, time or power, 0 or more
    Count    how many there are of something: a whole number, 1 or more, or unlimited; `Finite` is not unlimited
    Width    bits of one number, whole, 1 or more; `Extra` bits may be none

A figure is a mapping `{value, unit, source, confidence}`; `source` names an entry of the file's `sources`.
What nobody has published is `value: null`, or left out, and every rule that needs it answers "unknown".
Nothing is coerced: `"128"` and `true` are not numbers, and unknown keys are refused by their path.
"""

import math
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    Field,
    PlainValidator,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from lavaghost.base.spec import Spec

Confidence = Literal["documented", "secondary", "unverified"]
"""`documented`: by the maker, or in code that drives the chip; `secondary`: others report it or it is derived;
`unverified`: one source, or sources that disagree."""

TextFigure = Annotated[str, Field(min_length=1, max_length=500)]


MOST = 10**12
"""Of anything that is counted; beyond any machine, and small enough to compute with."""
WIDEST = 128
"""Bits of one number."""
LARGEST = 1e9
"""J, s or W of anything."""


def to_tuple(value: Any) -> Any:
    """YAML and JSON have lists where values here are tuples."""
    return tuple(value) if isinstance(value, list) else value


def _plain(value: Any, also: str) -> int | float | None:
    """A number, or None for null; `also` says what else may be written."""
    if value is None:
        return None
    if isinstance(value, str):
        raise ValueError("text is no number; write it without quotes, with a point in it if it has an exponent")
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"write a number, {also}")
    return value


def _number(value: Any) -> float | None:
    """An amount, or None for null."""
    number = _plain(value, _NULL)
    if number is not None and not 0 <= number <= LARGEST:
        raise ValueError(f"write a finite number from 0 to {LARGEST:g}, {_NULL}")
    return number


def _whole(least: int, most: int, also: str) -> PlainValidator:
    """Checks for a whole number; 3.0 is one, and becomes 3."""

    def check(value: Any) -> int | float | None:
        if value == "unlimited" and "unlimited" in also:
            return math.inf
        number = _plain(value, also)
        # not a number compares as false with every limit
        if number is not None and not (least <= number <= most and number == int(number)):
            raise ValueError(f"write a whole number from {least:,} to {most:,}, {also}")
        return None if number is None else int(number)

    return PlainValidator(check)


def _published(kind: str, least: int, most: float, unlimited: bool) -> WithJsonSchema:
    number = {"type": kind, "minimum": least, "maximum": most}
    others = [{"const": "unlimited"}] if unlimited else []
    return WithJsonSchema({"anyOf": [number, *others, {"type": "null"}]})


_NULL = "or null for unknown"
_OPEN = "null for unknown, or unlimited"
Number = Annotated[float | None, PlainValidator(_number), _published("number", 0, LARGEST, False)]
Counted = Annotated[float | None, _whole(1, MOST, _OPEN), _published("integer", 1, MOST, True)]
Whole = Annotated[float | None, _whole(1, MOST, _NULL), _published("integer", 1, MOST, False)]
Bits = Annotated[float | None, _whole(1, WIDEST, _NULL), _published("integer", 1, WIDEST, False)]
ExtraBits = Annotated[float | None, _whole(0, WIDEST, _NULL), _published("integer", 0, WIDEST, False)]


class Sourced(Spec):
    """Anything that somebody says: by whom, and how far it can be trusted."""

    source: TextFigure | None = None
    confidence: Confidence | None = None
    note: TextFigure | None = None

    def _check(self, known: bool) -> None:
        if known and (self.source is None or self.confidence is None):
            raise ValueError("a figure needs its source and confidence; add both, or make the value null")
        if not known and self.confidence is not None:
            raise ValueError("an unknown figure has no confidence; remove it, or give the value")


class Figure(Sourced):
    """One number with its unit. `enforce: false` reports it without refusing anything because of it."""

    value: Number = None
    unit: TextFigure
    enforce: bool = True

    @model_validator(mode="after")
    def _known_or_not(self) -> "Figure":
        self._check(self.value is not None)
        return self

    @property
    def limit(self) -> float | None:
        """The value that rules enforce; None is unknown."""
        return self.value if self.enforce else None


class CountFigure(Figure):
    """How many there are of something."""

    value: Counted = None


class Finite(CountFigure):
    """How many of something that cannot be unlimited."""

    value: Whole = None


class Width(Figure):
    """Bits of one number."""

    value: Bits = None


class Extra(Figure):
    """Bits that are added to something, and may be none."""

    value: ExtraBits = None


class Figures(Sourced):
    """Several counts of one unit: one for each core, or the choices that there are."""

    values: Annotated[
        tuple[Annotated[int, Field(ge=1, le=MOST)], ...], BeforeValidator(to_tuple), Field(max_length=4096)
    ] = ()
    unit: TextFigure

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


class Choices(Figures):
    """Widths that there are."""

    values: Annotated[
        tuple[Annotated[int, Field(ge=1, le=WIDEST)], ...], BeforeValidator(to_tuple), Field(max_length=WIDEST)
    ] = ()


def figure_field(kind: type[Figure] | type[Figures], unit: str) -> Any:
    """A field for a figure of this kind in `unit`, unknown unless it is given."""
    return Field(default=kind(unit=unit), json_schema_extra={"x-unit": unit})


class WithUnits(Spec):
    """A section whose figures have a prescribed unit."""

    def figures(self) -> Iterator[tuple[str, Figure | Figures]]:
        """Every figure with its key."""
        for key in type(self).model_fields:
            value = getattr(self, key)
            if isinstance(value, Figure | Figures):
                yield key, value

    @field_validator("*", mode="after")
    @classmethod
    def _units(cls, held: Any, info: ValidationInfo) -> Any:
        extra = cls.model_fields[info.field_name or ""].json_schema_extra
        unit = extra.get("x-unit") if isinstance(extra, dict) else None
        if isinstance(held, Figure | Figures) and unit is not None and held.unit != unit:
            raise ValueError(f"unit is {held.unit!r:.80}; write {unit!r} and convert the value")
        return held
