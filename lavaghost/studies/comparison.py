"""What a comparison is: rows that differ in method, settings or size, on data sets and seeds, as one value.

    title: Ghosts beside backprop
    datasets: [digits, mnist]          # `--dataset mnist=FOLDER` says where one lies
    seeds: [0, 1, 2]
    base: {hidden: [128], learning: {epochs: 20}}       # what all rows have, in sections of a `RunSpec`
    methods:
      - backprop
      - {label: ghosts that learn, method: {name: ghost, mechanism: learned}, learning: {epochs: 30}}
    published:
      - {label: backprop, accuracy_percent: 98.4, architecture: 784-500-10, epochs: 50, selected_on: test set,
         source: where it stands}

Every row on every data set with every seed is a run of its own (`compare_plan.ComparedRun`).
"""

import re
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from lavaghost.base.errors import join_faults
from lavaghost.base.spec import HiddenSizes, Positive, Spec, Text, listed, parse
from lavaghost.run.spec import values_in

USUAL_CONTROL = "backprop"


def _shown(text: str) -> str:
    if not text.isprintable() or text != text.strip():
        raise ValueError("a name is printable text in one line, without blanks around it")
    return text


Label = Annotated[str, Field(min_length=1, max_length=80), AfterValidator(_shown)]
Labels = Annotated[tuple[Label, ...], BeforeValidator(listed), Field(min_length=1, max_length=50)]
Seeds = Annotated[
    tuple[Annotated[int, Field(ge=0, lt=2**63)], ...],
    BeforeValidator(listed),
    Field(min_length=1, max_length=1000),
]


class Sections(Spec):
    """What rows may say of their runs: sections of a `RunSpec`, and the method by its name or with its settings."""

    hidden: HiddenSizes | None = None
    network: dict[str, Any] = Field(default_factory=dict)
    method: str | dict[str, Any] | None = None
    learning: dict[str, Any] = Field(default_factory=dict)

    def values(self) -> dict[str, Any]:
        """What is said, as the values of a `RunSpec`; a method is named in a section."""
        found = {name: getattr(self, name) for name in Sections.model_fields if name in self.model_fields_set}
        method = found.get("method")
        return found | {"method": {"name": method}} if isinstance(method, str) else found


class MethodRow(Sections):
    """A row: what differs from `CompareSpec.base`; called as its method is unless it has a label."""

    label: Label | None = None

    @property
    def name(self) -> str:
        """What it is called."""
        if self.label is not None:
            return self.label
        return self.method if isinstance(self.method, str) else (self.method or {}).get("name", "")


class PublishedFigure(Spec):
    """A figure of somebody else, shown beside the row `label` on `dataset`: test accuracy, and how it came about.

    accuracy_percent   None where it could not be read
    selected_on        what the authors chose the figure or its epoch on, such as `test set`
    """

    label: Label
    dataset: Label | None = None
    accuracy_percent: Annotated[float, Field(ge=0, le=100)] | None = None
    epochs: Annotated[int, Field(ge=1)] | None = None
    architecture: Text = ""
    selected_on: Text = ""
    source: Text = ""


def _rows(value: Any) -> Any:
    value = listed(value)
    if not isinstance(value, tuple):
        return value
    return tuple({"method": row} if isinstance(row, str) else row for row in value)


class CompareSpec(Spec):
    """See the module.

    control   the row to which wall times are ratios; backprop where there is such a row
    reach     test accuracy, a share, of which it is told how many operations it took; see `compare_rows.reached`

    Example: `parse(CompareSpec, {"methods": ["backprop", "ghost"]})`.
    """

    title: Label = "Comparison"
    datasets: Labels = ("digits",)
    seeds: Seeds = (0, 1, 2)
    base: Sections = Sections()
    methods: Annotated[tuple[MethodRow, ...], BeforeValidator(_rows), Field(min_length=1, max_length=50)]
    control: Label | None = None
    reach: Annotated[Positive, Field(le=1)] | None = None
    published: Annotated[tuple[PublishedFigure, ...], BeforeValidator(listed), Field(max_length=100)] = ()

    @model_validator(mode="after")
    def _together(self) -> "CompareSpec":
        labels = self.labels
        faults = [f"methods.{i} names no method; give it a label" for i, name in enumerate(labels) if not name]
        for what, names in (("rows", labels), ("data sets", self.datasets)):
            faults += _same_folder(what, [name for name in names if name])
        if len(set(self.seeds)) < len(self.seeds):
            faults.append(f"seeds {list(self.seeds)} has one twice; name each once")
        for where, part in (("base", self.base), *((f"row {row.name!r}", row) for row in self.methods)):
            if "seed" in part.learning:
                faults.append(f"{where}: learning.seed is what seeds are; leave it out")
        if self.control is not None and self.control not in labels:
            faults.append(f"control {self.control!r} is no row; there are {', '.join(labels)}")
        for row in self.published:
            if row.dataset is not None and row.dataset not in self.datasets:
                faults.append(
                    f"published {row.label!r}: {row.dataset!r} is none of the data sets; name one of them"
                )
            if row.dataset is None and len(self.datasets) > 1:
                faults.append(f"published {row.label!r}: there are several data sets; say which with dataset")
        if faults:
            raise ValueError(join_faults(faults))
        return self

    @property
    def labels(self) -> tuple[str, ...]:
        """What rows are called."""
        return tuple(row.name for row in self.methods)

    @property
    def measured_by(self) -> str | None:
        """The row that is the control, if there is one."""
        return self.control or next((name for name in self.labels if name == USUAL_CONTROL), None)


def _same_folder(what: str, names: list[str]) -> list[str]:
    """Labels that would have one folder, a line each."""
    by_folder: dict[str, list[str]] = {}
    for name in names:
        by_folder.setdefault(folder_name(name), []).append(name)
    found = [
        f"{what} {' and '.join(map(repr, same))} are named alike" for same in by_folder.values() if same[1:]
    ]
    if "" in by_folder:
        found.append(f"{what} {', '.join(map(repr, by_folder['']))} have no letter or digit")
    return [f"{line}; give each a label of its own" for line in found]


def folder_name(name: str) -> str:
    """The folder of a row or of a data set: letters and digits."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def read_comparison(path: Path) -> CompareSpec:
    """The comparison that a YAML file describes. Raises `SpecError` with every fault by its path."""
    return parse(CompareSpec, values_in(path), str(path))
