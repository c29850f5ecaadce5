"""A public name is what it says, whatever was imported before."""

import subprocess
import sys

CODE = """
import lavaghost as lg
lg.load_data("digits")
import lavaghost.evaluate, lavaghost.training.loop, lavaghost.verification
from lavaghost.training import loop
assert loop.run.__module__ == "lavaghost.training.loop"
for name in ("train", "evaluate", "verify"):
    assert callable(getattr(lg, name)), name
"""


def test_rooms_do_not_hide_verbs():
    subprocess.run([sys.executable, "-c", CODE], check=True, timeout=600)
