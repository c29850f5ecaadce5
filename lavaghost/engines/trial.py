"""What a trial leaves behind for a local rule: the rates of both phases, layer by layer."""

from typing import NamedTuple, Protocol

from lavaghost.arithmetic import Array
from lavaghost.dynamics import Parameters


class Local(NamedTuple):
    """What a neuron of one layer has seen by the end of a trial; arrays `(batch, n_k)`.

    free         its rate at the end of the free phase
    change       its nudged minus its free rate
    unpredicted  what its ghosts did not predict at the nudged state; None where no ghost predicts it
    """

    free: Array
    change: Array
    unpredicted: Array | None


class Trial(NamedTuple):
    """One batch through a free and a nudged phase; tuples are indexed from layer 1, arrays `(batch, n)`.

    The arrays belong to the engine and hold until its next trial.

    x           the input, r_0
    free        r_1..r_L at the end of the free phase
    change      nudged minus free rate, layers 1..L
    unpredicted what is not predicted by ghosts at the nudged state: r_k - g_{k-1}; for layer 1 its `change`
    pre         presynaptic rates at the end of the trial: x, then r_1..r_{L-1} nudged
    ghost_rate  g_1..g_{L-1} at the end of the free phase (learned and duplicate ghosts), else empty
    ghost_pre   g_1..g_{L-1} at the end of the trial, from engines that step in time; else empty
    left_over   B_k r_{k+1} - i_k at the end of the free phase, k = 1..L-1
    whole       B_k r_{k+1} at the end of the free phase, k = 1..L-1
    """

    x: Array
    free: tuple[Array, ...]
    change: tuple[Array, ...]
    unpredicted: tuple[Array, ...]
    pre: tuple[Array, ...]
    ghost_rate: tuple[Array, ...] = ()
    left_over: tuple[Array, ...] = ()
    whole: tuple[Array, ...] = ()
    ghost_pre: tuple[Array, ...] = ()

    def local(self, k: int) -> Local:
        """What layer k (from 1) has seen."""
        unpredicted = self.unpredicted[k - 1] if self.unpredicted else None
        return Local(self.free[k - 1], self.change[k - 1], unpredicted)


class TrialEngine(Protocol):
    """What training and diagnostics need of an engine."""

    def trial(self, params: Parameters, x: Array, target: Array) -> Trial:
        """Free and nudged phase of `x (batch, n_0)` with `target (batch, n_L)`."""
        ...

    def output(self, params: Parameters, x: Array) -> Array:
        """r_L at the end of the free phase, `(batch, n_L)`."""
        ...
