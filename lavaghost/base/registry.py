"""Things that are found by name: ours, those of other packages (entry points), and those handed over in Python."""

from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Generic, TypeVar

from lavaghost.base.errors import LavaGhostError, SpecError, join_faults

T = TypeVar("T")


class Registry(Generic[T]):
    """What is registered in the entry point group `group`, beside `own`; `contract` is what each must be.

    `what` names one of them in messages, and `error` is what they are raised as.
    """

    def __init__(
        self,
        group: str,
        what: str,
        contract: Any,
        own: Mapping[str, T],
        error: type[LavaGhostError] = SpecError,
    ) -> None:
        self.group, self.what, self.contract, self.error = group, what, contract, error
        self._known: dict[str, T] = dict(own)
        self._loaded: dict[str, T] = {}

    def names(self) -> tuple[str, ...]:
        """All names, sorted. Nothing is imported for this."""
        found = {entry.name for entry in entry_points(group=self.group)}
        return tuple(sorted(found | self._known.keys()))

    def register(self, name: str, thing: T) -> T:
        """Make `thing` known in this process. Raises `SpecError` if another has the name."""
        if self._known.get(name, thing) is not thing:
            raise self.error(f"{self.what} {name!r} is there already; choose another name")
        self._known[name] = self._checked(name, "it", thing)
        return thing

    def find(self, name: str) -> T:
        """The one of this name. Raises `SpecError` if there is none, more than one, or if it does not work."""
        if name in self._known:
            return self._known[name]
        entries = {entry.value: entry for entry in entry_points(group=self.group) if entry.name == name}
        if not entries:
            raise self.error(f"no {self.what} {name!r:.80}; there are {', '.join(self.names()) or 'none'}")
        if len(entries) > 1:
            raise self.error(
                f"{self.what} {name!r} is registered as {' and '.join(sorted(entries))}; uninstall all but one"
            )
        ((value, entry),) = entries.items()
        if value not in self._loaded:
            self._loaded[value] = self._checked(name, value, self._load(entry))
        return self._loaded[value]

    def _load(self, entry: EntryPoint) -> Any:
        try:
            return entry.load()
        # whatever goes wrong while a foreign module is imported
        except Exception as error:
            reason = join_faults([f"{type(error).__name__}: {error}"])
            raise self.error(
                f"{self.what} {entry.name!r} ({entry.value}) cannot be loaded: {reason:.300}; mend or "
                "uninstall its package"
            ) from error

    def _checked(self, name: str, where: str, thing: Any) -> T:
        # a class has the attributes of its objects
        object_wanted = self.contract is not type
        if not isinstance(thing, self.contract) or (object_wanted and isinstance(thing, type)):
            known = [name for name in vars(self.contract) if not name.startswith("_")]
            needed = f"an object with {', '.join(known)}" if known else f"a {self.contract.__name__}"
            raise self.error(
                f"{self.what} {name!r} ({where}) is a {type(thing).__name__}, not {needed}; mend or uninstall "
                "its package"
            )
        found: Any = thing
        return found
