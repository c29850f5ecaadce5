"""Compilation: one for all networks, said before it begins, keyed by all sources, and without a place to keep it."""

import logging
from itertools import product

import numpy as np
import pytest
from numba.core import caching

from lavaghost.cli.console import bar
from lavaghost.engines.compiled.memory import LINE, laid_out
from lavaghost.engines.compiled.toolchain import LOG, compiled, digest_of, said
from lavaghost.methods.backprop import Backprop
from lavaghost.methods.base import Method
from lavaghost.methods.ghost.rules import RULES
from lavaghost.net.network import Network
from lavaghost.numbers.widths import DEFAULT
from lavaghost.online.integers.compiled_network import CompiledNetwork, initial_integers
from lavaghost.online.integers.formats import default_formats
from lavaghost.online.integers.kernels import perform
from lavaghost.online.integers.probe import probe
from lavaghost.online.integers.settings import IntegerLearning, suited
from tests.networks import parts


def use(network: Network, method: Method) -> None:
    """All that is done with the compiled loops."""
    graph = method.graph(network)
    integers = CompiledNetwork(graph, initial_integers(graph, 0, default_formats(graph), DEFAULT), seed=2**40)
    x = integers.spikes(integers.arith.input(np.random.default_rng(0).random((3, graph.layers[0]))))
    x.flags.writeable = False
    for rule, rounding in product(RULES.values(), ("independent", "shared", "nearest")):
        if not graph.has_feedback or (rule.needs_prediction and not graph.predicts):
            continue
        learning = IntegerLearning(rounding=rounding)
        integers.learn(rule, learning, x[::2], np.array([1, 0], np.uint8), 2**31)
        integers.teach(rule, learning, x[0], 7, 1, network=False)
        probe(integers, rule, learning, x, np.array([0, 1, 2]), 0)
    integers.outputs(x.T.copy().T)
    integers.reset(x[0])
    integers.step(None)
    integers.keep_free()
    if graph.has_feedback:
        integers.step(np.arange(graph.layers[-1]))


def test_networks_of_every_depth_and_mechanism_share_one_compilation():
    """Types of arguments are those of any network, so a new depth compiles nothing."""
    for hidden, mechanism in product(((5,), (5, 4), (5, 4, 6, 3)), ("duplicate", "online", "learned")):
        use(*suited(*parts(layers=(6, *hidden, 3), mechanism=mechanism, feedback="tied")))
    use(*suited(*parts(layers=(6, 5, 4, 3), feedback="random")))
    use(Network(layers=(6, 5, 4, 3)), Backprop())
    assert len(perform.signatures) == 1


def test_a_compilation_is_logged_once_before_it_begins(caplog, capsys):
    caplog.set_level(logging.INFO, LOG.name)
    order = []

    @compiled
    def inner(a):
        return a + 1

    @compiled
    def outer(a):
        return inner(a) * 2

    with bar("work", 1), said("this takes long"):
        order.append(len(caplog.messages))
        outer(1)
        outer(2)
    assert (order, caplog.messages) == ([0], ["this takes long"])
    assert capsys.readouterr().err.count("this takes long") == 1
    with bar("work", 1), said("this takes long"):
        outer(3)
    assert "this takes long" not in capsys.readouterr().err
    assert LOG.handlers == []


def test_what_is_called_from_another_file_is_part_of_the_key(tmp_path):
    one, two = tmp_path / "one.py", tmp_path / "two.py"
    one.write_text("a")
    two.write_text("b")
    before = digest_of(str(one), str(two))
    assert digest_of(str(one), str(two)) == before
    two.write_text("c")
    assert digest_of(str(one), str(two)) != before
    free = dict(zip(perform.py_func.__code__.co_freevars, perform.py_func.__closure__, strict=True))
    assert isinstance(free["sources"].cell_contents, int)


def test_code_that_can_be_kept_nowhere_runs_all_the_same(monkeypatch):
    # its name was private in older versions of Numba
    for name in {"_CacheImpl", "CacheImpl", "CompileResultCacheImpl"} & vars(caching).keys():
        monkeypatch.setattr(getattr(caching, name), "_locator_classes", [])
    with pytest.raises(RuntimeError, match="no locator"):
        caching.FunctionCache(use)
    assert compiled(abs_of)(-3) == 3


def abs_of(a):
    return a if a > 0 else -a


def test_an_array_of_two_groups_is_held_once():
    a, b = np.arange(6, dtype=np.int16).reshape(2, 3), np.full(40, 9, np.int16)
    buffer, at, views = laid_out([(a, b), (b,), ()], np.int16)
    assert at.tolist() == [[0, LINE], [LINE, 0], [0, 0]]
    assert len(buffer) == 3 * LINE
    for view, array in zip((*views[0], *views[1]), (a, b, b), strict=True):
        np.testing.assert_array_equal(view, array)
        assert np.shares_memory(view, buffer)
    views[1][0][3] = 4
    assert views[0][1][3] == 4
