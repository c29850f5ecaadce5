"""The two local rules. A rule names the postsynaptic factor; the presynaptic one is the rate at the trial's end.

    temporal     dW_k = eta_k (r_k^nudged - r_k^free) r_{k-1}^T     the neuron's own past
    prediction   dW_k = eta_k D(r_k - g_{k-1}) r_{k-1}^T            what its ghost did not predict

D is nudged minus free: what ghosts miss without a target is no error, and the neuron knows it when the free phase ends.
`r_{k-1}` is the nudged rate in every engine: a Lava trace holds the last payload of the trial. The gain
`eta_k` undoes the attenuation of nudge and feedback (`dynamics.fixed_point.restoring_gain`). Both rules are a
reconstruction from the abstract of Mesnard et al. 2019 (docs/theory.md).
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

from lavaghost.base.errors import SpecError
from lavaghost.engines import Local
from lavaghost.numbers.arithmetic import Array


class Rule(NamedTuple):
    """A local rule: `post(local)` gives the postsynaptic factor of one layer, `(batch, n_k)`.

    It sees only what the neurons of that layer have seen, so it runs wherever they do.

    Example: `Ghost(rule=Rule("sign", lambda local: np.sign(local.change)))`.
    """

    name: str
    post: Callable[[Local], Array]
    needs_push: bool = True
    """Whether it needs the total change of rates, with what deviations push upwards."""
    needs_prediction: bool = False
    """Whether it needs ghosts that predict the neuron's rate."""


def _unpredicted(local: Local) -> Array:
    if local.unpredicted is None:
        raise SpecError("rule 'prediction' needs ghosts that predict; use mechanism 'duplicate' or 'learned'")
    return local.unpredicted


TEMPORAL = Rule("temporal", lambda local: local.change)
PREDICTION = Rule("prediction", _unpredicted, needs_push=False, needs_prediction=True)
RULES: Mapping[str, Rule] = MappingProxyType({rule.name: rule for rule in (TEMPORAL, PREDICTION)})
