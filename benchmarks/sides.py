"""The two sides of a comparison: an epoch of LavaGhost, and of PyTorch, on the same data and layers.

Both run batches of 100 with a constant step and momentum 0.9, cross-entropy, no weight decay, and draw the
order of the samples within the time that is measured.
"""

import itertools
import statistics
import time
from typing import Any, NamedTuple, Protocol

from lavaghost.datasets import Dataset
from lavaghost.methods.base import Method
from lavaghost.methods.ghost.method import Ghost
from lavaghost.methods.learning import Learning
from lavaghost.net.network import Network
from lavaghost.training.float_learner import FloatLearner, accuracy

BATCH, ETA, MOMENTUM = 100, 0.05, 0.9


class Side(Protocol):
    """Something that trains."""

    def epoch(self) -> float:
        """Train on every sample once; the seconds that it took."""
        ...

    def accuracy(self) -> float:
        """Share of test samples classified right."""
        ...


class Ours:
    """Epochs of `lavaghost.training.float_learner`, without diagnostics and checkpoints; of `Ghost()` unless told else."""

    def __init__(self, layers: tuple[int, ...], data: Dataset, method: Method | None = None) -> None:
        steps = Learning(batch_size=BATCH, eta=ETA, eta_decay="constant", momentum=MOMENTUM, weight_decay=0.0)
        method = Ghost() if method is None else method
        self.learner = FloatLearner(Network(layers=layers), method, steps, data, diagnostics=False)
        self.data, self.epochs = data, 0

    def epoch(self) -> float:
        """See `Side`."""
        start = time.perf_counter()
        self.learner.epoch(self.epochs, lambda done: None)
        self.epochs += 1
        return time.perf_counter() - start

    def accuracy(self) -> float:
        """See `Side`."""
        return accuracy(self.learner.graph, self.learner.params, self.data.x_test, self.data.y_test)


class Torch:
    """Backprop in PyTorch. `once`: rows are shuffled once an epoch, not batch by batch; `fused`: its fused SGD."""

    def __init__(self, layers: tuple[int, ...], data: Dataset, *, once: bool, fused: bool) -> None:
        import torch  # pyright: ignore[reportMissingImports]

        self.torch, self.once, self.fused = torch, once, fused
        # a data set is read-only, which PyTorch warns of; it is copied once, outside the time measured
        self.x, self.y = torch.from_numpy(data.x_train.copy()), torch.from_numpy(data.y_train.copy())
        self.data = data
        torch.manual_seed(0)
        stack = []
        for n_in, n_out in itertools.pairwise(layers):
            stack += [torch.nn.Linear(n_in, n_out), torch.nn.ReLU()]
        self.model = torch.nn.Sequential(*stack[:-1])
        self.optimiser = torch.optim.SGD(self.model.parameters(), lr=ETA, momentum=MOMENTUM, fused=fused)
        self.loss = torch.nn.CrossEntropyLoss()

    @property
    def name(self) -> str:
        """How this variant differs from its like."""
        rows = "rows shuffled once an epoch" if self.once else "rows indexed batch by batch"
        return f"{rows}, {'fused' if self.fused else 'plain'} SGD"

    def epoch(self) -> float:
        """See `Side`."""
        start = time.perf_counter()
        order = self.torch.randperm(len(self.x))
        if self.once:
            batches = zip(self.x[order].split(BATCH), self.y[order].split(BATCH), strict=True)
        else:
            batches = ((self.x[picked], self.y[picked]) for picked in order.split(BATCH))
        for x, y in batches:
            loss = self.loss(self.model(x), y)
            self.optimiser.zero_grad()
            loss.backward()
            self.optimiser.step()
        return time.perf_counter() - start

    def accuracy(self) -> float:
        """See `Side`."""
        with self.torch.no_grad():
            found = self.model(self.torch.from_numpy(self.data.x_test.copy())).argmax(dim=1).numpy()
        return float((found == self.data.y_test).mean())


def fastest_torch(layers: tuple[int, ...], data: Dataset, trials: int = 2) -> Torch:
    """The fastest way to write it: every variant warmed up by one epoch, then timed in turns."""
    variants = [Torch(layers, data, once=o, fused=f) for o, f in itertools.product((False, True), repeat=2)]
    for side in variants:
        side.epoch()
    best = {side: min(side.epoch() for _ in range(trials)) for side in variants}
    return min(variants, key=lambda side: best[side])


class Pairs(NamedTuple):
    """Seconds of epochs of two sides, measured in turns: by the clock, and of all processors together."""

    ours: list[float]
    theirs: list[float]
    ours_cpu: list[float]
    theirs_cpu: list[float]

    @property
    def ratios(self) -> list[float]:
        """Ours over theirs, pair by pair: what slows the machine down slows both."""
        return [a / b for a, b in zip(self.ours, self.theirs, strict=True)]

    @property
    def cpu_ratios(self) -> list[float]:
        """The same in processor time, which other programs disturb less; spinning threads count."""
        return [a / b for a, b in zip(self.ours_cpu, self.theirs_cpu, strict=True)]

    def turn(self, ours: Side, theirs: Side) -> None:
        """One epoch of each."""
        for side, clock, cpu in ((theirs, self.theirs, self.theirs_cpu), (ours, self.ours, self.ours_cpu)):
            start = time.process_time()
            clock.append(side.epoch())
            cpu.append(time.process_time() - start)

    def figures(self) -> dict[str, Any]:
        """Medians and ratios, for a JSON file."""
        return {
            "ratio": statistics.median(self.ratios),
            "ratios": self.ratios,
            "cpu_ratio": statistics.median(self.cpu_ratios),
            "cpu_ratios": self.cpu_ratios,
            "seconds": statistics.median(self.ours),
            "torch_seconds": statistics.median(self.theirs),
            "cpu_seconds": statistics.median(self.ours_cpu),
            "torch_cpu_seconds": statistics.median(self.theirs_cpu),
        }


def in_turns(ours: Side, theirs: Side, rounds: int) -> Pairs:
    """A B A B ..., after one epoch of each that does not count."""
    pairs = Pairs([], [], [], [])
    ours.epoch()
    theirs.epoch()
    for _ in range(rounds):
        pairs.turn(ours, theirs)
    return pairs
