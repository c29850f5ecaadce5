"""What learns single samples: compiled integers, floating point, or processes of Lava. All with the same numbers."""

from typing import NamedTuple, Protocol

import numpy as np

from lavaghost.adapting.beginning import ENDLESS, Beginning
from lavaghost.base.errors import DivergedError
from lavaghost.base.names import LavaModel
from lavaghost.engines.stepped import Stepped
from lavaghost.engines.threads import suited_threads
from lavaghost.lava.available import require_lava
from lavaghost.lava.stream import learn_stream
from lavaghost.model.answers import in_integers, in_steps
from lavaghost.net.parameters import Parameters
from lavaghost.numbers.arithmetic import Array
from lavaghost.numbers.integers import Integers
from lavaghost.online.course import Course, apply_trial, taught
from lavaghost.online.integers.compiled_network import CompiledNetwork
from lavaghost.online.integers.integer_course import IntegerCourse


class Answered(NamedTuple):
    """What trials gave: outputs `(n, n_L)` before each was taught, and how many of them taught."""

    outputs: Array
    taught: int


class Backend(Protocol):
    """Rates `(n, n_0)` in, outputs `(n, n_L)` as real numbers out."""

    @property
    def numbers(self) -> Parameters | Integers:
        """The present ones; a copy."""
        ...

    def take(self, numbers: Parameters | Integers) -> None:
        """Go on from other numbers of the same network."""
        ...

    def learn(self, x: Array, labels: Array, first: int) -> Answered:
        """Test, then learn, one sample after the other, as the trials `first`.. ."""
        ...

    def outputs(self, x: Array) -> Array:
        """The answers; nothing is learned."""
        ...


def backend(start: Beginning, processes: LavaModel | None) -> Backend:
    """What learns from `start`: on Lava, if `processes` says by which."""
    if processes is not None:
        return LavaBackend(start, processes)
    return IntegerBackend(start) if isinstance(start.numbers, Integers) else FloatBackend(start)


class IntegerBackend:
    """The compiled loops."""

    def __init__(self, start: Beginning) -> None:
        course = start.course
        assert isinstance(course, IntegerCourse)
        self.course, self.graph = course, start.graph
        self.take(start.numbers)

    @property
    def numbers(self) -> Integers:
        """See `Backend`: a copy."""
        return self._network.integers

    def take(self, numbers: Parameters | Integers) -> None:
        """See `Backend`."""
        assert isinstance(numbers, Integers)
        self._network = CompiledNetwork(self.graph, numbers, self.course.learning.seed)

    def learn(self, x: Array, labels: Array, first: int) -> Answered:
        """See `Backend`."""
        network, course = self._network, self.course
        messages = network.spikes(network.arith.input(x))
        found = network.learn(course.rule, course.learning, messages, labels, first)
        return Answered(network.arith.real(found.outputs), len(x) - found.withheld)

    def outputs(self, x: Array) -> Array:
        """See `Backend`."""
        arith = self._network.arith
        return arith.real(self._network.outputs(arith.input(x)))


class FloatBackend:
    """The stepped engine, in double precision."""

    def __init__(self, start: Beginning) -> None:
        course = start.course
        assert isinstance(course, Course)
        self.course, self.graph, self.engine = course, start.graph, Stepped(start.graph)
        self.take(start.numbers)

    @property
    def numbers(self) -> Parameters:
        """See `Backend`: a copy."""
        return self._params.astype(np.float64)

    def take(self, numbers: Parameters | Integers) -> None:
        """See `Backend`."""
        assert isinstance(numbers, Parameters)
        self._params = numbers.astype(np.float64)

    def learn(self, x: Array, labels: Array, first: int) -> Answered:
        """See `Backend`. Raises `DivergedError`, and then nothing was learned."""
        course, goals = self.course, np.eye(self.graph.layers[-1])
        before, outputs = self.numbers, np.empty((len(x), self.graph.layers[-1]))
        with suited_threads(self.graph, 1), np.errstate(over="ignore", invalid="ignore"):
            for i, sample in enumerate(np.asarray(x, np.float64)):
                target = goals[labels[i] : labels[i] + 1]
                trial = taught(course, first + i, self.engine, self._params, sample[np.newaxis], target)
                outputs[i] = trial.free[-1][0]
                apply_trial(course, first + i, trial, self._params)
        if not all(np.isfinite(a).all() for a in self._params.named().values()):
            self.take(before)
            raise DivergedError(
                f"learning left the finite numbers within {len(x)} samples, and nothing of them was kept; lower eta "
                f"({course.eta:g})"
            )
        return Answered(outputs, taught_of(course, outputs, labels))

    def outputs(self, x: Array) -> Array:
        """See `Backend`."""
        return in_steps(self.graph, self._params, np.asarray(x, np.float64))


class LavaBackend:
    """Processes of Lava, a session for each call of `learn`; answers alone come from the engine that they equal.

    Raises `MissingError` without Lava.
    """

    def __init__(self, start: Beginning, processes: LavaModel) -> None:
        require_lava()
        self.course, self.graph = start.course, start.graph
        self.processes: LavaModel = processes
        self._numbers = start.numbers

    @property
    def numbers(self) -> Parameters | Integers:
        """See `Backend`."""
        return self._numbers

    def take(self, numbers: Parameters | Integers) -> None:
        """See `Backend`."""
        self._numbers = numbers

    def learn(self, x: Array, labels: Array, first: int) -> Answered:
        """See `Backend`."""
        found = learn_stream(
            self.graph, self.course, self._numbers, x, labels, first=first, processes=self.processes
        )
        self._numbers = found.numbers
        outputs = found.outputs
        held = self.numbers.arith.array(outputs) if isinstance(self.numbers, Integers) else outputs
        return Answered(outputs, taught_of(self.course, held, labels))

    def outputs(self, x: Array) -> Array:
        """See `Backend`."""
        if isinstance(self._numbers, Integers):
            return in_integers(self.graph, self._numbers, x)
        return in_steps(self.graph, self._numbers, np.asarray(x, np.float64))


def taught_of(course: Course | IntegerCourse, outputs: Array, labels: Array) -> int:
    """How many trials had a target, of outputs `(n, n_L)` in the numbers of the course."""
    goals = np.eye(outputs.shape[1])
    return sum(
        not course.withholds(outputs[i : i + 1], goals[label : label + 1]) for i, label in enumerate(labels)
    )


def number_of(trial: int) -> int:
    """The number of a trial in its course: an endless stream begins anew."""
    return trial % ENDLESS
