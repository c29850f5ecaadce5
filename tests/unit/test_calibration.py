"""What layers do on calibration samples, against the pass written out, and the figures that schemes take of it."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from lavaghost.engines.calibration import Calibration, calibrations
from lavaghost.exporters.chain import Chain, chain, chaining
from tests.unit.onnx_networks import samples, trained_network


def net_of(**physics: Any) -> tuple[Chain, np.ndarray]:
    chaining("chalk")
    trained = trained_network(**physics)
    return chain(trained, "chalk"), samples(trained) * np.float32(trained.input_scale)


@pytest.mark.parametrize("physics", [{}, {"saturation": 0.3}, {"activation": "hard_sigmoid"}])
def test_every_layer_is_that_of_the_pass_in_double_precision(physics):
    net, x = net_of(**physics)
    found = list(calibrations(net.layers, net.r_max, x))
    assert len(found) == 3
    for i, sample in enumerate(x[:5]):
        rate = sample.astype(np.float64)
        for layer, (w, b) in zip(found, net.layers, strict=True):
            np.testing.assert_allclose(layer.below[i], rate, rtol=1e-12)
            summed = np.array([sum(float(v) * r for v, r in zip(row, rate, strict=True)) for row in w])
            np.testing.assert_allclose(layer.sums[i], summed, rtol=1e-12, atol=1e-14)
            np.testing.assert_allclose(layer.drives[i], summed + b, rtol=1e-12, atol=1e-14)
            rate = np.clip(summed + b, 0, net.r_max)
            np.testing.assert_allclose(layer.rates[i], rate, rtol=1e-12, atol=1e-14)
    assert {array.dtype for layer in found for array in layer} == {np.dtype(np.float64)}


def test_one_layer_is_made_at_a_time():
    net, x = net_of()
    found = calibrations(net.layers, net.r_max, x)
    assert isinstance(found, Iterator)
    first = next(found)
    np.testing.assert_array_equal(next(found).below, first.rates)


def layer(rates: list[float]) -> Calibration:
    column = np.array(rates)[:, None]
    return Calibration(column, column, column, column)


def test_percentiles_are_of_all_rates_or_of_those_above_zero():
    some = layer([0.0, 0.0, 0.0, 1.0, 3.0])
    assert (some.percentile(50), some.percentile(100)) == (3.0, 3.0)  # 0 would be no threshold, so the largest
    assert (some.active_percentile(50), some.active_percentile(100)) == (2.0, 3.0)
    assert layer([1.0, 2.0, 3.0]).percentile(50) == 2.0
    silent = layer([0.0, 0.0])
    assert silent.percentile(99) == silent.active_percentile(99) == 1.0
