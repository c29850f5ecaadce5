"""Engines own the loops: `equilibrium` solves for the fixed points, `stepped` walks there in time.

Both turn a batch into a `Trial`; with one sample the stepped engine equals the Lava processes to the bit.
"""

from lavaghost.engines.trial import Local, Trial

__all__ = ["Local", "Trial"]
