"""Models of process classes that are made when they are asked for: one for each depth would be hundreds."""

from collections.abc import Callable, Iterable
from typing import Any


def late(names: dict[str, Any], models: Callable[[], Iterable[type[Any]]]) -> Callable[[str], Any]:
    """Put `models` among a module's `names`, and give its `__getattr__`, which adds those of later classes.

    Lava executes a file of models anew for each compilation, and then takes what it found there from the module that
    was imported, perhaps before the class was made.
    """

    def add() -> None:
        for model in models():
            names.setdefault(model.__name__, model)

    def found(name: str) -> Any:
        if not name.startswith("_"):
            add()
        if name not in names:
            raise AttributeError(f"module {names['__name__']} has no {name}")
        return names[name]

    add()
    return found
