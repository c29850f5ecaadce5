"""Strict, frozen descriptions: the base of every schema, and one line of faults for every input.

A description is a value: validated once, hashable, never changed. Unknown keys are refused by their path and nothing
is coerced (`"3"` is not 3, nor is 3.0). NumPy's scalars and arrays are taken for the Python numbers that they hold,
and kept as these. `parse` turns all faults of an input into one `SpecError` line.
"""

from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from lavaghost.base.errors import SpecError, join_faults
from lavaghost.base.records import MAX_TEXT

MAX_UNITS = 1_000_000
"""Largest layer accepted; a bound against typing errors, far above any chip's core."""


def _no_bool(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("a number is needed, not true or false")
    return value


def _plain(value: Any) -> Any:
    """NumPy scalars and arrays, and those inside a list or tuple, as Python values."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, list | tuple):
        return type(value)(_plain(part) for part in value) if type(value) in (list, tuple) else value
    return value


def listed(value: Any) -> Any:
    """A list as a tuple, for annotations; anything else as it is."""
    return tuple(value) if isinstance(value, list) else value


Size = Annotated[int, Field(ge=1, le=MAX_UNITS)]
Sizes = Annotated[tuple[Size, ...], BeforeValidator(listed), Field(min_length=3, max_length=64)]
HiddenSizes = Annotated[tuple[Size, ...], BeforeValidator(listed), Field(min_length=1, max_length=62)]
Positive = Annotated[float, BeforeValidator(_no_bool), Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, BeforeValidator(_no_bool), Field(ge=0, allow_inf_nan=False)]
Text = Annotated[str, Field(max_length=MAX_TEXT)]
Count = Annotated[int, Field(ge=1, le=10**9)]


class Spec(BaseModel):
    """Base of all descriptions: strict, frozen, no unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    @model_validator(mode="before")
    @classmethod
    def _plain_values(cls, values: Any) -> Any:
        return {key: _plain(value) for key, value in values.items()} if isinstance(values, dict) else values


S = TypeVar("S", bound=Spec)


def parse(model: type[S], values: Mapping[str, Any], where: str = "") -> S:
    """`values` as a `model`. Raises `SpecError` with every fault, each by its path."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise SpecError(join_faults(_faults(error, model, where))) from None


def _faults(error: ValidationError, model: type[BaseModel], where: str) -> list[str]:
    lines = []
    for fault in error.errors():
        path = ".".join(str(part) for part in fault["loc"])
        path = f"{where}.{path}" if where and path else where or path or model.__name__.lower()
        if fault["type"] == "extra_forbidden":
            known = ", ".join(sorted(_fields_at(model, fault["loc"][:-1])))
            lines.append(f"{path}: unknown key; known keys are {known or 'none'}")
            continue
        text = fault["msg"].removeprefix("Value error, ")
        if text.startswith(_own(fault["loc"])):
            # a part that is parsed by a class of its own names its faults itself
            lines.append(f"{where}.{text}" if where else text)
            continue
        shown = "" if isinstance(fault["input"], dict | Spec) else f", got {fault['input']!r:.80}"
        lines.append(f"{path}: {text[:1].lower()}{text[1:]}{shown}")
    return lines


def _own(path: tuple[int | str, ...]) -> tuple[str, ...]:
    return (f"{path[-1]}.", f"{path[-1]} ") if path else ()


def _fields_at(model: type[BaseModel], path: tuple[int | str, ...]) -> list[str]:
    for part in path:
        field = model.model_fields.get(str(part))
        inner = field.annotation if field else None
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            break
        model = inner
    return list(model.model_fields)
