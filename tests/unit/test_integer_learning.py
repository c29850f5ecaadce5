"""Learning in integers: the compiled loops against the definitions, unbiased rounding, and runs that resume."""

from dataclasses import replace

import numpy as np
import pytest

from lavaghost.base.errors import ModelFileError, SpecError
from lavaghost.datasets import Dataset
from lavaghost.dynamics import wire
from lavaghost.dynamics.fixed_point import restoring_gain
from lavaghost.engines.stepped import Stepped
from lavaghost.methods.alignment import DirectFeedbackAlignment, FeedbackAlignment
from lavaghost.methods.backprop import Backprop, Frozen
from lavaghost.methods.base import Method
from lavaghost.methods.ghost.method import Ghost
from lavaghost.methods.ghost.rules import RULES
from lavaghost.model.answers import in_integers
from lavaghost.model.model import Model
from lavaghost.net.graph import Graph
from lavaghost.net.kinds import KINDS, ByMatrix
from lavaghost.net.network import Network
from lavaghost.numbers.arithmetic import Float
from lavaghost.numbers.integers import Integers
from lavaghost.numbers.widths import DEFAULT, Formats, LoihiWidths
from lavaghost.online.integers.compiled_network import CompiledNetwork, initial_integers
from lavaghost.online.integers.formats import default_formats
from lavaghost.online.integers.kernels import key_of, learn_columns, learn_rows, mix
from lavaghost.online.integers.settings import IntegerLearning, check_integer, integer_rule, suited
from lavaghost.online.integers.update import (
    engine_shift,
    error_shifts,
    grain_of,
    post_trace,
    pre_trace,
    rule_of,
    shared_numbers,
    trace_limit,
    updated,
)
from lavaghost.training.checkpoint import identity
from lavaghost.training.integer_learner import IntegerLearner
from lavaghost.training.loop import Trained, run
from tests.networks import parts

NONE = np.zeros(0, np.int32)


def given(layers=(6, 5, 3), **settings) -> tuple[Network, Ghost]:
    return parts(layers=layers, **({"loss": "squared_error", "lam": 0.25, "beta": 1.0} | settings))


def graph(layers=(6, 5, 3), **settings) -> Graph:
    net, method = given(layers, **settings)
    return method.graph(net)


def learned(learner: IntegerLearner, **options) -> Trained:
    """A run whose checkpoint belongs to widths and formats, as that of a job does."""
    form = Integers({}, learner.compiled.formats, learner.compiled.widths).form()
    return run(learner, identity=identity(**form), **options)


def some(digits: Dataset, count: int = 200) -> Dataset:
    return Dataset(
        "some digits",
        digits.x_train[:count],
        digits.y_train[:count],
        digits.x_test[:100],
        digits.y_test[:100],
        10,
        digits.scale,
    )


# ---- the update


