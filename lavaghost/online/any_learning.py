"""How a run learns, in either arithmetic: one field of a description, told apart by `arithmetic`."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import PlainSerializer, PlainValidator, WithJsonSchema

from lavaghost.base.errors import SpecError
from lavaghost.base.spec import Spec, parse
from lavaghost.methods.learning import Learning
from lavaghost.online.integers.settings import IntegerLearning

KINDS: Mapping[str, type[Spec]] = {"float": Learning, "loihi": IntegerLearning}
"""The class of each arithmetic."""


def learning_of(values: Any) -> Learning | IntegerLearning:
    """Settings from a value or from plain ones, in float unless they say otherwise. Raises `SpecError`."""
    if isinstance(values, Learning | IntegerLearning):
        return values
    if not isinstance(values, Mapping):
        raise SpecError(f"learning is {values!r:.80}; give settings by name")
    kind = values.get("arithmetic", "float")
    if kind not in KINDS:
        raise SpecError(f"learning.arithmetic is {kind!r:.80}; use {' or '.join(KINDS)}")
    found: Any = parse(KINDS[kind], values, "learning")
    return found


def _valid(values: Any) -> Learning | IntegerLearning:
    try:
        return learning_of(values)
    except SpecError as error:
        raise ValueError(str(error)) from error


AnyLearning = Annotated[
    Learning | IntegerLearning,
    PlainValidator(_valid),
    PlainSerializer(lambda learning: learning.model_dump(mode="json")),
    WithJsonSchema({"anyOf": [kind.model_json_schema() for kind in KINDS.values()]}),
]
"""A field of a description that holds either."""
