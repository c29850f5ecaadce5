"""The integer update against Lava's own learning classes, driven in process: no runtime, no processes.

What is compared is `PyLearningDenseModelBitApproximate.run_lrn` of lava-nc 0.10 with a `Loihi3FLearningRule`. It gets
the traces in the order of a time step of its `run_spk`; its random numbers are read, or replaced.
"""

from typing import Any

import numpy as np
import pytest

from lavaghost.numbers.widths import LoihiWidths
from lavaghost.online.integers.kernels import learn_columns, learn_rows
from lavaghost.online.integers.settings import (
    IntegerLearning,
)
from lavaghost.online.integers.update import (
    pre_trace,
    rule_of,
    updated,
)

pytestmark = [pytest.mark.lava]

WIDTHS = LoihiWidths()
NONE = np.zeros(0, np.int32)


class LavaLearning:
    """One of Lava's fixed-point learning connections, without a runtime."""

    def __init__(self, weights: Any, dw: str, seed: int = 1) -> None:
        from lava.magma.core.learning.constants import GradedSpikeCfg
        from lava.magma.core.learning.learning_rule import Loihi3FLearningRule
        from lava.proc.dense.models import PyLearningDenseModelBitApproximate
        from lava.utils.weightutils import SignMode

        # a trace that decays by exp(-2^-31) never loses a bit; infinity would be refused in fixed point
        rule = Loihi3FLearningRule(dw=dw, x1_tau=2**31, t_epoch=1, rng_seed=seed)
        rule.y1_tau = rule.y2_tau = rule.y3_tau = 2**31
        rule.x1_impulse = 0
        connection: Any = PyLearningDenseModelBitApproximate
        self.model = connection(
            {
                "learning_rule": rule,
                "shape": weights.shape,
                "graded_spike_cfg": GradedSpikeCfg.OVERWRITE,
                "sign_mode": SignMode.MIXED,
            }
        )
        post, pre = weights.shape
        for name, n in (("x0", pre), ("tx", pre), ("x1", pre), ("x2", pre)):
            setattr(self.model, name, np.zeros(n, bool if name == "x0" else int))
        for name in ("y0", "ty", "y1", "y2", "y3"):
            setattr(self.model, name, np.zeros(post, bool if name == "y0" else int))
        self.model.tag_1 = self.model.tag_2 = np.zeros(weights.shape, int)
        self.model.weights = weights.astype(np.int32)
        self.model.time_step = 0

    def update(self, payload: Any, y1: Any, y2: Any = None) -> Any:
        """One time step with its learning phase; the weights after it."""
        model, zero = self.model, np.zeros_like(y1)
        model.time_step += 1
        model._process_pre_spikes(payload)
        model._update_trace_randoms()
        model._process_post_spikes(zero.astype(bool))
        model._set_y_traces(np.array([y1, zero if y2 is None else y2, zero]))
        model._update_trace_randoms()
        model.run_lrn()
        return model.weights

    @property
    def random(self) -> float:
        """The number that the last update rounded with."""
        return self.model._conn_var_random.random_stochastic_round


class OwnNumbers:
    """Stands in for Lava's `ConnVarRandom`: one number for each synapse."""

    def __init__(self, shape: tuple[int, ...], seed: int) -> None:
        self.rng, self.shape = np.random.default_rng(seed), shape
        self.advance()

    def advance(self) -> None:
        self.random_stochastic_round = self.rng.random(self.shape)


def drawn(rng: Any, shape: tuple[int, int], extreme: bool) -> tuple[Any, Any, Any, Any]:
    post, pre = shape
    payload = rng.integers(0, 255, pre)
    payload[rng.random(pre) < 0.3] = 0
    y1, y2 = (rng.integers(-127, 128, post) for _ in range(2))
    y1[rng.random(post) < 0.3] = 0
    if extreme:
        payload = rng.choice([0, 1, 2, 3, 253, 254], pre)
        y1, y2 = (rng.choice([-128, -127, -1, 0, 1, 127], post) for _ in range(2))
    limit = 256 if extreme else 100
    return rng.integers(-limit, limit, shape), payload, y1, y2


