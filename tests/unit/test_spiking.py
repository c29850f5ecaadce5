"""Integrate-and-fire networks: what a rate code must do, and integers against the equations written out."""

import math
from itertools import repeat

import numpy as np
import pytest

from lavaghost.dynamics import initial_parameters
from lavaghost.exporters.chain import Chain
from lavaghost.exporters.spiking.neurons import (
    FormatLimits,
    InputCode,
    Spiking,
    input_levels,
    magnitude,
    regular_spikes,
    simulate,
    spike_scales,
    spiking_integers,
)
from lavaghost.net.graph import feedforward
from lavaghost.net.network import Network

LIMITS = FormatLimits(weight=127, bias=4095, threshold=1 << 17, drive=1 << 17)
LAYERS = (6, 8, 7, 3)


def one_neuron(theta: float = 1.0) -> Spiking:
    """A neuron that passes its input on, and an output that counts its spikes."""
    return Spiking((np.eye(1), np.eye(1)), (np.zeros(1), np.zeros(1)), (theta,), 1.0)


def rates(drives: np.ndarray, steps: int, reset) -> np.ndarray:
    return simulate(one_neuron(), repeat(drives, steps), reset).counts[0] / steps


def converted(code: InputCode = "current", seed: int = 1):
    params = initial_parameters(feedforward(Network(layers=LAYERS)), seed)
    # biases start at zero, which would leave them untested
    biases = tuple(np.linspace(-0.3, 0.4, len(b)).astype(np.float32) for b in params.biases)
    params = Chain(1 / 16, params.weights, biases, math.inf)
    x = np.random.default_rng(seed).integers(0, 17, (50, LAYERS[0])).astype(np.float32) / 16
    scales = spike_scales(params, x, 99.9, LIMITS, input_levels(x, 1 / 16, 8), code)
    return params, x, scales


def naive(net: Spiking, inputs: list[np.ndarray], reset: str, delayed: bool) -> np.ndarray:
    """One sample, one neuron, one connection at a time, in Python's own integers."""
    depth = len(net.weights)
    v = [[0.0] * len(w) for w in net.weights]
    sent = [[0] * w.shape[1] for w in net.weights]
    sums = [0] * len(net.weights[-1])
    padding = [np.zeros(net.weights[0].shape[1])] * depth if delayed else []
    for t, sample in enumerate([*inputs, *padding]):
        before = [list(s) for s in sent]
        sent[0] = [int(i) for i in sample]
        for k in range(depth):
            arriving = before[k] if delayed else sent[k]
            for j in range(len(v[k])):
                drive = int(net.biases[k][j])
                for i, s in enumerate(arriving):
                    drive += int(net.weights[k][j, i]) * int(s)
                if k == depth - 1:
                    sums[j] += drive if t >= len(padding) else 0
                    continue
                v[k][j] += drive
                fires = v[k][j] >= net.thresholds[k]
                if fires:
                    v[k][j] = 0.0 if reset == "hard" else v[k][j] - net.thresholds[k]
                sent[k + 1][j] = int(fires)
    return np.array(sums)


def test_a_rate_converges_to_the_relu_as_one_over_the_number_of_steps():
    drives = np.random.default_rng(0).uniform(-0.5, 1, (2000, 1))
    steps = np.array([8, 16, 32, 64, 128, 256])
    errors = [float(np.abs(rates(drives, int(t), "soft") - np.maximum(drives, 0)).max()) for t in steps]
    slope = np.polyfit(np.log(steps), np.log(errors), 1)[0]
    assert slope == pytest.approx(-1, abs=0.02)
    # a rate of T steps is floor(T r) / T
    assert all(error < 1 / t + 1e-12 for error, t in zip(errors, steps, strict=True))