@pytest.mark.parametrize("weight_bits", [8, 4, 1])
@pytest.mark.parametrize("exponent", [-7, -3])
def test_both_loops_equal_the_definition_with_a_number_per_synapse(weight_bits, exponent):
    rng = np.random.default_rng(weight_bits)
    rule = rule_of(IntegerLearning(exponent=exponent), LoihiWidths(weight_bits=weight_bits))
    step = 1 << rule.step_bits
    w = rng.integers(-256 // step, 256 // step, (7, 9)) * step
    x1, y, y_b = rng.integers(0, 128, 9), rng.integers(-127, 128, 7), rng.integers(-127, 128, 7)
    x1[2] = y[3] = y_b[3] = 0
    key = key_of(1, 2, 3)
    index = np.arange(9)[None] * 7 + np.arange(7)[:, None]
    bits = rule.unit + rule.step_bits
    q = np.array([int(mix(np.uint32((int(key) + i) & 0xFFFFFFFF))) >> (32 - bits) for i in index.ravel()])
    traces = [a.astype(np.int32) for a in (x1, y, y_b)]
    for second, ys in ((NONE, [y]), (traces[2], [y, y_b])):
        wanted = updated(w, x1, ys, q.reshape(7, 9), rule)
        columns, rows = w.astype(np.int16), np.ascontiguousarray(w.T).astype(np.int16)
        learn_columns(columns.reshape(-1), traces[0], traces[1], second, rule, key, -1)
        learn_rows(rows.reshape(-1), traces[0], traces[1], second, rule, key, -1)
        np.testing.assert_array_equal(columns, wanted)
        np.testing.assert_array_equal(rows.T, wanted)
        assert np.all(wanted % step == 0)


def test_stochastic_rounding_has_the_right_mean():
    """Over all 128 numbers the mean change is exactly `x1 y 2^-10`, where nothing saturates."""
    rule = rule_of(IntegerLearning(), DEFAULT)
    w, x1, y = np.array([[0, 17], [-9, 100]]), np.array([127, 3]), np.array([8, -64])
    changes = [updated(w, x1, [y], q, rule) - w for q in range(128)]
    np.testing.assert_allclose(np.mean(changes, axis=0), np.outer(y, x1) / 1024, rtol=0, atol=1e-12)


def test_errors_of_whole_eighths_do_not_drift():
    """`>> 3` cuts to below: a trace of 1 and of -1 do not cancel, of 8 and of -8 they do."""
    rule = rule_of(IntegerLearning(), DEFAULT)
    w, x1 = np.zeros((1, 1), int), np.array([127])

    def mean(y: int) -> float:
        return float(np.mean([updated(w, x1, [np.array([y])], q, rule) for q in range(128)]))

    assert mean(8) + mean(-8) == 0
    assert mean(1) + mean(-1) == pytest.approx(-1 / 128)


def test_random_numbers_are_uniform_and_differ_between_projections():
    x = np.array([mix(np.uint32(i)) for i in range(20_000)], dtype=np.uint64)
    assert abs((x >> 31).mean() - 0.5) < 0.02
    counts = np.bincount((x >> 25).astype(int), minlength=128)
    assert counts.std() < 2 * np.sqrt(counts.mean())
    keys = {int(key_of(0, stream, sample)) for stream in range(30) for sample in range(1000)}
    assert len(keys) > 29_900
    assert (shared_numbers(3, 10, (5, 4), 7) == shared_numbers(3, 0, (15, 4), 7)[10:]).all()


# ---- traces


def test_traces_are_half_a_message_and_a_shifted_error():
    assert pre_trace(np.array([0, 1, 2, 3, 5, 7, 254, -4]), DEFAULT).tolist() == [0, 0, 1, 2, 2, 4, 127, 0]
    assert post_trace(np.array([100, -100, 3]), 3, 0, 127, 4).tolist() == [13, -12, 0]
    assert post_trace(np.array([100, -5000]), 5, 3, 120, 16).tolist() == [24, -120]
    assert post_trace(np.array([3]), -2, 0, 127, 0).tolist() == [12]
    assert (engine_shift(DEFAULT), trace_limit(DEFAULT, 3), trace_limit(DEFAULT, 0)) == (3, 120, 127)


@pytest.mark.parametrize("exact_shift", [True, False])
@pytest.mark.parametrize("mantissa_exponent", [(1, -7), (4, -5)])
def test_an_update_has_the_size_that_eta_asks_for(exact_shift, mantissa_exponent):
    """dW = eta c delta r within the rounding of the error, whatever literal and format deliver it."""
    net = graph((4, 3, 2), lam=0.5)
    mantissa, exponent = mantissa_exponent
    learning = IntegerLearning(
        eta_exponent=-7, exact_shift=exact_shift, mantissa=mantissa, exponent=exponent, error_rounding="nearest"
    )
    formats = Formats((7, 6, 10), (9, 8))
    shifts = error_shifts(net, learning, formats, DEFAULT, 0)["error"]
    rule, grain = rule_of(learning, DEFAULT), grain_of(learning, DEFAULT)
    for k, delta in ((1, 0.04), (2, 0.25)):
        f, s = formats.messages[k - 1], formats.weights[k - 1]
        right = int(shifts[k - 1])
        error = np.array([round(delta * 4096)])
        y = post_trace(error, right, grain, trace_limit(DEFAULT, grain), 1 << max(right - 1, 0))
        x1 = pre_trace(np.array([1 << f]), DEFAULT)
        change = np.mean([updated(np.zeros((1, 1), int), x1, [y], q, rule) for q in range(128)]) * 2.0**-s
        eta = 2.0**-7 * restoring_gain(net, k)
        coarse = 2.0**right * 2.0**-12
        assert change == pytest.approx(eta * delta, abs=eta * coarse * 0.51 + 2.0 ** -(s + 7))


# ---- a whole trial


@pytest.mark.parametrize("mechanism", ["duplicate", "learned", "online"])
def test_a_compiled_trial_equals_its_definition(mechanism):
    """Three trials in a row against `Stepped` in integers, `post_trace` and `updated`."""
    rule = "prediction" if mechanism == "duplicate" else "temporal"
    net = graph((6, 5, 4, 3), mechanism=mechanism, feedback="random")
    learning = IntegerLearning(rounding="shared", error_rounding="nearest", eta_exponent=-2)
    formats = default_formats(net)
    integers = CompiledNetwork(net, initial_integers(net, 1, formats, DEFAULT), seed=5)
    arith, depth, moved = integers.arith, net.depth, 0
    grain, constants = grain_of(learning, DEFAULT), rule_of(learning, DEFAULT)
    shifts = error_shifts(net, learning, formats, DEFAULT, 0)
    limit = trace_limit(DEFAULT, grain)
    rng = np.random.default_rng(0)

    def trace(error, right):
        return post_trace(error, int(right), grain, limit, 1 << max(int(right) - 1, 0))

    for t in range(3):
        x, label = rng.random(6), int(rng.integers(3))
        q = shared_numbers(5, t, (1, 5 * depth), 7)[0]
        before = integers.integers
        engine = Stepped(net, arith)
        free, end = engine.ends(before, x[None], np.eye(3)[[label]])
        now, past, ghost = engine.rates(end), engine.rates(free), engine.ghost_rates(end)
        sent = [arith.input(x), *(arith.message(r, k)[0] for k, r in enumerate(now, start=1))]
        integers.learn(RULES[rule], learning, arith.input(x)[None], np.array([label]), t)
        after = integers.integers.arrays
        y = []
        for k in range(depth):
            predicted = ghost[k - 1] if rule == "prediction" and k > 0 else past[k]
            y.append(trace((now[k] - predicted)[0], shifts["error"][k]))
        for k in range(depth):
            w, b, left = f"weights.{k + 1}", f"biases.{k + 1}", DEFAULT.state_fraction - formats.weights[k]
            x1 = pre_trace(sent[k], DEFAULT)
            wanted = updated(before.arrays[w], x1, [y[k]], q[k], constants)
            np.testing.assert_array_equal(after[w], wanted)
            moved += int((wanted != before.arrays[w]).sum())
            one = np.array([1 << formats.messages[k] >> 1])
            bias = (before.arrays[b] >> left)[:, None]
            wanted = updated(bias, one, [y[k]], q[depth + k], constants)
            np.testing.assert_array_equal(after[b], wanted[:, 0] << left)
        if mechanism == "learned":
            for k in range(depth - 1):
                g, i = f"ghost_weights.{k + 1}", f"ghost_inhibition.{k + 1}"
                error = (past[k + 1] - engine.ghost_rates(free)[k])[0]
                own = trace(error, shifts["ghost_error"][k])
                x1 = pre_trace(sent[k + 1], DEFAULT)
                wanted = updated(before.arrays[g], x1, [own, y[k + 1]], q[2 * depth + k], constants)
                np.testing.assert_array_equal(after[g], wanted)
                left = trace((free.feedback[k] - free.inhibition[k])[0], shifts["inhibition_error"][k])
                x1 = pre_trace(arith.message(ghost[k], k + 2)[0], DEFAULT)
                wanted = updated(before.arrays[i], x1, [left], q[4 * depth + k], constants)
                np.testing.assert_array_equal(after[i], wanted)
    assert moved > 10


def test_duplicates_and_tied_feedback_stay_copies_while_they_learn():
    net = graph((6, 5, 4, 3))
    formats = default_formats(net)
    integers = CompiledNetwork(net, initial_integers(net, 1, formats, DEFAULT))
    x = np.random.default_rng(0).random((20, 6))
    learning = IntegerLearning(eta_exponent=-2)
    integers.learn(RULES["prediction"], learning, integers.arith.input(x), np.arange(20) % 3, 0)
    for state in Stepped(net, integers.arith).states(integers.integers, x[:2]):
        for ghost, partner in zip(state[1].v_ghost, state[1].v_mem[1:], strict=True):
            np.testing.assert_array_equal(ghost, partner)


# ---- runs


def test_a_run_learns_and_reports_honestly(digits):
    found = run(IntegerLearner(*given((64, 24, 10), lam=0.125), IntegerLearning(epochs=3), digits))
    assert [row["epoch"] for row in found.history] == [0, 1, 2, 3]
    last = found.history[-1]
    assert last["accuracy"] > 0.85
    assert min(last["cosines"]) > 0.9
    assert last["residuals"] == [0.0]
    assert set(last) >= {"waited", "sampled_cosines", "saturated_weights", "saturated_messages", "norms"}
    assert {row["waited"] for row in found.history} == {0}
    assert found.history[0]["saturated_errors"] == 0.0


@pytest.mark.parametrize("mechanism", ["duplicate", "learned"])
def test_an_interrupted_run_ends_with_the_same_bits(digits, tmp_path, mechanism):
    net, method = given((64, 12, 10), lam=0.125, mechanism=mechanism, rule="temporal")
    learning = IntegerLearning(epochs=3, chunk=70, pretrain_samples=150, seed=3)
    data = some(digits)

    def learner(**options) -> IntegerLearner:
        return IntegerLearner(net, method, **({"learning": learning, "data": data} | options))

    whole = learned(learner())

    def stop(_done, _total, row):
        if row is not None and row["epoch"] == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        learned(learner(), out=tmp_path, report=stop)
    resumed = learned(learner(), out=tmp_path, resume=True)
    again = learned(learner(learning=learning.model_copy(update={"chunk": 33})))
    assert resumed.integers == whole.integers == again.integers
    assert resumed.history == whole.history
    with pytest.raises(ModelFileError, match=r"widths\.weight_bits: 8, now 4"):
        learned(learner(widths=LoihiWidths(weight_bits=4)), out=tmp_path, resume=True)


def test_a_checkpoint_holds_the_integers_as_they_are(digits):
    """Their types and bits, and nothing else; what is outside of its bits is refused, not clipped."""
    net, method = given((64, 12, 10), lam=0.125, mechanism="learned", feedback="random")
    widths = LoihiWidths(weight_bits=5, weight_range=6)
    learner = IntegerLearner(net, method, IntegerLearning(epochs=0), some(digits), widths=widths)
    held = dict(learner.tensors())
    assert held.keys() == {f"parameters.{name}" for name in learner.compiled.arrays}
    assert {name: a.dtype for name, a in held.items()} == {
        name: np.dtype(np.int32 if "biases" in name else np.int16) for name in held
    }
    held["parameters.weights.1"] = held["parameters.weights.1"] * 0 + 62
    held["parameters.biases.2"] = held["parameters.biases.2"] * 0 - 4096
    learner.restore(held)
    numbers, state = learner.result()
    assert state == {}
    for name, array in numbers.arrays.items():
        np.testing.assert_array_equal(array, held[f"parameters.{name}"])
    with pytest.raises(ModelFileError, match=r"damaged: weights\.1: 64 is outside -64\.\.62"):
        learner.restore(held | {"parameters.weights.1": held["parameters.weights.1"] + np.int16(2)})
    with pytest.raises(ModelFileError, match=r"unexpected parameters\.biases\.1 \(12,\) float64"):
        learner.restore(held | {"parameters.biases.1": np.zeros(12)})


def test_a_run_becomes_a_network_that_holds_its_integers(digits, tmp_path):
    (net, method), learning, data = (
        given((64, 12, 10), lam=0.125),
        IntegerLearning(epochs=1),
        some(digits),
    )
    found = run(IntegerLearner(net, method, learning, data))
    trained = Model(net, method, learning, found.integers, data.scale, tuple(range(10)), data.name)
    again = Model.load(trained.save(tmp_path))
    assert again.integers == found.integers
    engine = Stepped(again.graph, found.integers.arith)
    outputs = engine.output(found.integers, data.x_test) * 2.0**-12
    np.testing.assert_array_equal(in_integers(again.graph, found.integers, data.x_test), outputs)
    assert (outputs.argmax(axis=1) == data.y_test).mean() == found.history[-1]["accuracy"]


def test_ghosts_learn_to_cancel_before_the_network_learns(digits):
    net, method = given((64, 16, 10), lam=0.125, mechanism="learned")
    learning = IntegerLearning(epochs=0, pretrain_samples=0)
    before = run(IntegerLearner(net, method, learning, digits)).history[0]["residuals"][0]
    learning = learning.model_copy(update={"pretrain_samples": 4000})
    found = run(IntegerLearner(net, method, learning, digits))
    assert found.history[0]["residuals"][0] < 0.6 * before
    whole = method.graph(net)
    start = initial_integers(whole, 0, default_formats(whole), DEFAULT)
    np.testing.assert_array_equal(found.integers.arrays["weights.1"], start.arrays["weights.1"])


# ---- a network without ghosts, or without feedback


@pytest.mark.parametrize("layers", [(6, 5, 3), (6, 5, 4, 3)])
@pytest.mark.parametrize(
    "method", [Backprop(), Frozen(), FeedbackAlignment(), DirectFeedbackAlignment()], ids=lambda m: m.name
)
def test_a_network_without_ghosts_runs_in_its_integers(method, layers):
    """Feedback that carries errors alone is kept, and nothing of it is felt."""
    net = method.graph(Network(layers=layers))
    formats = default_formats(net)
    start = initial_integers(net, 2, formats, DEFAULT)
    rng = np.random.default_rng(0)
    biases = {f"biases.{k}": rng.integers(-2000, 2000, n) for k, n in enumerate(layers[1:], start=1)}
    integers = Integers({**start.arrays, **biases}, formats, DEFAULT)
    compiled, x = CompiledNetwork(net, integers), rng.random((40, 6))
    assert compiled.integers == integers
    np.testing.assert_array_equal(
        compiled.outputs(compiled.arith.input(x)), Stepped(net, integers.arith).output(integers, x)
    )
    assert compiled.states.v == compiled.states.fb == compiled.mantissas.back == compiled.mantissas.g == ()
    with pytest.raises(SpecError, match="nothing nudges this network"):
        compiled.trial(np.zeros(6, int), np.zeros(3, int))


def test_feedback_without_ghosts_reaches_hidden_layers():
    """Feedback that nothing cancels, as a method of its own may have it: every state equals the step's."""
    base = graph((6, 5, 4, 3))
    bare = replace(
        base,
        populations=tuple(p for p in base.populations if p.role != "ghost"),
        projections=tuple(p for p in base.projections if "ghost." not in p.name),
    )
    assert bare.has_feedback and not bare.has_ghosts  # noqa: PT018
    integers = initial_integers(bare, 1, default_formats(bare), DEFAULT)
    compiled = CompiledNetwork(bare, integers)
    x, target = np.random.default_rng(0).random((3, 6)), np.eye(3)
    free, end = Stepped(bare, compiled.arith).ends(integers, x, target)
    assert all(np.any(f) for f in free.feedback)
    for t in range(3):
        compiled.trial(compiled.arith.input(x)[t], compiled.arith.array(target)[t])
        found = (*compiled.states.u_free, *compiled.states.left, *compiled.states.u)
        for a, b in zip(found, (*free.v_mem, *free.feedback, *end.v_mem), strict=True):
            np.testing.assert_array_equal(a, b[t])


def test_a_kind_that_is_not_dense_runs_by_its_exact_matrix(monkeypatch):
    """Integers hold its weights, and the loops its matrix; learning is refused."""
    monkeypatch.setitem(KINDS._known, "every_second", EverySecond())
    net, method = given((6, 4, 3), kinds=("every_second", "dense"))
    whole = method.graph(net)
    integers = initial_integers(whole, 0, default_formats(whole), DEFAULT)
    assert integers.arrays["weights.1"].shape == (4, 3)
    compiled = CompiledNetwork(whole, integers)
    assert compiled.integers == integers
    dense = graph((6, 4, 3))
    spread = np.zeros((4, 6), np.int16)
    spread[:, ::2] = integers.arrays["weights.1"]
    same = Integers({**integers.arrays, "weights.1": spread}, integers.formats, DEFAULT)
    x = compiled.arith.input(np.random.default_rng(0).random((9, 6)))
    np.testing.assert_array_equal(compiled.outputs(x), CompiledNetwork(dense, same).outputs(x))
    with pytest.raises(SpecError, match="kind every_second: integers learn dense projections"):
        check_integer(whole, method.local_rule, IntegerLearning(), integers.formats, DEFAULT)


class Half(ByMatrix):
    def __init__(self, n_pre: int, n_post: int) -> None:
        self.shape, self.fan_in, self.n_pre = (n_post, n_pre // 2), n_pre // 2, n_pre

    def matrix(self, w):
        out = np.zeros((len(w), self.n_pre), w.dtype)
        out[:, ::2] = w
        return out

    def gather(self, changes):
        return changes[:, ::2]


class EverySecond:
    """Synapses from every second unit alone."""

    name = "every_second"

    def between(self, pre, post):
        return Half(pre[0], post[0])


def test_integers_of_other_formats_are_not_read_as_these():
    net = graph()
    integers = initial_integers(net, 0, default_formats(net), DEFAULT)
    other = replace(integers, widths=LoihiWidths(state_fraction=13))
    with pytest.raises(SpecError, match="would read them as others"):
        wire(net, other, integers.arith)
    with pytest.raises(SpecError, match="would read them as others"):
        wire(net, integers, Float())


# ---- what is refused


@pytest.mark.parametrize(
    ("net", "rule", "formats", "widths", "said"),
    [
        ({"loss": "cross_entropy"}, "prediction", None, {}, "cross_entropy needs a softmax"),
        ({"mechanism": "online"}, "prediction", None, {}, "needs ghosts that predict the layer above"),
        ({}, "prediction", Formats((7, 6), (8, 8)), {}, "formats name 2 layers, the network has 3"),
        (
            {},
            "prediction",
            Formats((8, 6, 6), (8, 8)),
            {},
            "layer 0: a bias unit of rate 1 has the message 256, above",
        ),
        ({}, "prediction", Formats((7, 6, 6), (8, 13)), {}, r"weights\.2: fraction 13 is finer"),
        (
            {},
            "prediction",
            None,
            {"trace_bits": 4},
            "message_bits 8: a trace of 4 bits cannot hold half of the message 254",
        ),
    ],
)
def test_what_integers_cannot_learn(net, rule, formats, widths, said):
    net, widths = graph(**net), LoihiWidths(**widths)
    with pytest.raises(SpecError, match=said):
        check_integer(net, RULES[rule], IntegerLearning(), formats or default_formats(net, widths), widths)


@pytest.mark.parametrize(
    ("method", "said"),
    [
        (Backprop(), "method 'backprop' does not learn in integers"),
        (Ghost(rule=RULES["temporal"]._replace(name="mine")), "rule 'mine' is not compiled for integers"),
        (Ghost(rule=RULES["temporal"]._replace(needs_push=False)), "rule 'temporal' is not compiled"),
    ],
)
def test_rules_that_are_not_compiled_are_refused(method: Method, said, digits):
    with pytest.raises(SpecError, match=said):
        integer_rule(method)
    with pytest.raises(SpecError, match=said):
        IntegerLearner(given()[0], method, IntegerLearning(), digits)


def test_a_gain_that_no_shift_has_is_refused(digits):
    def learner(lam: float, **learning) -> IntegerLearner:
        return IntegerLearner(*given((64, 12, 10), lam=lam), IntegerLearning(**learning), digits)

    with pytest.raises(SpecError, match=r"method\.lam is 0\.1, and a chip shifts; use a power of two"):
        learner(0.1, epochs=0)
    with pytest.raises(SpecError, match=r"an error of 1 falls to 2\^-30 .* use a lam of at least 0\.000488281"):
        learner(2.0**-30, epochs=1, eta_exponent=4)
    net = graph((64, 12, 10), lam=2.0**-30)
    with pytest.raises(SpecError, match=r"error: a shift by -?\d+ bits leaves nothing of an error"):
        error_shifts(net, IntegerLearning(eta_exponent=4), default_formats(net), DEFAULT, halvings=0)


def test_physics_are_suited_where_they_can_be():
    """Of the network and of a method that has them; a method without gains stays what it is."""
    net, method = suited(Network(layers=(6, 5, 3)), Ghost(mechanism="online"), LoihiWidths(message_bits=6))
    assert (net.loss, net.saturation) == ("squared_error", 62 / 16)
    assert isinstance(method, Ghost)
    assert (method.lam, method.beta, method.mechanism) == (0.125, 1.0, "online")
    assert (method.schedule.t_free_steps, method.schedule.t_nudge_steps) == (24, 12)
    assert suited(Network(layers=(6, 5, 3)), Backprop())[1] == Backprop()
