"""Learning in integers: the compiled loops against the definitions, unbiased rounding, and runs that resume."""

import numpy as np
import pytest

from lavaghost.base.errors import ModelFileError, SpecError
from lavaghost.base.spec import parse
from lavaghost.datasets import Dataset
from lavaghost.dynamics.fixed_point import restoring_gain
from lavaghost.engines.stepped import Stepped
from lavaghost.evaluate.evaluation import integer_outputs
from lavaghost.net.spec import Network
from lavaghost.numbers.loihi import Loihi
from lavaghost.numbers.widths import DEFAULT, Formats, LoihiWidths
from lavaghost.online.integers.compiled_network import CompiledNetwork, initial_integers
from lavaghost.online.integers.kernels import key_of, learn_columns, learn_rows, mix
from lavaghost.online.integers.settings import (
    IntegerLearning,
    check_integer,
    default_formats,
)
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
from lavaghost.run.config import RunConfig, integer_run
from lavaghost.train.integer_loop import as_trained, train_integers

NONE = np.zeros(0, np.int32)


def network(layers=(6, 5, 3), **physics) -> Network:
    return Network(layers=layers, **({"loss": "squared_error", "lam": 0.25, "beta": 1.0} | physics))


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
    net = network((4, 3, 2), lam=0.5)
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
    net = network((6, 5, 4, 3), mechanism=mechanism, feedback="random")
    rule = "prediction" if mechanism == "duplicate" else "temporal"
    learning = IntegerLearning(rule=rule, rounding="shared", error_rounding="nearest", eta_exponent=-2)
    formats = default_formats(net)
    integers = CompiledNetwork(net, formats, DEFAULT, initial_integers(net, 1, formats, DEFAULT), seed=5)
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
        before = integers.params
        engine = Stepped(net, arith)
        free, end = engine.ends(before, x[None], np.eye(3)[[label]])
        now, past, ghost = engine.rates(end), engine.rates(free), engine.ghost_rates(end)
        sent = [arith.input(x), *(arith.message(r, k)[0] for k, r in enumerate(now, start=1))]
        integers.learn(learning, arith.input(x)[None], np.array([label]), t)
        after = integers.params
        y = []
        for k in range(depth):
            predicted = ghost[k - 1] if rule == "prediction" and k > 0 else past[k]
            y.append(trace((now[k] - predicted)[0], shifts["error"][k]))
        for k in range(depth):
            scale = 2.0 ** formats.weights[k]
            x1 = pre_trace(sent[k], DEFAULT)
            wanted = updated(np.rint(before.weights[k] * scale), x1, [y[k]], q[k], constants)
            np.testing.assert_array_equal(after.weights[k] * scale, wanted)
            moved += int((wanted != before.weights[k] * scale).sum())
            one = np.array([1 << formats.messages[k] >> 1])
            bias = np.rint(before.biases[k] * scale)[:, None]
            wanted = updated(bias, one, [y[k]], q[depth + k], constants)
            np.testing.assert_array_equal(after.biases[k] * scale, wanted[:, 0])
        if mechanism == "learned":
            for k in range(depth - 1):
                scale = 2.0 ** formats.ghost_weights[k]
                error = (past[k + 1] - engine.ghost_rates(free)[k])[0]
                own = trace(error, shifts["ghost_error"][k])
                x1 = pre_trace(sent[k + 1], DEFAULT)
                g = np.rint(before.ghost_weights[k] * scale)
                wanted = updated(g, x1, [own, y[k + 1]], q[2 * depth + k], constants)
                np.testing.assert_array_equal(after.ghost_weights[k] * scale, wanted)
                left = trace((free.feedback[k] - free.inhibition[k])[0], shifts["inhibition_error"][k])
                x1 = pre_trace(arith.message(ghost[k], k + 2)[0], DEFAULT)
                i = np.rint(before.ghost_inhibition[k] * scale)
                wanted = updated(i, x1, [left], q[4 * depth + k], constants)
                np.testing.assert_array_equal(after.ghost_inhibition[k] * scale, wanted)
    assert moved > 10


def test_duplicates_and_tied_feedback_stay_copies_while_they_learn():
    net = network((6, 5, 4, 3))
    formats = default_formats(net)
    integers = CompiledNetwork(net, formats, DEFAULT, initial_integers(net, 1, formats, DEFAULT))
    x = np.random.default_rng(0).random((20, 6))
    learning = IntegerLearning(eta_exponent=-2)
    integers.learn(learning, integers.arith.input(x), np.arange(20) % 3, 0)
    for state in Stepped(net, Loihi(formats)).states(integers.params, x[:2]):
        for ghost, partner in zip(state[1].v_ghost, state[1].v_mem[1:], strict=True):
            np.testing.assert_array_equal(ghost, partner)


# ---- runs


def test_a_run_learns_and_reports_honestly(digits):
    run = train_integers(network((64, 24, 10), lam=0.125), IntegerLearning(epochs=3), digits)
    assert [row["epoch"] for row in run.history] == [0, 1, 2, 3]
    last = run.history[-1]
    assert last["accuracy"] > 0.85
    assert min(last["cosines"]) > 0.9
    assert last["residuals"] == [0.0]
    assert set(last) >= {"waited", "sampled_cosines", "saturated_weights", "saturated_messages", "norms"}


