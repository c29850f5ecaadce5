"""What a trial leaves behind for a local rule: the rates of both phases, layer by layer."""

from typing import NamedTuple, Protocol

from lavaghost.dynamics import Parameters
from lavaghost.numbers.arithmetic import Array


class Local(NamedTuple):
    """What a neuron of one layer has seen by the end of a trial; arrays `(batch, n_k)`.

    free         its rate at the end of the free phase
    change       its nudged minus its free rate, in units of 2^-m_k (`Trial.units`)
    unpredicted  what the nudge adds to its rate and not to its ghost's; None where no ghost predicts it
    error        what came down beside its membrane at the end of the trial; None where no errors come down
    factor       what the output told all cells, `(batch, 1)`; None where it tells nothing
    """

    free: Array
    change: Array
    unpredicted: Array | None
    error: Array | None = None
    factor: Array | None = None


class Trial(NamedTuple):
    """One batch through a free and a nudged phase; tuples are indexed from layer 1, arrays `(batch, n)`.

    The arrays belong to the engine and hold until its next trial.

    x           the input, r_0
    free        r_1..r_L at the end of the free phase
    change      nudged minus free rate, layers 1..L
    unpredicted nudged minus free r_k - g_{k-1}, what the nudge adds and ghosts do not predict; for layer 1 its `change`
    pre         presynaptic rates at the end of the trial: x, then r_1..r_{L-1} nudged
    ghost_rate  g_1..g_{L-1} at the end of the free phase (learned and duplicate ghosts), else empty
    units       m_1..m_L: `change` and `unpredicted` of layer k are in units of 2^-m_k; empty where all are 0
    ghost_pre   g_1..g_{L-1} at the end of the trial, from engines that step in time; else empty
    left_over   B_k r_{k+1} - i_k at the end of the free phase, k = 1..L-1
    whole       B_k r_{k+1} at the end of the free phase, k = 1..L-1
    error       e_1..e_L at the end of the trial, where errors come down (`dynamics.errors`), from engines that step
    factor      of all changes, `(batch, 1)`, alone, if the output sends one
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
    units: tuple[int, ...] = ()
    error: tuple[Array, ...] = ()
    factor: tuple[Array, ...] = ()

    def local(self, k: int) -> Local:
        """What layer k (from 1) has seen."""
        unpredicted = self.unpredicted[k - 1] if self.unpredicted else None
        error = self.error[k - 1] if self.error else None
        factor = self.factor[0] if self.factor else None
        return Local(self.free[k - 1], self.change[k - 1], unpredicted, error, factor)


class TrialEngine(Protocol):
    """What training and diagnostics need of an engine."""

    def trial(self, params: Parameters, x: Array, target: Array) -> Trial:
        """Free and nudged phase of `x (batch, n_0)` with `target (batch, n_L)`."""
        ...

    def output(self, params: Parameters, x: Array) -> Array:
        """r_L at the end of the free phase, `(batch, n_L)`."""
        ...