@pytest.mark.parametrize("extreme", [False, True])
@pytest.mark.parametrize(("mantissa", "exponent"), [(1, -7), (3, -5), (7, -7), (1, 0), (5, 3)])
@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("second", [True, False])
def test_every_bit_of_lavas_update(extreme, mantissa, exponent, shared, second):
    """numpy's definition and both compiled loops, over 25 updates in a row."""
    shape = (8, 13)
    rng = np.random.default_rng([mantissa, exponent + 7, extreme, second])
    literal = f"{mantissa}*2^{exponent}"
    dw = f"{literal}*x0*x1*y1" + (f" + {literal}*x0*x1*y2" if second else "")
    ours = drawn(rng, shape, extreme)[0]
    lava = LavaLearning(ours, dw)
    if not shared:
        lava.model._conn_var_random = OwnNumbers(shape, 5)
    rule = rule_of(IntegerLearning(mantissa=mantissa, exponent=exponent), WIDTHS)
    w, moved = ours.copy(), 0
    for _ in range(25):
        _, payload, y1, y2 = drawn(rng, shape, extreme)
        wanted = lava.update(payload, y1, y2 if second else None)
        q = np.floor(lava.random * 128).astype(np.int64)
        x1 = pre_trace(payload, WIDTHS)
        before = w
        w = updated(w, x1, [y1, y2] if second else [y1], q, rule)
        np.testing.assert_array_equal(w, wanted)
        moved += int((before != w).sum())
        if shared:
            traces = [a.astype(np.int32) for a in (x1, y1, y2)]
            y_b = traces[2] if second else NONE
            columns, rows = before.astype(np.int16), np.ascontiguousarray(before.T).astype(np.int16)
            learn_columns(columns.reshape(-1), traces[0], traces[1], y_b, rule, np.uint32(0), int(q))
            learn_rows(rows.reshape(-1), traces[0], traces[1], y_b, rule, np.uint32(0), int(q))
            np.testing.assert_array_equal(columns, wanted)
            np.testing.assert_array_equal(rows.T, wanted)
    assert moved > 100  # it was worth comparing


def test_lava_draws_one_number_and_always_from_seed_two():
    """Known: every connection, whatever its seed, rounds with the same numbers, and all synapses with one."""
    numbers = []
    for seed in (1, 77):
        lava = LavaLearning(np.zeros((2, 2), int), "2^-7*x0*x1*y1", seed)
        lava.update(np.array([100, 50]), np.array([3, 5]))
        numbers.append(lava.random)
    wanted = np.random.default_rng(2)
    wanted.random(1)
    assert numbers == [wanted.random(1)[0]] * 2


def test_lavas_weights_stop_at_their_limits():
    lava = LavaLearning(np.array([[250], [-250]]), "2^-4*x0*x1*y1")
    found = lava.update(np.array([254]), np.array([127, -127]))
    assert found.tolist() == [[255], [-256]]
    assert WIDTHS.weight_limits == (-256, 255)


@pytest.mark.parametrize("n", [1, 3, 8])
def test_what_lava_makes_of_weights_that_are_set(n):
    """`static_step` is what Lava's Dense leaves of mantissas with N bits, sign mode MIXED."""
    from lava.utils.weightutils import SignMode, truncate_weights

    w = np.arange(-256, 256)
    step = LoihiWidths(weight_bits=n).static_step
    found: Any = truncate_weights(w, SignMode.MIXED, n)
    assert np.unique(found).tolist() == list(range(-256, 256, step))


def test_lavas_leaky_integrator_decays_as_ours():
    """`sign(z) (|z| keep >> 12)`: the current of `PyLifModelBitAcc`, whose decay constant is one less than ours."""
    from lava.proc.lif.models import PyLifModelBitAcc

    from lavaghost.numbers.loihi import Loihi
    from lavaghost.numbers.widths import Formats

    arith = Loihi(Formats((7, 6), (8,)))
    rng = np.random.default_rng(0)
    u = rng.integers(-(2**23) + 1, 2**23, 500)
    for take in (1, 7, 2048, 4095):
        model: Any = PyLifModelBitAcc.__new__(PyLifModelBitAcc)
        model.__init__({})
        model.u, model.v = u.astype(np.int32), np.zeros(500, np.int32)
        model.du, model.dv, model.vth = take - 1, 0, 1
        model.effective_bias = 0
        model.subthr_dynamics(np.zeros(500, np.int32))
        assert arith.take(4096 / take) == take
        np.testing.assert_array_equal(arith.integrate(u, np.zeros(500, np.int64), 4096 / take), model.u)
