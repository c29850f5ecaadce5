"""The Lava backend: the same steps as engine 'stepped', computed by Lava processes.

Lava runs on Python 3.10 only, so importing this package imports no Lava; `require_lava` says what is missing
and what to use instead. Everything that runs Lava goes through `session.Session`, which cannot hang.
"""

from lavaghost.lava.available import require_lava
from lavaghost.lava.runner import LavaRun, run_lava

__all__ = ["LavaRun", "require_lava", "run_lava"]
