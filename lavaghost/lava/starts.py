"""What learning on Lava begins with: its course, and numbers that are drawn or of a network that has learned before."""

from collections.abc import Mapping

import numpy as np

from lavaghost.base.errors import SpecError, join_faults
from lavaghost.datasets import Dataset
from lavaghost.dynamics import Parameters, initial_parameters
from lavaghost.lava.number_systems import AnyNumbers, arrays_of
from lavaghost.lava.trials import first_trial
from lavaghost.methods.base import Method
from lavaghost.methods.ghost.plasticity import GhostSteps, OnlineGhosts, online_steps
from lavaghost.methods.learning import Learning
from lavaghost.net.graph import Graph
from lavaghost.net.parameters import shapes
from lavaghost.numbers.arithmetic import Array
from lavaghost.numbers.integers import Integers
from lavaghost.numbers.widths import Formats, LoihiWidths
from lavaghost.online.course import course
from lavaghost.online.integers.compiled_network import initial_integers
from lavaghost.online.integers.integer_course import AnyCourse, IntegerCourse
from lavaghost.online.integers.settings import IntegerLearning, integer_rule
from lavaghost.training.integer_learner import formats_for


def begun(
    graph: Graph,
    method: Method,
    learning: Learning | IntegerLearning,
    data: Dataset,
    per_epoch: int,
    *,
    widths: LoihiWidths,
    formats: Formats | None,
    start: AnyNumbers | None,
    ghosts: OnlineGhosts | None,
) -> tuple[AnyNumbers, AnyCourse]:
    """The first numbers of a run of `per_epoch` trials an epoch, and its course; see `learner.LavaLearner`.

    Integers without `formats` have those of `start`, or else some that suit `data`. Raises `SpecError`.
    """
    if isinstance(learning, IntegerLearning):
        if formats is None:
            formats = start.formats if isinstance(start, Integers) else formats_for(graph, data, widths)
        plan = IntegerCourse(graph, integer_rule(method), learning, formats, widths, per_epoch)
        return integer_start(graph, learning.seed, formats, widths, start), plan
    params = real_start(graph, learning.seed, start, learning.init_std)
    if graph.ghosts_learn and ghosts is None:
        settings = getattr(method, "plasticity", GhostSteps())
        ghosts = online_steps(settings, first_trial(graph, params, data))
    return params, course(graph, method, learning, per_epoch * learning.epochs, ghosts=ghosts)


def real_start(graph: Graph, seed: int, start: AnyNumbers | None, std: float | None = None) -> Parameters:
    """The parameters, float64, that learning in floating point begins with; see `initial_parameters`.

    Raises `SpecError` for integers, and for arrays of another shape than `graph` needs.
    """
    if isinstance(start, Integers):
        raise SpecError(
            "the start is in integers, and this run learns in floating point; start from what they stand for, "
            "Parameters.from_named(graph, integers.real()), or learn with arithmetic loihi"
        )
    return initial_parameters(graph, seed, np.float64, start, std)


def integer_start(
    graph: Graph, seed: int, formats: Formats, widths: LoihiWidths, start: AnyNumbers | None
) -> Integers:
    """The integers that learning in `formats` of `widths` begins with: those of `start`; what it lacks is drawn.

    Raises `SpecError` for real numbers, for other formats or widths, and for arrays of another shape than needed.
    """
    drawn = initial_integers(graph, seed, formats, widths)
    if start is None:
        return drawn
    if not isinstance(start, Integers):
        raise SpecError(
            "the start is in floating point, and this run learns in integers; quantise it first, "
            "Integers.nearest(params.named(), formats, widths), or learn with arithmetic float"
        )
    faults = format_faults(start, formats, widths)
    faults += shape_faults(graph, start.arrays)
    if faults:
        raise SpecError(join_faults(faults))
    return Integers({name: start.arrays.get(name, a) for name, a in drawn.arrays.items()}, formats, widths)


def check_numbers(course: AnyCourse, numbers: AnyNumbers) -> None:
    """Refuse, with all faults, numbers that `course` does not go on with. Raises `SpecError`."""
    whole = isinstance(course, IntegerCourse)
    if whole != isinstance(numbers, Integers):
        have, learns = ("floating point", "integers") if whole else ("integers", "floating point")
        raise SpecError(
            f"the numbers are in {have}, and the course learns in {learns}; give both in one arithmetic"
        )
    faults = []
    if isinstance(course, IntegerCourse) and isinstance(numbers, Integers):
        faults += format_faults(numbers, course.formats, course.widths)
    arrays, wanted = arrays_of(numbers), shapes(course.graph)
    faults += [f"{name} is missing; give all arrays of the graph" for name in wanted if name not in arrays]
    faults += [f"{name} is not of the graph; leave it out" for name in arrays if name not in wanted]
    faults += shape_faults(course.graph, arrays)
    if faults:
        raise SpecError(join_faults(faults))


def format_faults(integers: Integers, formats: Formats, widths: LoihiWidths) -> list[str]:
    """How the formats and widths of `integers` differ from those of a run, a line each."""
    pairs = {**formats._asdict(), **widths.as_json()}
    own = {**integers.formats._asdict(), **integers.widths.as_json()}
    return [
        f"{name} is {_plain(own[name])} in the integers and {_plain(wanted)} in the run; give the run theirs, or "
        "quantise anew"
        for name, wanted in pairs.items()
        if own[name] != wanted
    ]


def shape_faults(graph: Graph, arrays: Mapping[str, Array]) -> list[str]:
    """Which of `arrays` have another shape than `graph` needs, a line each."""
    return [
        f"{name} is {arrays[name].shape}, the network needs {shape}; give the sizes of the start"
        for name, shape in shapes(graph).items()
        if name in arrays and arrays[name].shape != shape
    ]


def _plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value
