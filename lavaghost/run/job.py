"""What a run description means with its data: all settings decided, all that cannot work refused, nothing computed."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from lavaghost.base.errors import SpecError, join_faults
from lavaghost.datasets import Dataset, for_training, load, unsigned, warn_of
from lavaghost.hardware.catalogue import load_chip
from lavaghost.lava.available import require_lava
from lavaghost.lava.number_systems import arrays_of
from lavaghost.methods.base import Method
from lavaghost.methods.by_name import check_together
from lavaghost.methods.ghost.depth import check_depth
from lavaghost.methods.learning import Learning
from lavaghost.model.inputs import check_data, scaled_for, unsigned_for
from lavaghost.model.model import Model
from lavaghost.net.graph import Graph
from lavaghost.net.network import Network
from lavaghost.net.parameters import Parameters
from lavaghost.numbers.arithmetic import Array
from lavaghost.numbers.integers import Integers
from lavaghost.numbers.widths import DEFAULT, Formats, LoihiWidths
from lavaghost.online.integers.formats import suited_fraction
from lavaghost.online.integers.settings import IntegerLearning, check_integer, integer_rule, suited
from lavaghost.run.spec import Lava, RunSpec
from lavaghost.training.checkpoint import digest, fingerprint, identity
from lavaghost.training.float_learner import FloatLearner
from lavaghost.training.integer_learner import IntegerLearner, formats_for, largest_input
from lavaghost.training.loop import Learner
from lavaghost.training.refit import refitted
from lavaghost.training.start import as_integers, must_refit

Watch = Callable[[int, float], None]
"""Called as `watch(samples, accuracy)` while engine lava runs on."""


@dataclass(frozen=True)
class Job:
    """A run, ready to begin: what its description decided, in full.

    widths, formats   of integers; None in floating point
    integers          that learning in integers starts from; None for a start of its own, or in floating point
    refit             what was done to a start of another loss, and what came of it (`training.refit`)
    """

    spec: RunSpec
    data: Dataset
    network: Network
    method: Method
    start: Model | None = None
    widths: LoihiWidths | None = None
    formats: Formats | None = None
    integers: Integers | None = None
    refit: Mapping[str, Any] | None = None

    @property
    def graph(self) -> Graph:
        """What learns."""
        return self.method.graph(self.network)

    def identity(self) -> str:
        """What a checkpoint of this run belongs to."""
        learning, lava = self.spec.learning, self.spec.lava
        parts: dict[str, Any] = {
            "network": self.network.model_dump(mode="json"),
            "method": self.method.settings(),
            "learning": learning.model_dump(mode="json"),
            "data": fingerprint(self.data),
        }
        if learning.engine == "lava":
            parts["lava"] = {"limit": lava.limit}
        if self.start is not None:
            parts["start"] = digest(dict(arrays_of(self.start.tensors)) | dict(self.start.state), {})
        if self.widths is not None and self.formats is not None:
            formats = {name: list(group) for name, group in self.formats._asdict().items()}
            parts |= {"widths": self.widths.as_json(), "formats": formats}
        return identity(**parts)

    def learner(self, diagnostics: bool = True, watch: Watch = lambda samples, accuracy: None) -> Learner:
        """What learns, at its beginning."""
        learning, common = self.spec.learning, (self.network, self.method, self.spec.learning, self.data)
        integers: dict[str, Any] = {}
        start: Parameters | Integers | None = None if self.start is None else self.start.params
        if self.widths is not None:
            integers, start = {"widths": self.widths, "formats": self.formats}, self.integers
        if learning.engine == "lava":
            from lavaghost.lava.learner import LavaLearner

            lava = self.spec.lava
            return LavaLearner(
                *common,
                processes=lava.processes,
                limit=lava.limit,
                record=lava.record,
                watch=watch,
                diagnostics=diagnostics,
                start=start,
                **integers,
            )
        if isinstance(learning, IntegerLearning):
            return IntegerLearner(
                self.network,
                self.method,
                learning,
                self.data,
                diagnostics=diagnostics,
                start=self.integers,
                **integers,
            )
        assert not isinstance(start, Integers)  # those of a run in integers alone
        return FloatLearner(
            self.network,
            self.method,
            learning,
            self.data,
            diagnostics=diagnostics,
            start=start,
            state=self._state(),
        )

    def _state(self) -> dict[str, Array] | None:
        """The state of the method that training goes on with, if it is the same one."""
        start = self.start
        if start is None or start.method.shapes(start.graph) != self.method.shapes(self.graph):
            return None
        return {name: array.copy() for name, array in start.state.items()}


def prepared(
    spec: RunSpec,
    data: Dataset | None = None,
    start: Model | None = None,
    widths: LoihiWidths | None = None,
) -> Job:
    """The job that `spec` means, with `data`, `start` and `widths` in the place of what it names. Nothing is learned
    yet, but a start of another loss that is to go on in integers is refitted.

    Raises `SpecError` with what does not go together, `DataError` for the data, `MissingError` without Lava.
    """
    if start is None and spec.start is not None:
        start = Model.load(spec.start)
    if data is None:
        data = load(spec.dataset)
        warn_of(data)
    integers = isinstance(spec.learning, IntegerLearning)
    if integers and start is None:
        data = unsigned(data)
    data = for_training(data) if start is None else scaled_for(start, data)
    if integers and start is not None and start.integers is None:
        start, data = unsigned_for(start, data)
    network, method = spec.network_for(data.n_inputs, data.n_classes), spec.method
    job = Job(spec, data, network, method, start)
    if integers:
        job = _in_integers(job, widths)
    elif spec.hardware is not None or spec.state_fraction is not None:
        raise SpecError(
            "--hardware and --state-fraction belong to --arithmetic loihi; add that or leave them out"
        )
    _check(job)
    return job


def _check(job: Job) -> None:
    learning, graph = job.spec.learning, job.graph
    check_together(job.method, graph, learning)
    if isinstance(learning, Learning):
        check_depth(graph, job.method, learning)
    check_data(job.network, job.data)
    if job.start is not None:
        check_start(job, job.start)
    if learning.engine == "lava":
        require_lava()
    elif job.spec.lava != Lava():
        raise SpecError("--limit and --record belong to engine 'lava'; add --engine lava or leave them out")


def check_start(job: Job, start: Model) -> None:
    """Refuse, with all faults, a start of which the job is not a continuation. Raises `SpecError`."""
    # integers bound a rate that was unbounded where their messages end
    integers = isinstance(job.spec.learning, IntegerLearning)
    faults = [
        f"{key} is {now!r}, and {was!r} in the network that training starts from"
        for key in ("layers", "activation", *(() if integers else ("saturation",)), "kinds")
        if (now := getattr(job.network, key)) != (was := getattr(start.network, key))
    ]
    if faults:
        faults.append("leave out what the start decides")
    if faults:
        raise SpecError(join_faults(faults))


def _in_integers(job: Job, widths: LoihiWidths | None) -> Job:
    """Network and method that a description means in integers: what it names, and the rest as integers learn well."""
    spec = job.spec
    own = None if job.start is None else job.start.integers
    if widths is None and own is not None and spec.hardware is None and spec.state_fraction is None:
        widths = own.widths  # goes on in its own
    if widths is None:
        found = DEFAULT if spec.hardware is None else load_chip(spec.hardware).integers()
        fraction = suited_fraction(job.graph) if spec.state_fraction is None else spec.state_fraction
        widths = replace(found, state_fraction=fraction)
    network, method = suited(job.network, job.method, widths)
    named = {name: getattr(spec.network, name) for name in spec.network.model_fields_set}
    network = network.model_copy(update=named)
    if network.activation == "hard_sigmoid" and "saturation" not in named:
        network = network.model_copy(update={"saturation": None})  # it saturates at 1 by definition
    method = method.model_copy(
        update={name: getattr(spec.method, name) for name in spec.method.model_fields_set}
    )
    graph = method.graph(network)
    check_together(method, graph, spec.learning)
    assert isinstance(spec.learning, IntegerLearning)  # who calls this has seen it
    integers, refit = _started(job, network, graph, widths) if job.start is not None else (None, None)
    formats = formats_for(graph, job.data, widths) if integers is None else integers.formats
    check_integer(graph, integer_rule(method), spec.learning, formats, widths)
    return replace(
        job,
        network=network,
        method=method,
        widths=widths,
        formats=formats,
        integers=integers,
        refit=refit,
    )


def _started(
    job: Job, network: Network, graph: Graph, widths: LoihiWidths
) -> tuple[Integers, Mapping[str, Any] | None]:
    """The integers that a start stands for, refitted to squared error on the training data if it has another loss."""
    start, seed = job.start, job.spec.learning.seed
    assert start is not None
    check_start(replace(job, network=network), start)
    refit = refitted(network, start.params, job.data, seed) if must_refit(start) else None
    integers = as_integers(
        graph,
        start,
        widths,
        params=None if refit is None else refit.params,
        largest_input=largest_input(job.data),
        seed=seed,
    )
    return integers, None if refit is None else refit.record