def test_a_hard_reset_has_the_period_of_its_drive_and_keeps_its_error():
    drives = np.array([[0.7], [0.3], [0.24], [1.0]])
    found = rates(drives, 1200, "hard").ravel()
    np.testing.assert_allclose(found, [1 / 2, 1 / 4, 1 / 5, 1], atol=1e-3)


@pytest.mark.parametrize("reset", ["hard", "soft"])
def test_a_neuron_saturates_at_one_spike_a_step(reset):
    """Any drive from the threshold on gives the rate 1, which stands for the bound; below it a rate is smaller."""
    above = np.array([[1.0], [1.5], [7.0]])
    np.testing.assert_array_equal(rates(above, 30, reset), 1)
    assert rates(np.array([[0.999]]), 30, reset) < 1


@pytest.mark.parametrize("r_max", [0.4, 1.0])
@pytest.mark.parametrize("code", ["current", "spikes"])
def test_thresholds_at_the_bound_give_clipped_rates(r_max, code):
    """theta counts / T = clip(u, 0, r_max) within theta / T, by a soft reset and a constant drive; above, all equal."""
    params, x, _ = converted(code)
    params = params._replace(r_max=r_max)
    scales = spike_scales(params, x, None, LIMITS, input_levels(x, 1 / 16, 8), code)
    net, held, steps = spiking_integers(params, scales), np.rint(x / scales.input), 64
    theta = net.thresholds[0] * scales.units[0]
    assert abs(theta - r_max) <= scales.units[0]
    arriving = held / scales.top if code == "spikes" else held
    drives = (arriving @ net.weights[0].T + net.biases[0]) * scales.units[0]
    assert (drives > theta).any()
    found = simulate(net, repeat(arriving, steps), "soft").counts[0] * theta / steps
    assert np.abs(found - np.clip(drives, 0, theta)).max() <= theta / steps
    np.testing.assert_array_equal(found[drives >= theta], theta)
    # the next layer takes each spike for the bound of this one
    per_spike = scales.units[1] / theta
    np.testing.assert_allclose(net.weights[1] * per_spike, params.weights[1], atol=0.501 * per_spike)


def test_a_soft_reset_conserves_charge():
    drives = np.random.default_rng(1).uniform(-1, 0.95, (200, 1))
    steps, theta = 50, 1.0
    count = simulate(one_neuron(theta), repeat(drives, steps), "soft").counts[0]
    left = steps * drives - theta * count
    # what came in and did not go out is still there, below the threshold
    assert np.all(left < theta)
    assert np.all(left[drives > 0] > -1e-12)
    np.testing.assert_array_equal(count[drives <= 0], 0)


@pytest.mark.parametrize("top", [1, 7, 16, 255])
def test_regular_spikes_are_as_many_as_the_sample_and_evenly_spread(top):
    samples = np.arange(-1, top + 2)[None]
    steps = 32
    train = np.array(list(regular_spikes(samples, top, steps)))[:, 0]
    assert set(np.unique(train)) <= {0.0, 1.0}
    wanted = np.clip(samples[0], 0, top) * np.arange(1, steps + 1)[:, None] / top
    assert np.abs(np.cumsum(train, axis=0) - wanted).max() <= 0.5


@pytest.mark.parametrize("reset", ["hard", "soft"])
@pytest.mark.parametrize("delayed", [False, True])
@pytest.mark.parametrize("code", ["current", "spikes"])
def test_integers_equal_the_naive_loop(reset, delayed, code):
    params, x, scales = converted(code)
    net, held = spiking_integers(params, scales), np.rint(x[:6] / scales.input)
    steps = 20
    inputs = list(regular_spikes(held, scales.top, steps)) if code == "spikes" else [held] * steps
    found = simulate(net, inputs, reset, delayed=delayed)
    assert min(int(c.sum()) for c in found.counts) > 0
    for i in range(len(held)):
        np.testing.assert_array_equal(
            found.sums[i], naive(net, [step[i] for step in inputs], reset, delayed), strict=False
        )


