"""The equilibrium engine: solves for the free and the nudged fixed point of a batch.

With duplicate or online ghosts the free fixed point is the forward pass. One top-down sweep of the deviation
form (`dynamics.fixed_point`) then gives the nudged state up to O(beta); more sweeps, or a tolerance, solve it
fully. Memory is a few `(batch, n)` buffers per layer, made once. Changes of rates are held in units of 2^-m_k
(`dynamics.fixed_point.units`), which are 1 unless a network is so deep that they would pass below float32.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from lavaghost.dynamics import Parameters
from lavaghost.dynamics.fixed_point import output_error, respond, spare_bits, split, units
from lavaghost.engines.trial import Trial
from lavaghost.net.graph import Graph
from lavaghost.numbers.arithmetic import Array, gemm


class Equilibrium:
    """Fixed points of `graph` for batches of up to `batch` samples.

    sweeps        top-down sweeps of the nudged phase; the most allowed when `tolerance` is given
    tolerance     stop when no rate changes by more than this, relative to the largest change of its layer
    push          also compute what deviations push upwards; the prediction rule of duplicate ghosts, in one
                  sweep, does not need it
    predict       also compute what ghosts do not predict; the temporal rule, in one sweep, does not need it
    """

    def __init__(
        self,
        graph: Graph,
        batch: int,
        *,
        sweeps: int = 1,
        tolerance: float | None = None,
        push: bool = True,
        predict: bool = True,
        dtype: DTypeLike = np.float32,
    ) -> None:
        self.graph, self.sweeps, self.tolerance = graph, sweeps, tolerance
        self.dtype = np.dtype(dtype)
        # asked once: a small layer takes no longer than such a question
        self._depth, self._r_max, self._lam, self._up = graph.depth, graph.r_max, graph.lam, graph.up
        self._copies, self._predicts, self.learned = graph.copies, graph.predicts, graph.ghosts_learn
        self._feeds_back = tuple(map(self._back, range(1, graph.depth))) if graph.has_feedback else ()
        self.push = push or self.learned or sweeps > 1
        self.predict = predict or sweeps > 1
        self.sweeps_done = 0
        self.units = units(graph, self.dtype)
        n = graph.layers

        def buffers(sizes: tuple[int, ...]) -> list[Array]:
            return [np.empty((batch, size), self.dtype) for size in sizes]

        hidden = n[1:-1]
        # index k - 1 is layer k throughout
        self._excess, self._rate, self._change = buffers(n[1:]), buffers(n[1:]), buffers(n[1:])
        self._scratch, self._nudged = buffers(hidden), buffers(hidden)
        self._feedback = buffers(hidden)
        self._pushed = buffers(n[1:]) if self.push else []
        self._unpredicted = buffers(n[1:]) if self.push else []
        if self.learned:
            self._ghost_excess, self._ghost_rate = buffers(n[2:]), buffers(n[2:])
            self._ghost_change, self._ghost_scratch = buffers(n[2:]), buffers(n[2:])
            self._left_over, self._whole = buffers(hidden), buffers(hidden)

    def trial(self, params: Parameters, x: Array, target: Array) -> Trial:
        """See `TrialEngine`."""
        self.free(params, x)
        return self.nudged(params, x, target)

    def output(self, params: Parameters, x: Array) -> Array:
        """See `TrialEngine`. Any number of samples, in batches."""
        size = len(self._rate[-1])
        out = np.empty((len(x), self.graph.layers[-1]), self.dtype)
        for start in range(0, len(x), size):
            part = x[start : start + size]
            out[start : start + size] = self.free(params, part)[-1]
        return out

    # ---- free phase

    def free(self, params: Parameters, x: Array) -> tuple[Array, ...]:
        """r_1..r_L at the free fixed point. Later `nudged` calls start from here."""
        batch, depth = len(x), self._depth
        if batch > len(self._rate[-1]):
            raise ValueError(f"batch of {batch} exceeds this engine's {len(self._rate[-1])}")
        self._at = batch
        if self.learned:
            for e in self._feedback:
                e[:batch] = 0
            # what the input delivers is the same in every sweep
            drive = np.empty((batch, self.graph.layers[1]), self.dtype)
            self._drive(params, 0, x, drive)
            for _ in range(self.graph.free_sweeps):
                self._free_sweep(params, drive)
            self._free_sweep(params, drive, last=True)
        else:
            below = x
            for k in range(depth):
                v, r = self._excess[k][:batch], self._rate[k][:batch]
                self._drive(params, k, below, v)
                self._settle(k, v, r)
                below = r
        return tuple(r[:batch] for r in self._rate)

    def _drive(self, params: Parameters, k: int, below: Array, out: Array) -> None:
        """`out` = W_k r_{k-1} + b_k."""
        out[:] = params.biases[k]
        self._up[k].apply(params.weights[k], below, out, beta=1.0)

    def _back(self, k: int) -> Callable[[Parameters, Array, Array, float], Array]:
        """`(params, above, out, alpha)` -> `out = alpha B_k above`: one way of a tensor, or the other."""
        (link,) = (p for p in self.graph.into(self.graph.layer(k)) if p.path == "feedback")
        products = self.graph.products(link)
        if link.transposed:
            return lambda params, above, out, alpha: products.apply_transposed(
                params.weights[k], above, out, alpha
            )
        return lambda params, above, out, alpha: products.apply(params.feedback[k - 1], above, out, alpha)

    def _settle(self, k: int, v: Array, r: Array) -> None:
        if k < self._depth - 1:
            split(v, self._r_max, r)
        else:
            r[:] = v

    def _free_sweep(self, params: Parameters, drive: Array, last: bool = False) -> None:
        """Forward pass with the feedback that learned ghosts left over, then that feedback anew."""
        batch, depth, lam = self._at, self._depth, self._lam
        for k in range(depth):
            v, r = self._excess[k][:batch], self._rate[k][:batch]
            if k == 0:
                v[:] = drive
            else:
                self._drive(params, k, self._rate[k - 1][:batch], v)
            if k < depth - 1:
                v += self._feedback[k][:batch]
            self._settle(k, v, r)
        for k in range(depth - 1):
            h, g = self._ghost_excess[k][:batch], self._ghost_rate[k][:batch]
            h[:] = params.ghost_biases[k]
            gemm(self._rate[k][:batch], params.ghost_weights[k], h, beta=1.0, trans_b=True)
            self._settle(k + 1, h, g)
            whole, left = self._whole[k][:batch], self._left_over[k][:batch]
            self._feeds_back[k](params, self._rate[k + 1][:batch], whole, 1.0)
            left[:] = whole
            gemm(g, params.ghost_inhibition[k], left, alpha=-1.0, beta=1.0, trans_b=True)
            if not last:
                np.multiply(left, lam, out=self._feedback[k][:batch])

    # ---- nudged phase

    def nudged(self, params: Parameters, x: Array, target: Array) -> Trial:
        """The nudged fixed point for the batch of the last `free` call."""
        batch, hidden = self._at, self._depth - 1
        rates, changes = self._cut(self._rate), self._cut(self._change)
        output, shift = rates[-1], None
        before: list[Array] = []
        self.sweeps_done = 0
        for sweep in range(self.sweeps):
            first = sweep == 0
            if not first:
                output = rates[-1] + self._pushed[-1][:batch]
            shift = output_error(output, target, self.graph, shift)
            changes[-1][:] = shift if first else shift + self._pushed[-1][:batch]
            if self.push:
                self._unpredicted[-1][:batch] = shift
            self._top_down(params, first)
            if self.push:
                self._bottom_up(params, shift)
            self.sweeps_done += 1
            if self.tolerance is not None:
                if before and _settled(before, changes, self.tolerance):
                    break
                before = [d.copy() for d in changes]
        for k in range(hidden):
            change = changes[k]
            if self.units[k]:
                change = np.multiply(change, self._power(-self.units[k]), out=self._scratch[k][:batch])
            np.add(rates[k], change, out=self._nudged[k][:batch])
        return Trial(
            x=x,
            free=rates,
            change=changes,
            unpredicted=self._unpredicted_rates(params),
            pre=(x, *self._cut(self._nudged)),
            ghost_rate=self._cut(self._ghost_rate) if self.learned else (),
            left_over=self._cut(self._left_over) if self.learned else (),
            whole=self._cut(self._whole) if self.learned else (),
            units=self.units,
        )

    def _power(self, exponent: int) -> Any:
        """2^exponent; beyond `spare_bits` as far as numbers go that stay finite when they are multiplied with it."""
        most = spare_bits(self.dtype)
        return np.asarray(2.0 ** max(-2 * most, min(most, exponent)), self.dtype)[()]

    def _to(self, k: int, source: int) -> float:
        """What brings changes of layer `source` into the units of layer `k` (indices)."""
        return 2.0 ** (self.units[k] - self.units[source])

    def _cut(self, buffers: list[Array]) -> tuple[Array, ...]:
        return tuple(b[: self._at] for b in buffers)

    def _top_down(self, params: Parameters, first: bool) -> None:
        """e_k and d_k from the layer above, for k = L-1..1."""
        batch, lam = self._at, self._lam
        duplicate = self._copies
        for k in range(self._depth - 2, -1, -1):
            above = self._change[k + 1][:batch]
            if duplicate and not first:
                above = self._unpredicted[k + 1][:batch]
            e, d = self._feedback[k][:batch], self._change[k][:batch]
            gain = lam * self._to(k, k + 1)
            self._feeds_back[k](params, above, e, gain)
            if self.learned and not first:
                ghosts = self._ghost_change[k][:batch]
                gemm(ghosts, params.ghost_inhibition[k], e, alpha=-gain, beta=1.0, trans_b=True)
            change = e
            if k > 0 and not first:
                change = np.add(e, self._pushed[k][:batch], out=d)
            self._respond(k, change, d)
            if duplicate and not first:
                self._mismatch(k)

    def _bottom_up(self, params: Parameters, shift: Array) -> None:
        """p_k and d_k from the layer below, for k = 2..L, and what the ghosts make of it."""
        batch, hidden = self._at, self._depth - 1
        for k in range(self._depth):
            d = self._change[k][:batch]
            if k > 0:
                p = self._pushed[k][:batch]
                self._up[k].apply(params.weights[k], self._change[k - 1][:batch], p, self._to(k, k - 1))
                if k < hidden:
                    np.add(p, self._feedback[k][:batch], out=d)
                    self._respond(k, d, d)
                else:
                    np.add(p, shift, out=d)
            if self._copies and k < hidden and self.predict:
                self._mismatch(k)
            if self.learned and k < hidden:
                dg, scratch = self._ghost_change[k][:batch], self._ghost_scratch[k][:batch]
                gemm(d, params.ghost_weights[k], dg, alpha=self._to(k + 1, k), trans_b=True)
                if k + 1 < hidden:
                    h, g = self._ghost_excess[k][:batch], self._ghost_rate[k][:batch]
                    respond(dg, h, g, self._r_max, dg, scratch, self._power(self.units[k + 1]))

    def _respond(self, k: int, change: Array, out: Array) -> None:
        batch = self._at
        excess, rate = self._excess[k][:batch], self._rate[k][:batch]
        power = self._power(self.units[k])
        respond(change, excess, rate, self._r_max, out, self._scratch[k][:batch], power)

    def _mismatch(self, k: int) -> None:
        """delta_k = d_k - (rho(v_k + p_k) - rho(v_k))."""
        batch = self._at
        d, delta = self._change[k][:batch], self._unpredicted[k][:batch]
        if k == 0:
            delta[:] = d
            return
        self._respond(k, self._pushed[k][:batch], delta)
        np.subtract(d, delta, out=delta)

    def _unpredicted_rates(self, params: Parameters) -> tuple[Array, ...]:
        """Nudged minus free r_k - g_{k-1}; the input is clamped, so layer 1 has its own change."""
        if not self._predicts or not self.predict:
            return ()
        if not self.learned:
            return self._cut(self._unpredicted) if self.push else self._cut(self._change)
        above = zip(self._cut(self._change)[1:], self._cut(self._ghost_change), strict=True)
        return (self._change[0][: self._at], *(change - ghost for change, ghost in above))


def _settled(before: list[Array], now: tuple[Array, ...], tolerance: float) -> bool:
    """Whether no change of rate moved by more than `tolerance` of the largest one in its layer."""
    return all(
        np.abs(b - d).max() <= tolerance * max(np.abs(d).max(), np.finfo(d.dtype).tiny)
        for b, d in zip(before, now, strict=True)
    )
