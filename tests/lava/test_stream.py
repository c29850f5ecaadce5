"""A stream on Lava is the stepped loop on the same samples: numbers and answers, to the bit, in one call or in two."""

import numpy as np
import pytest
from lava_integers import LABELS, SAMPLES, course_of, integers_of
from lava_integers import network as integer_network
from lava_networks import PAIRS, network, parameters, plan
from lava_streams import MODELS, same, stepped

from lavaghost.base.errors import DivergedError, LavaError, SpecError
from lavaghost.lava import lesson_run
from lavaghost.lava.number_systems import AnyNumbers, arrays_of
from lavaghost.lava.stream import learn_stream
from lavaghost.numbers.integers import Integers
from lavaghost.numbers.widths import LoihiWidths

pytestmark = [pytest.mark.lava, pytest.mark.usefixtures("nothing_left")]


@pytest.mark.parametrize("fixed", [False, True])
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(("mechanism", "rule"), [PAIRS[1], PAIRS[2], PAIRS[4]])
def test_a_stream_is_the_stepped_loop(mechanism, rule, model, fixed):
    start: AnyNumbers
    first = 1
    if fixed:
        net = integer_network(2, mechanism=mechanism)
        course = course_of(net, rule)
        start = integers_of(course).integers
    else:
        net = network(2, mechanism=mechanism)
        course = plan(net, rule, eta_decay="constant")
        start = parameters(net)
    wanted = stepped(course, start, SAMPLES, LABELS, first)
    whole = learn_stream(net, course, start, SAMPLES, LABELS, first=first, processes=model)
    same(whole.numbers, wanted.numbers)
    np.testing.assert_array_equal(whole.outputs, wanted.outputs)
    assert any((a != arrays_of(start)[name]).any() for name, a in arrays_of(whole.numbers).items())

    numbers, outputs = start, []
    for part in (slice(0, 1), slice(1, 1), slice(1, 4)):  # the empty one starts nothing
        found = learn_stream(
            net, course, numbers, SAMPLES[part], LABELS[part], first=first + part.start, processes=model
        )
        numbers = found.numbers
        outputs.append(found.outputs)
    same(numbers, wanted.numbers)
    np.testing.assert_array_equal(np.concatenate(outputs), wanted.outputs)


def test_a_long_stream_is_presented_in_many_runs_of_lava(monkeypatch):
    """More trials than the pipe of outputs holds, in runs of a few steps."""
    monkeypatch.setattr(lesson_run, "STEPS_AT_ONCE", 30)
    net = network()
    course = plan(net, "temporal", eta_decay="constant")
    rows = np.random.default_rng(3).integers(0, 4, 150)
    found = learn_stream(net, course, parameters(net), SAMPLES[rows], LABELS[rows])
    wanted = stepped(course, parameters(net), SAMPLES[rows], LABELS[rows], 0)
    same(found.numbers, wanted.numbers)
    np.testing.assert_array_equal(found.outputs, wanted.outputs)


@pytest.mark.parametrize("model", MODELS)
def test_an_interrupted_stream_leaves_nothing(model, monkeypatch):
    """Ctrl-C in the middle passes through; the numbers of the caller are as they were."""
    net = network()
    params = parameters(net)

    def interrupted(*_args):
        raise KeyboardInterrupt

    monkeypatch.setattr("lavaghost.lava.stream.read_record", interrupted)
    with pytest.raises(KeyboardInterrupt):
        learn_stream(net, plan(net, "temporal"), params, SAMPLES, LABELS, processes=model)
    same(params, parameters(net))


def test_a_process_that_fails_and_a_time_out_are_lava_errors():
    net = network()
    course = plan(net, "temporal")
    with pytest.raises(LavaError, match=r"within the time-out of 1e-06 s"):
        learn_stream(net, course, parameters(net), SAMPLES, LABELS, timeout_s=1e-6)


def test_numbers_that_leave_the_finite_range_are_named():
    net = network(saturation=None, loss="squared_error")
    course = plan(net, "temporal", eta=1e300, eta_decay="constant")
    with np.errstate(all="ignore"), pytest.raises(DivergedError, match=r"in trials 0 to 3: .*weights\.1"):
        learn_stream(net, course, parameters(net), SAMPLES, LABELS)


X, Y = SAMPLES, LABELS


@pytest.mark.parametrize(
    ("x", "labels", "first", "text"),
    [
        (X[:, :5], Y, 0, r"x has shape \(4, 5\), the network needs \(n, 12\)"),
        (np.where(X[2, 3] == X, np.nan, X), Y, 0, r"x\[2\] has a number that is NaN"),
        (X, Y[:3], 0, r"labels have shape \(3,\), and there are 4 samples"),
        (X, Y / 2, 0, r"labels are float64; give whole numbers"),
        (X, Y + 1, 0, r"label 4 is outside 0\.\.3"),
        (
            X[:, :5],
            Y - 1,
            -1,
            r"needs \(n, 12\).*; label -1 is outside 0\.\.3.*; first is -1; count trials from 0",
        ),
    ],
)
def test_samples_that_do_not_fit_are_refused(x, labels, first, text):
    net = network()
    with pytest.raises(SpecError, match=text):
        learn_stream(net, plan(net, "temporal"), parameters(net), x, labels, first=first)


def test_numbers_that_the_course_does_not_go_on_with_are_refused():
    net = integer_network()
    course = course_of(net, "temporal")
    held = integers_of(course).integers
    other = Integers(held.arrays, held.formats._replace(weights=(7, 8)), LoihiWidths(state_fraction=14))
    short = Integers({n: a for n, a in held.arrays.items() if n != "biases.1"}, held.formats, held.widths)
    float_net = network()
    cases = [
        (
            net,
            course,
            parameters(float_net),
            "the numbers are in floating point, and the course learns in integ",
        ),
        (
            float_net,
            plan(float_net, "temporal"),
            held,
            "the numbers are in integers, and the course learns in flo",
        ),
        (
            net,
            course,
            other,
            r"weights is \[7, 8\] in the integers and .*; state_fraction is 14 in the integers and 12",
        ),
        (net, course, short, r"biases\.1 is missing; give all arrays"),
        (float_net, course, held, "the course is of another graph"),
    ]
    for graph, lessons, numbers, text in cases:
        with pytest.raises(SpecError, match=text):
            learn_stream(graph, lessons, numbers, SAMPLES, LABELS)