def test_the_voltage_is_held_within_its_limit():
    net = Spiking((np.array([[1.0]]), np.eye(1)), (np.zeros(1), np.zeros(1)), (5.5,), 1.0)
    falling = [np.array([[-4.0]])] * 10
    rising = [np.array([[3.0]])] * 4
    free, held = simulate(net, [*falling, *rising]), simulate(net, [*falling, *rising], limit=6)
    assert free.counts[0].sum() == 0
    assert held.counts[0].sum() == 1  # from -6 in four steps


@pytest.mark.parametrize("code", ["current", "spikes"])
def test_integers_are_the_network_within_half_a_unit(code):
    params, _, scales = converted(code)
    net = spiking_integers(params, scales)
    arriving = scales.input * (scales.top if code == "spikes" else 1)
    for k, unit in enumerate(scales.units):
        np.testing.assert_allclose(
            net.weights[k] * unit / arriving, params.weights[k], atol=0.501 * unit / arriving
        )
        np.testing.assert_allclose(net.biases[k] * unit, params.biases[k], atol=0.501 * unit)
        arriving = net.thresholds[k] * unit if k < len(net.thresholds) else 0.0
    assert all(theta % 1 == 0.5 for theta in net.thresholds)
    # the finest unit that a limit allows: one of them is met
    for w, b in zip(net.weights, net.biases, strict=True):
        assert np.abs(w).max() <= LIMITS.weight
        assert np.abs(b).max() <= LIMITS.bias
    assert np.abs(net.weights[-1]).max() == LIMITS.weight


def test_a_tighter_limit_makes_every_unit_coarser_and_is_kept():
    params, x, scales = converted()
    tight = FormatLimits(weight=127, bias=20, threshold=300, drive=1 << 17)
    found = spike_scales(params, x, 99.9, tight, input_levels(x, 1 / 16, 8), "current")
    assert all(new >= old for new, old in zip(found.units, scales.units, strict=True))
    assert max(found.thresholds) <= 300
    assert max(np.abs(b).max() for b in spiking_integers(params, found).biases) <= 20


def test_a_deep_network_converges_to_its_static_integers_as_one_over_the_number_of_steps():
    params, x, scales = converted()
    net, held = spiking_integers(params, scales), np.rint(x / scales.input)
    rate = held
    for w, b, theta in zip(net.weights, net.biases, net.thresholds, strict=False):
        rate = np.clip((rate @ w.T + b) / theta, 0, 1)
    exact = rate @ net.weights[-1].T + net.biases[-1]
    steps = np.array([16, 64, 256, 1024])
    errors = [np.abs(simulate(net, repeat(held, int(t)), "soft").sums / t - exact).mean() for t in steps]
    slope = np.polyfit(np.log(steps), np.log(errors), 1)[0]
    assert slope == pytest.approx(-1, abs=0.15)


def test_magnitude_bounds_what_the_simulation_reaches():
    params, x, scales = converted()
    net, held = spiking_integers(params, scales), np.rint(x / scales.input)
    found = simulate(net, repeat(held, 32))
    assert found.largest <= magnitude(net, held, 32)


@pytest.mark.parametrize(
    ("x", "scale", "bits", "wanted"),
    [
        (np.array([0.0, 1.0]), 1 / 16, 8, (1 / 16, 16)),
        (np.array([0.0, 1.0]), 1 / 255, 8, (1 / 255, 255)),
        (np.array([0.0, 1.0]), 1 / 255, 4, (1 / 15, 15)),
        (np.array([-2.0, 0.3]), 1.0, 8, (2 / 255, 255)),
        (np.zeros(3), 1.0, 3, (1 / 7, 7)),
    ],
)
def test_inputs_are_taken_as_they_are_if_they_fit(x, scale, bits, wanted):
    unit, top = input_levels(x[:, None], scale, bits)
    assert math.isclose(unit, wanted[0])
    assert top == wanted[1]
