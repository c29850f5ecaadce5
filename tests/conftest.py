"""Shared by all tests: Hypothesis without deadlines (machines are shared), and the embedded digits."""

import signal

import pytest
from hypothesis import settings

from lavaghost.datasets import Dataset, load

# a shell that starts the tests in the background has them ignore Ctrl-C, which some of them are about; programs
# that they start would inherit that
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


settings.register_profile("lavaghost", deadline=None)
settings.load_profile("lavaghost")


@pytest.fixture(scope="session")
def digits() -> Dataset:
    return load("digits")
