"""Snapshots of a run are few, evenly spaced, and end with the last."""

import numpy as np
import pytest

from lavaghost.lava.record import SNAPSHOTS, Thinned


@pytest.mark.parametrize("count", range(1, 200))
def test_the_last_value_is_always_kept(count):
    series = Thinned()
    for i in range(count):
        series.add(10 * i, [np.array(i)])
        assert series.kept[-1][0] == 10 * i
    trials = [trial for trial, _ in series.kept]
    assert [int(values[0]) for _, values in series.kept] == [trial // 10 for trial in trials]
    assert len(trials) <= SNAPSHOTS
    even = trials if (count - 1) % series.every == 0 else trials[:-1]
    assert even == list(range(0, 10 * count, 10 * series.every))
