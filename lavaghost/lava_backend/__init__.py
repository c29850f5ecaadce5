"""The Lava backend: the same steps as engine 'stepped', computed by Lava processes.

Lava runs on Python 3.10 only, so importing this package imports no Lava; `require_lava` says what is missing
and what to use instead. Everything that runs Lava goes through `session.Session`, which cannot hang.
"""

from lavaghost.lava_backend.available import require_lava
from lavaghost.lava_backend.runner import LavaRun, evaluate
from lavaghost.lava_backend.train import train, train_integers

__all__ = ["LavaRun", "evaluate", "require_lava", "train", "train_integers"]
