"""Learning in integers, one sample at a time, by the update that Lava's bit-approximate LearningDense executes.

    dw = m 2^e x0 x1 y1,  e >= -7:   a = clip((x1 y1 m) >> 3) << (e + 7))         in 2^-7 of a mantissa step
                                     w <- clip(floor((clip(w 2^7 + a) + 127 - q) / 2^7)),   q in 0..127

`q` is the random number of stochastic rounding: Lava adds 1 where a uniform number in [0, 1) is below the cut
fraction, which is a multiple of 2^-7, so only its first seven bits matter, and q = floor(128 random). Lava draws
one number per connection and trial (`shared`); here each synapse may have its own (`independent`).

    x1   half of the last message, halves to even, 0..127          (GradedSpikeCfg.OVERWRITE)
    y1   the rule's error, read from full-resolution states at the end of the trial, shifted by the learning rate
         and rounded to a multiple of 8: then `>> 3` cuts nothing. A cut to below would let every active synapse
         drift downwards by half of 2^-7 per trial.

Learning rates are powers of two. Sources: lava-nc 0.10, `learning/constants.py`, `learning_rule_applier.py`
(`LearningRuleApplierBitApprox.apply`) and `model/py/connection.py`; `tests/lava` drives those classes.
"""

from collections.abc import Sequence

import numpy as np

from lavaghost.base.errors import SpecError
from lavaghost.dynamics.fixed_point import restoring_bits
from lavaghost.net.graph import Graph
from lavaghost.numbers.arithmetic import Array
from lavaghost.numbers.widths import Formats, LoihiWidths
from lavaghost.online.integers.kernels import EngineRule
from lavaghost.online.integers.settings import IntegerLearning

SCALE_BITS = 4
"""W_S_MANT: bits of the literal's mantissa, which take part in the engine's right shift."""


def engine_shift(widths: LoihiWidths) -> int:
    """The engine's right shift for two traces and a literal: 7 + 7 + 4 bits into 15, so 3 on Loihi."""
    return max(0, 2 * widths.trace_bits + SCALE_BITS - widths.accumulator_bits)


def rule_of(learning: IntegerLearning, widths: LoihiWidths) -> EngineRule:
    """The constants of `updated` for a literal and for widths."""
    low, high = widths.weight_limits
    return EngineRule(
        top=1 << widths.accumulator_bits,
        unit=widths.accumulator_bits - widths.weight_range,
        step_bits=widths.weight_range - widths.weight_bits,
        low=low,
        high=high,
        right=engine_shift(widths),
        left=learning.exponent + 7,
        mantissa=learning.mantissa,
    )


def grain_of(learning: IntegerLearning, widths: LoihiWidths) -> int:
    """Low bits of a trace y that stay zero."""
    return engine_shift(widths) if learning.exact_shift else 0


def updated(weights: Array, x1: Array, y: Sequence[Array], q: Array | int, rule: EngineRule) -> Array:
    """The weights after one trial: the definition, in numpy.

    weights (n_post, n_pre) mantissas; x1 (n_pre,) and each y (n_post,) traces, one product per y; q 0..2^unit - 1
    (times the weight step), one number or one for each synapse.
    """
    low, high = -rule.top - 1, rule.top - 1
    total = weights.astype(np.int64) << rule.unit
    for post in y:
        product = np.outer(post.astype(np.int64), x1.astype(np.int64)) * rule.mantissa
        total = np.clip(total + np.clip((product >> rule.right) << rule.left, low, high), low, high)
    bits = rule.unit + rule.step_bits
    new = ((total + (1 << bits) - 1 - q) >> bits) << rule.step_bits
    # a silent synapse is not visited (x0 = 0); it would not change either, its fraction being zero
    return np.clip(new, rule.low, rule.high)


def shared_numbers(seed: int, first: int, shape: tuple[int, ...], bits: int) -> Array:
    """One number of 0..2^bits - 1 per connection and trial, a function of seed and trial."""
    draws = (np.random.default_rng([seed, 3, first + t]) for t in range(shape[0]))
    return np.stack([draw.integers(0, 1 << bits, shape[1]) for draw in draws])


def pre_trace(messages: Array, widths: LoihiWidths) -> Array:
    """x1: half of a message, halves to even as numpy rounds, and without sign."""
    p = np.maximum(messages, 0)
    return np.minimum((p >> 1) + (p & 3 == 3), (1 << widths.trace_bits) - 1)


def post_trace(error: Array, right: int, grain: int, limit: int, q: Array | int) -> Array:
    """y: an error in states, shifted right with the random numbers `q` in 0..2^right - 1, held in +-limit.

    `q = 2^(right - 1)` rounds to the nearest. The lowest `grain` bits of the result are zero.
    """
    y = (error + q) >> right if right > 0 else error << -right
    return np.clip(y << grain, -limit, limit)


def trace_limit(widths: LoihiWidths, grain: int) -> int:
    """The largest y: of its bits, and a multiple of 2^grain."""
    return ((1 << widths.trace_bits) - 1) >> grain << grain


def error_shifts(
    graph: Graph, learning: IntegerLearning, formats: Formats, widths: LoihiWidths, halvings: int
) -> dict[str, Array]:
    """Right shifts from errors to traces, per layer: what makes a step have the size that eta asks for.

        dW = (x1 y m 2^(left - right)) 2^-unit 2^-s = eta c delta r,   x1 = r 2^(f - 1),   y = delta 2^(F - h)
        h = f - 1 + F - right + left - unit - s + log2(m) - log2(eta c)

    with the restoring gain c. Returned are h + grain bits, for `error` and for the ghosts' two errors.
    """
    rule, grain = rule_of(learning, widths), grain_of(learning, widths)

    def shift(f: int, s: int, log2_gain: float) -> int:
        engine = rule.left - rule.right - rule.unit + np.log2(rule.mantissa)
        return round(f - 1 + widths.state_fraction + engine - s - log2_gain) + grain

    eta = learning.eta_exponent - halvings
    depth, messages = graph.depth, formats.messages
    error = []
    for k in range(1, depth + 1):
        gain = eta + restoring_bits(graph, k) + (learning.output_exponent if k == depth else 0)
        error.append(shift(messages[k - 1], formats.weights[k - 1], gain))
    learned = graph.ghosts_learn
    ghost = [
        shift(messages[k], formats.ghost_weights[k - 1] if learned else 0, learning.mu_exponent)
        for k in range(1, depth)
    ]
    inhibition = [
        shift(
            messages[k + 1], formats.ghost_inhibition[k - 1] if learned else 0, learning.mu_inhibition_exponent
        )
        for k in range(1, depth)
    ]
    shifts = {"error": error, "ghost_error": ghost, "inhibition_error": inhibition}
    worst = max((abs(h), name) for name, values in shifts.items() for h in values)
    if worst[0] > 30:
        raise SpecError(
            f"{worst[1]}: a shift by {worst[0]} bits leaves nothing of an error; choose eta near 2^-6, and for "
            f"{depth} layers a method.lam near 1 (now {graph.lam:g})"
        )
    return {name: np.array(values, np.int64) for name, values in shifts.items()}