@pytest.mark.parametrize("mechanism", ["duplicate", "learned"])
def test_an_interrupted_run_ends_with_the_same_bits(digits, tmp_path, mechanism):
    net = network((64, 12, 10), lam=0.125, mechanism=mechanism)
    learning = IntegerLearning(rule="temporal", epochs=3, chunk=70, pretrain_samples=150, seed=3)
    data = some(digits)
    whole = train_integers(net, learning, data)

    def stop(_done, _total, row):
        if row is not None and row["epoch"] == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_integers(net, learning, data, out=tmp_path, report=stop)
    resumed = train_integers(net, learning, data, out=tmp_path, resume=True)
    again = train_integers(net, learning.model_copy(update={"chunk": 33}), data)
    for name, array in whole.params.named().items():
        np.testing.assert_array_equal(resumed.params.named()[name], array)
        np.testing.assert_array_equal(again.params.named()[name], array)
    assert resumed.history == whole.history
    with pytest.raises(ModelFileError, match=r"widths\.weight_bits: 8, now 4"):
        train_integers(net, learning, data, widths=LoihiWidths(weight_bits=4), out=tmp_path, resume=True)


def test_a_run_becomes_a_network_that_holds_its_integers(digits, tmp_path):
    net, learning, data = network((64, 12, 10), lam=0.125), IntegerLearning(epochs=1), some(digits)
    formats = default_formats(net)
    run = train_integers(net, learning, data)
    trained = as_trained(net, learning, data, run, (formats, DEFAULT))
    again = type(trained).load(trained.save(tmp_path))
    outputs = Stepped(net, Loihi(formats)).output(run.params, data.x_test) * 2.0**-12
    np.testing.assert_array_equal(integer_outputs(again, data.x_test), outputs)
    assert (outputs.argmax(axis=1) == data.y_test).mean() == run.history[-1]["accuracy"]


def test_ghosts_learn_to_cancel_before_the_network_learns(digits):
    net = network((64, 16, 10), lam=0.125, mechanism="learned")
    learning = IntegerLearning(rule="temporal", epochs=0, pretrain_samples=0)
    before = train_integers(net, learning, digits).history[0]["residuals"][0]
    learning = learning.model_copy(update={"pretrain_samples": 4000})
    run = train_integers(net, learning, digits)
    assert run.history[0]["residuals"][0] < 0.6 * before
    formats = default_formats(net)
    start = initial_integers(net, 0, formats, DEFAULT)
    np.testing.assert_array_equal(run.params.weights[0], start.weights[0])


# ---- what is refused


@pytest.mark.parametrize(
    ("net", "learning", "formats", "widths", "said"),
    [
        ({"loss": "cross_entropy"}, {}, None, {}, "cross_entropy needs a softmax"),
        ({"mechanism": "online"}, {}, None, {}, "'online' ones do not"),
        ({}, {}, Formats((7, 6), (8, 8)), {}, "formats name 2 layers, the network has 3"),
        ({}, {}, Formats((8, 6, 6), (8, 8)), {}, "layer 0: a bias unit of rate 1 has the message 256, above"),
        ({}, {}, Formats((7, 6, 6), (8, 13)), {}, r"weights\.2: fraction 13 is finer"),
        (
            {},
            {},
            None,
            {"trace_bits": 4},
            "message_bits 8: a trace of 4 bits cannot hold half of the message 254",
        ),
    ],
)
def test_what_integers_cannot_learn(net, learning, formats, widths, said):
    net, widths = network(**net), LoihiWidths(**widths)
    with pytest.raises(SpecError, match=said):
        check_integer(net, IntegerLearning(**learning), formats or default_formats(net, widths), widths)


def test_a_gain_that_no_shift_has_is_refused(digits):
    with pytest.raises(SpecError, match=r"network\.lam is 0\.1, and a chip shifts; use a power of two"):
        train_integers(network((64, 12, 10), lam=0.1), IntegerLearning(epochs=0), digits)
    net = network((64, 12, 10), lam=2.0**-30)
    with pytest.raises(SpecError, match=r"an error of 1 falls to 2\^-30 .* use a lam of at least 0\.000488281"):
        train_integers(net, IntegerLearning(epochs=1, eta_exponent=4), digits)
    with pytest.raises(SpecError, match=r"error: a shift by -?\d+ bits leaves nothing of an error"):
        error_shifts(net, IntegerLearning(eta_exponent=4), default_formats(net), DEFAULT, halvings=0)


def test_a_configuration_means_integers_where_it_is_silent(digits):
    """What it names stays; what it does not suits integers."""
    run = parse(RunConfig, {"network": {"lam": 0.5}, "learning": {"eta": 0.03, "epochs": 7, "seed": 2}})
    net, learning = integer_run(run, digits)
    assert (net.lam, net.beta, net.loss, net.saturation) == (0.5, 1.0, "squared_error", 254 / 64)
    assert (learning.eta_exponent, learning.epochs, learning.seed) == (-5, 7, 2)
    net, learning = integer_run(RunConfig(), digits, LoihiWidths(message_bits=6))
    assert (net.lam, net.saturation, learning.epochs) == (0.125, 62 / 16, 20)
    hard, _ = integer_run(parse(RunConfig, {"network": {"activation": "hard_sigmoid"}}), digits)
    assert (hard.r_max, hard.saturation) == (1.0, None)
