"""Learning in integers: one sample at a time, in compiled loops.

Everything random is a function of seed, epoch and sample, so the integers are all that the rest of a run depends on.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from lavaghost.base.errors import ModelFileError, SpecError
from lavaghost.datasets import Dataset
from lavaghost.methods.base import Method
from lavaghost.methods.ghost.rules import Rule
from lavaghost.net.graph import Graph
from lavaghost.net.network import Network
from lavaghost.net.parameters import Parameters
from lavaghost.numbers.arithmetic import Array
from lavaghost.numbers.integers import Integers
from lavaghost.numbers.widths import DEFAULT, Formats, LoihiWidths
from lavaghost.online.integers.compiled_network import CompiledNetwork, initial_integers
from lavaghost.online.integers.formats import default_formats
from lavaghost.online.integers.integer_course import PRETRAINING
from lavaghost.online.integers.probe import probe
from lavaghost.online.integers.settings import IntegerLearning, check_integer, integer_rule
from lavaghost.training.diagnostics import PROBE, backprop_gradient, cosine, norms
from lavaghost.training.float_learner import check_tensors
from lavaghost.training.loop import Tell
from lavaghost.training.order import order, pretraining

SCALED = 2000
"""Training samples from which the format of the inputs is chosen."""
PREFIX = "parameters."
"""Of the names of its tensors in a checkpoint."""


class IntegerLearner:
    """See `Learner`: `network` learns by the rule of `method` in the integers of `widths`.

    Each row has `accuracy` in integers, and of the first 500 training samples `cosines` of the expected weight change
    to backprop at the same weights, `sampled_cosines` of one draw of the random numbers, `residuals`, and the shares
    of saturated weights, messages and errors. `start` are integers to begin with, in the place of random ones in
    `formats` of `widths`. Raises `SpecError` for what integers cannot do.
    """

    def __init__(
        self,
        network: Network,
        method: Method,
        learning: IntegerLearning,
        data: Dataset,
        *,
        widths: LoihiWidths = DEFAULT,
        formats: Formats | None = None,
        start: Integers | None = None,
        diagnostics: bool = True,
    ) -> None:
        self.rule, self.learning, self.data, self.diagnostics = (
            integer_rule(method),
            learning,
            data,
            diagnostics,
        )
        self.graph = graph = method.graph(network)
        if start is None:
            start = initial_integers(graph, learning.seed, formats or formats_for(graph, data, widths), widths)
        check_integer(graph, self.rule, learning, start.formats, start.widths)
        self.compiled = CompiledNetwork(graph, start, learning.seed)
        self._inputs = self.compiled.spikes(self.compiled.arith.input(data.x_train))
        self.pretraining = learning.pretrain_samples if graph.ghosts_learn else 0
        self.epochs, self.per_epoch = learning.epochs, len(data.x_train)

    def pretrain(self, tell: Tell) -> None:
        """See `Learner`. Sample numbers are of their own: no random number is used twice."""
        done = 0
        for picked in self._chunks(pretraining(self.learning.seed, self.per_epoch, self.pretraining)):
            self._learn(picked, PRETRAINING + done, 0, network=False)
            done += len(picked)
            tell(done)

    def epoch(self, epoch: int, tell: Tell) -> dict[str, Any]:
        """See `Learner`: `saturated_errors`, the share of errors at the limit of their traces."""
        done, saturated, count = 0, 0, self.per_epoch
        for picked in self._chunks([order(self.learning.seed, epoch, count)]):
            saturated += self._learn(picked, epoch * count + done, self.learning.halvings(epoch))
            done += len(picked)
            tell(done)
        return {"saturated_errors": saturated / (count * sum(self.graph.layers[1:]))}

    def _chunks(self, parts: Iterable[Array]) -> Iterator[Array]:
        for rows in parts:
            for i in range(0, len(rows), self.learning.chunk):
                yield rows[i : i + self.learning.chunk]

    def _learn(self, picked: Array, first: int, halvings: int, network: bool = True) -> int:
        """Learn from the samples `picked`; how many errors saturated."""
        x, labels = self._inputs[picked], self.data.y_train[picked]
        found = self.compiled.learn(self.rule, self.learning, x, labels, first, halvings, network=network)
        return found.saturated

    def measure(self, epoch: int) -> dict[str, Any]:
        """See `Learner`."""
        found = integer_figures(self.compiled, self.rule, self.learning, self.data, epoch, self.diagnostics)
        return {**found, "saturated_errors": 0.0}

    def tensors(self) -> dict[str, Array]:
        """See `Learner`: the integers as they are."""
        return {PREFIX + name: array for name, array in self.compiled.integers.arrays.items()}

    def restore(self, tensors: Mapping[str, Array]) -> None:
        """See `Learner`."""
        check_tensors(self.tensors(), tensors)
        held = {name.removeprefix(PREFIX): array for name, array in tensors.items()}
        try:
            integers = Integers(held, self.compiled.formats, self.compiled.widths)
        except SpecError as error:
            raise ModelFileError(
                f"the checkpoint is damaged: {error}; remove it and train without --resume"
            ) from error
        self.compiled = CompiledNetwork(self.graph, integers, self.learning.seed)

    def result(self) -> tuple[Integers, Mapping[str, Array]]:
        """See `Learner`."""
        return self.compiled.integers, {}

    def record(self) -> dict[str, Array]:
        """See `Learner`; nothing."""
        return {}

    def close(self) -> None:
        """See `Learner`; nothing was started."""


def formats_for(graph: Graph, data: Dataset, widths: LoihiWidths) -> Formats:
    """`default_formats` in which all but 0.1 % of the inputs of the first training samples are held."""
    return default_formats(graph, widths, largest_input=largest_input(data))


def largest_input(data: Dataset) -> float:
    """What all but 0.1 % of the inputs of the first training samples are below."""
    return float(np.percentile(data.x_train[:SCALED], 99.9))


def integer_figures(
    net: CompiledNetwork,
    rule: Rule,
    learning: IntegerLearning,
    data: Dataset,
    epoch: int,
    diagnostics: bool = True,
) -> dict[str, Any]:
    """Test accuracy in integers and, if wanted, the diagnostics on the first training samples."""
    found = accuracy_figures(net, data)
    if not diagnostics:
        return found
    x, labels = data.x_train[:PROBE], data.y_train[:PROBE]
    halvings = learning.halvings(max(0, epoch - 1))
    found_by = probe(net, rule, learning, net.arith.input(x), labels, halvings)
    # what the integers stand for, to be compared with
    params = Parameters.from_named(net.graph, net.integers.real()).astype(np.float32)
    target = np.eye(net.graph.layers[-1], dtype=np.float32)[labels]
    gradient = backprop_gradient(net.graph, params, np.ascontiguousarray(x, np.float32), target)
    return found | {
        "cosines": [cosine(d, g) for d, g in zip(found_by.expected, gradient, strict=True)],
        "sampled_cosines": [cosine(d, g) for d, g in zip(found_by.sampled, gradient, strict=True)],
        "residuals": found_by.residuals,
        "saturated_messages": found_by.saturated_messages,
        "norms": norms(params),
    }


def accuracy_figures(net: CompiledNetwork, data: Dataset) -> dict[str, Any]:
    """`accuracy` on the test set, and the share of `saturated_weights` per layer."""
    output = net.outputs(net.arith.input(data.x_test))
    low, high = net.widths.weight_limits
    return {
        "accuracy": float((output.argmax(axis=1) == data.y_test).mean()),
        "saturated_weights": [float(((w <= low) | (w >= high)).mean()) for w in net.mantissas.w],
    }
