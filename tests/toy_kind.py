"""A kind of projection of a third party, of which no room knows: each unit hears three neighbours."""

from dataclasses import dataclass

import numpy as np

from lavaghost.net.kinds import ByMatrix


@dataclass(frozen=True)
class BandProducts(ByMatrix):
    """Unit i hears the units i - 1, i and i + 1 that there are; w is (3, n_post)."""

    n_pre: int
    n_post: int

    @property
    def shape(self) -> tuple[int, ...]:
        return (3, self.n_post)

    @property
    def fan_in(self) -> int:
        return 3

    def _synapses(self) -> list[tuple[int, int, int]]:
        """(row of w, unit, unit that it hears)."""
        every = ((j, i, i + j - 1) for j in range(3) for i in range(self.n_post))
        return [(j, i, heard) for j, i, heard in every if 0 <= heard < self.n_pre]

    def matrix(self, w: np.ndarray) -> np.ndarray:
        found = np.zeros((self.n_post, self.n_pre), w.dtype)
        for j, i, heard in self._synapses():
            found[i, heard] = w[j, i]
        return found

    def gather(self, changes: np.ndarray) -> np.ndarray:
        found = np.zeros(self.shape, changes.dtype)
        for j, i, heard in self._synapses():
            found[j, i] = changes[i, heard]
        return found


class Band:
    """See `Kind`."""

    name = "band"

    def between(self, pre: tuple[int, ...], post: tuple[int, ...]) -> BandProducts:
        return BandProducts(int(np.prod(pre)), int(np.prod(post)))
