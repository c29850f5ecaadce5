"""What a comparison means with its data: every run, all decided, and all that cannot work refused together."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from lavaghost.base.errors import DataError, SpecError, join_faults
from lavaghost.datasets import Dataset, load, warn_of
from lavaghost.run.job import Job, prepared
from lavaghost.run.spec import RunSpec, merged, resolved
from lavaghost.studies.comparison import CompareSpec, folder_name


def loaded(comparison: CompareSpec, sources: Mapping[str, str]) -> dict[str, Dataset]:
    """The data sets by their names, from `sources` where those say so. Raises `DataError` with all faults."""
    faults, found = [], {}
    for name in comparison.datasets:
        try:
            found[name] = load(sources.get(name, name))
        except DataError as error:
            hint = "" if name in sources else f"; or say where {name} lies with --dataset {name}=FOLDER"
            faults.append(f"{error}{hint}")
    if unknown := [name for name in sources if name not in comparison.datasets]:
        known = ", ".join(comparison.datasets)
        faults.append(
            f"--dataset {', '.join(unknown)}: the comparison has the data sets {known}; name one of them"
        )
    if faults:
        raise DataError(join_faults(faults))
    for data in found.values():
        warn_of(data)
    return found


@dataclass(frozen=True, eq=False)
class ComparedRun:
    """One run of a comparison, with what is known of it before it runs.

    layers       n_0..n_L
    samples      training samples of an epoch; before: of pre-training
    operations   multiplications for a training sample as computed here; in_time: as a chip steps it
    """

    dataset: str
    label: str
    seed: int
    spec: RunSpec
    identity: str
    layers: tuple[int, ...]
    samples: int
    before: int
    operations: int
    in_time: int

    @property
    def folder(self) -> Path:
        """Where the run lies in the folder of the comparison."""
        return Path("runs", folder_name(self.dataset), folder_name(self.label), f"seed-{self.seed}")

    @property
    def text(self) -> str:
        """How it is named to a person."""
        return f"{self.label}, {self.dataset}, seed {self.seed}"


def planned(comparison: CompareSpec, data: Mapping[str, Dataset]) -> tuple[ComparedRun, ...]:
    """Every run of `comparison`, in the order of its data sets, seeds and rows.

    Raises `SpecError` with the faults of all rows together; nothing is learned.
    """
    faults: list[str] = []
    cells: dict[tuple[str, int, str], ComparedRun] = {}
    for row in comparison.methods:
        try:
            spec = resolved(merged(comparison.base.values(), row.values()), f"row {row.name!r}")
        except SpecError as error:
            faults.append(str(error))
            continue
        for dataset, samples in data.items():
            try:
                job = prepared(spec.model_copy(update={"dataset": dataset}), samples)
            except (SpecError, DataError) as error:
                faults.append(f"row {row.name!r} on {dataset}: {error}")
                continue
            for seed in comparison.seeds:
                cells[dataset, seed, row.name] = _cell(dataset, row.name, _seeded(job, seed))
    if faults:
        raise SpecError(join_faults(faults))
    return tuple(
        cells[dataset, seed, label]
        for dataset in comparison.datasets
        for seed in comparison.seeds
        for label in comparison.labels
    )


def _seeded(job: Job, seed: int) -> Job:
    """`job` with another seed, on which nothing else of it depends: it starts from no network."""
    learning = job.spec.learning.model_copy(update={"seed": seed})
    return replace(job, spec=job.spec.model_copy(update={"learning": learning}))


def _cell(dataset: str, label: str, job: Job) -> ComparedRun:
    graph, learning = job.graph, job.spec.learning
    return ComparedRun(
        dataset,
        label,
        learning.seed,
        job.spec,
        job.identity(),
        layers=graph.layers,
        samples=len(job.data.x_train),
        before=job.method.pretrain_batches(graph) * getattr(learning, "batch_size", 1),
        operations=job.method.operations(graph, learning),
        in_time=job.method.footprint(graph).multiplications(graph),
    )


def chosen(
    comparison: CompareSpec, cells: tuple[ComparedRun, ...], only: tuple[str, ...], seeds: tuple[int, ...]
) -> tuple[ComparedRun, ...]:
    """The cells of the rows `only` and of `seeds`; all where none is named. Raises `SpecError` for others."""
    faults = []
    if unknown := [name for name in only if name not in comparison.labels]:
        faults.append(f"--only {', '.join(map(repr, unknown))}: the rows are {', '.join(comparison.labels)}")
    if strange := [str(seed) for seed in seeds if seed not in comparison.seeds]:
        faults.append(f"--seed {', '.join(strange)}: the seeds are {', '.join(map(str, comparison.seeds))}")
    if faults:
        raise SpecError(join_faults(faults))
    return tuple(c for c in cells if (not only or c.label in only) and (not seeds or c.seed in seeds))
