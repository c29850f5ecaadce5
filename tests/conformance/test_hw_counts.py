"""Every count of the schema is whole and at least one, every width too, every amount finite: found by their types."""

import math
import re
from typing import Any

import pytest
import yaml

from lavaghost.base.errors import SpecError
from lavaghost.hardware.catalogue import parse_chip
from lavaghost.hardware.figures import Choices, CountFigure, Extra, Figure, Figures, Finite, Width
from lavaghost.hardware.schema import Energy, Hardware, Latency, Limits, Mesh, Plasticity, SynapseMemory, Widths

SECTIONS = {
    "limits": Limits,
    "memory": SynapseMemory,
    "plasticity": Plasticity,
    "widths": Widths,
    "energy": Energy,
    "latency": Latency,
    "mesh": Mesh,
}
FIGURES = {
    f"{section}.{key}": field.default
    for section, model in SECTIONS.items()
    for key, field in model.model_fields.items()
    if isinstance(field.default, Figure | Figures)
}
COUNTS = {path: f for path, f in FIGURES.items() if isinstance(f, CountFigure | Width | Extra | Figures)}
NEVER = (-1, 0.5, 13.5, True, math.nan, math.inf, -math.inf, "3", "nan", [3], {"a": 1}, 10**13, 1e30)


def made(values: dict[str, Any]) -> bytes:
    """A configuration with these values of figures, all else well."""
    root: dict[str, Any] = {
        "format": "lavaghost.hardware",
        "version": "1.0",
        "name": "odd1",
        "title": "odd chip",
        "sources": {"me": "my notes"},
    }
    for path, value in values.items():
        section, key = path.split(".")
        held = "values" if isinstance(FIGURES[path], Figures) else "value"
        figure = {"unit": FIGURES[path].unit, "source": "me", "confidence": "unverified"}
        root.setdefault(section, {})[key] = {held: [value] if held == "values" else value, **figure}
    if "memory" in root:
        root["memory"]["formula"] = "per_synapse"
    return yaml.safe_dump(root).encode()


@pytest.mark.parametrize("path", COUNTS)
def test_a_count_is_whole_and_at_least_one(path: str) -> None:
    may_be_none = isinstance(COUNTS[path], Extra)
    for value in NEVER if may_be_none else (0, *NEVER):
        with pytest.raises(SpecError, match=re.escape(f"odd.yaml: {path}.value")) as caught:
            parse_chip(made({path: value}), "odd.yaml")
        assert "\n" not in str(caught.value)
    if may_be_none:
        assert parse_chip(made({path: 0}), "odd.yaml")


@pytest.mark.parametrize("path", COUNTS)
def test_a_good_count_is_taken(path: str) -> None:
    """1 and 3.0 are whole; unlimited is a count, but no width."""
    if path.startswith("mesh") or path == "latency.barrier_tiles":
        return  # complete by other keys only
    section, key = path.split(".")
    assert parse_chip(made({path: 1}), "odd.yaml")
    if not isinstance(COUNTS[path], Figures):
        figure = getattr(getattr(parse_chip(made({path: 3.0}), "odd.yaml"), section), key)
        assert (figure.value, type(figure.value)) == (3, int)
        if isinstance(COUNTS[path], CountFigure) and not isinstance(COUNTS[path], Finite):
            assert parse_chip(made({path: "unlimited"}), "odd.yaml")
        else:
            with pytest.raises(SpecError, match=re.escape(path)):
                parse_chip(made({path: "unlimited"}), "odd.yaml")


def test_all_counts_that_are_wrong_are_named_together() -> None:
    with pytest.raises(SpecError) as caught:
        parse_chip(made(dict.fromkeys(COUNTS, -1)), "odd.yaml")
    for path in COUNTS:
        assert f"{path}.value" in str(caught.value)


@pytest.mark.parametrize("path", sorted(set(FIGURES) - set(COUNTS)))
def test_amounts_are_finite(path: str) -> None:
    for value in (-1.0, math.inf, math.nan, 1e30, "unlimited", True):
        with pytest.raises(SpecError, match=re.escape(f"{path}.value")):
            parse_chip(made({path: value}), "odd.yaml")
    assert parse_chip(made({path: 0}), "odd.yaml")


def test_the_schema_that_is_published_says_so_too() -> None:
    defs = Hardware.model_json_schema()["$defs"]
    number = {
        name: defs[name]["properties"]["value"]["anyOf"][0]
        for name in ("CountFigure", "Finite", "Width", "Extra")
    }
    assert {name: (n["type"], n["minimum"]) for name, n in number.items()} == {
        "CountFigure": ("integer", 1),
        "Finite": ("integer", 1),
        "Width": ("integer", 1),
        "Extra": ("integer", 0),
    }
    assert defs["Choices"]["properties"]["values"]["items"] == {"type": "integer", "minimum": 1, "maximum": 128}
    assert isinstance(COUNTS["limits.weight_bits"], Choices)


def test_one_memory_for_each_core() -> None:
    with pytest.raises(SpecError, match="bias_words_per_core has 1 values for 9 cores"):
        parse_chip(made({"limits.cores": 9, "limits.bias_words_per_core": 1024}), "odd.yaml")
    with pytest.raises(SpecError, match="at most 1,000,000 are placed"):
        parse_chip(
            made({"mesh.width": 10_000, "mesh.height": 10_000, "mesh.cores_per_tile": 10_000}), "odd.yaml"
        )
