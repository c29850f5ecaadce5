"""LavaGhost: ghost-unit learning as one model, from float training to Lava and exported files.

    import lavaghost as lg
    digits = lg.load_data("digits")
    run = lg.train(lg.Network(layers=(64, 128, 10)), digits, method=lg.Ghost(), epochs=15)
    run.model.score(digits)

Values for settings, verbs for actions, one object that holds a trained network. A name is loaded when it is asked for.
"""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from lavaghost.adapting.adapt import AdaptSpec as AdaptSpec
    from lavaghost.adapting.adapt import adapt as adapt
    from lavaghost.adapting.learner import OnlineLearner as OnlineLearner
    from lavaghost.base.errors import LavaGhostError as LavaGhostError
    from lavaghost.datasets import Dataset as Dataset
    from lavaghost.exporters.base import ExportReport as ExportReport
    from lavaghost.methods.backprop import Backprop as Backprop
    from lavaghost.methods.backprop import Frozen as Frozen
    from lavaghost.methods.base import Method as Method
    from lavaghost.methods.ghost.method import Ghost as Ghost
    from lavaghost.methods.ghost.plasticity import GhostSteps as GhostSteps
    from lavaghost.methods.ghost.rules import Rule as Rule
    from lavaghost.methods.learning import Learning as Learning
    from lavaghost.model.model import Model as Model
    from lavaghost.net.network import Network as Network
    from lavaghost.net.network import Schedule as Schedule
    from lavaghost.numbers.widths import LoihiWidths as LoihiWidths
    from lavaghost.online.integers.settings import IntegerLearning as IntegerLearning
    from lavaghost.run.spec import Lava as Lava
    from lavaghost.run.spec import RunSpec as RunSpec
    from lavaghost.run.train import Result as Result
    from lavaghost.verbs import (
        evaluate as evaluate,
    )
    from lavaghost.verbs import (
        export as export,
    )
    from lavaghost.verbs import (
        import_network as import_network,
    )
    from lavaghost.verbs import (
        load as load,
    )
    from lavaghost.verbs import (
        load_data as load_data,
    )
    from lavaghost.verbs import (
        map as map,
    )
    from lavaghost.verbs import (
        quantize as quantize,
    )
    from lavaghost.verbs import (
        train as train,
    )
    from lavaghost.verbs import (
        verify as verify,
    )

_WHERE = {
    "AdaptSpec": "adapting.adapt",
    "adapt": "adapting.adapt",
    "OnlineLearner": "adapting.learner",
    "LavaGhostError": "base.errors",
    "Dataset": "datasets",
    "ExportReport": "exporters.base",
    "Backprop": "methods.backprop",
    "Frozen": "methods.backprop",
    "Method": "methods.base",
    "Ghost": "methods.ghost.method",
    "GhostSteps": "methods.ghost.plasticity",
    "Rule": "methods.ghost.rules",
    "Learning": "methods.learning",
    "Model": "model.model",
    "Network": "net.network",
    "Schedule": "net.network",
    "Lava": "run.spec",
    "LoihiWidths": "numbers.widths",
    "IntegerLearning": "online.integers.settings",
    "RunSpec": "run.spec",
    "Result": "run.train",
    "evaluate": "verbs",
    "export": "verbs",
    "import_network": "verbs",
    "load": "verbs",
    "load_data": "verbs",
    "map": "verbs",
    "quantize": "verbs",
    "train": "verbs",
    "verify": "verbs",
}
"""Each public name, and the module that has it."""

__all__ = [
    "AdaptSpec",
    "Backprop",
    "Dataset",
    "ExportReport",
    "Frozen",
    "Ghost",
    "GhostSteps",
    "IntegerLearning",
    "Lava",
    "LavaGhostError",
    "Learning",
    "LoihiWidths",
    "Method",
    "Model",
    "Network",
    "OnlineLearner",
    "Result",
    "Rule",
    "RunSpec",
    "Schedule",
    "__version__",
    "adapt",
    "evaluate",
    "export",
    "import_network",
    "load",
    "load_data",
    "map",
    "quantize",
    "train",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(
            f"module 'lavaghost' has no attribute {name!r}; it has {', '.join(sorted(_WHERE))}"
        )
    found = getattr(importlib.import_module(f"lavaghost.{_WHERE[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted(__all__)
