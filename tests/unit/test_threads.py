"""The number of BLAS threads: by size alone, never the user's own choice, restored, and inherited by a process."""

import multiprocessing
import threading
from itertools import pairwise

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from lavaghost.datasets import Dataset
from lavaghost.engines import threads
from lavaghost.engines.threads import CHOSEN, LARGE, is_small, suited_threads
from lavaghost.methods.ghost.method import Ghost
from lavaghost.methods.learning import Learning
from lavaghost.net.network import Network
from lavaghost.training import float_learner as training
from lavaghost.training.loop import run

SMALL, WIDE = Network(layers=(64, 32, 10)), Network(layers=(4096, 4096, 10))


def counts() -> set[int]:
    """Threads of each BLAS that is loaded."""
    return {found["num_threads"] for found in threadpool_info() if found["user_api"] == "blas"}


@pytest.fixture(autouse=True)
def three(monkeypatch: pytest.MonkeyPatch):
    """Three threads, and no wish in the environment."""
    for name in CHOSEN:
        monkeypatch.delenv(name, raising=False)
    with threadpool_limits(3, user_api="blas"):
        yield


def test_small_products_have_one_thread_and_large_ones_what_there_is():
    before = counts()
    assert before == {3}
    with suited_threads(SMALL, 50):
        assert counts() == {1}
        with suited_threads(WIDE, 50):  # beside a small one
            assert counts() == {1}
    assert counts() == before
    with suited_threads(WIDE, 50):
        assert counts() == before
        with suited_threads(SMALL, 50):
            assert counts() == {1}
        assert counts() == before


@pytest.mark.parametrize("layers", [(64, 128, 10), (784, 500, 10), (784, 500, 500, 500, 10), (3, 2**14, 2)])
def test_the_largest_product_decides(layers):
    network = Network(layers=layers)
    enough = -(-LARGE // max(a * b for a, b in pairwise(layers)))
    assert is_small(network, enough - 1)
    assert not is_small(network, enough)


def test_the_networks_of_the_speed_table_keep_their_threads_and_the_digits_have_one():
    assert not is_small(Network(layers=(784, 500, 10)), 100)
    assert not is_small(Network(layers=(784, 500, 500, 500, 10)), 100)
    assert is_small(Network(layers=(64, 500, 500, 10)), 50)


@pytest.mark.parametrize("name", CHOSEN)
def test_the_choice_of_the_user_stays(name, monkeypatch):
    monkeypatch.setenv(name, "3")
    with suited_threads(SMALL, 50):
        assert counts() == {3}


def test_blocks_beside_each_other_restore_what_was_before_them():
    """In the order in, in, out, out, which restores of their own would get wrong."""
    first_in, second_in, first_out = (threading.Event() for _ in range(3))
    seen = []

    def other() -> None:
        first_in.wait()
        with suited_threads(SMALL, 1):
            second_in.set()
            first_out.wait()
            seen.append(counts())

    thread = threading.Thread(target=other)
    thread.start()
    with suited_threads(SMALL, 1):
        first_in.set()
        second_in.wait()
    seen.append(counts())
    first_out.set()
    thread.join()
    assert seen == [{1}, {1}]
    assert counts() == {3}


def test_it_ends_with_an_exception():
    with pytest.raises(KeyboardInterrupt), suited_threads(SMALL, 1):
        raise KeyboardInterrupt
    assert counts() == {3}


def test_a_process_inherits_it():
    context = multiprocessing.get_context("fork")
    with suited_threads(SMALL, 1):
        pipe, theirs = context.Pipe()
        process = context.Process(target=lambda: theirs.send((np.ones((9, 9)) @ np.ones((9, 9)), counts())[1]))
        process.start()
        assert pipe.recv() == {1}
        process.join()


def test_training_has_one_thread_and_never_looks_at_the_load(monkeypatch, digits: Dataset):
    seen = []
    shuffled = training.shuffled

    def watched(*arguments):
        for batch in shuffled(*arguments):
            seen.append(counts())
            yield batch

    monkeypatch.setattr(training, "shuffled", watched)
    monkeypatch.setattr(threads.os, "getloadavg", None)
    learning = Learning(epochs=1, batch_size=400)
    run(training.FloatLearner(SMALL, Ghost(), learning, digits, diagnostics=False))
    assert seen
    assert all(found == {1} for found in seen)
    assert counts() == {3}
