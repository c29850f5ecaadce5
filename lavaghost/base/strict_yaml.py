"""The part of YAML that a file of ours uses, for PyYAML: no aliases, tags, or keys given twice."""

from typing import Any

import yaml
from yaml.scanner import ScannerError

from lavaghost.base.records import MAX_TEXT

MAX_NODES = 60_000
"""Most keys and values of a file: the reader takes a tenth of a millisecond for each."""

MAX_OPEN = 64
"""Most brackets, or blocks, that are open at once; a record is nested less (`records.MAX_NESTING`)."""


def read(data: bytes) -> Any:
    """The value that the YAML text `data` holds. Raises `ValueError` with the reason, in one line."""
    try:
        return yaml.load(data.decode("utf-8"), Loader=Reader)
    except UnicodeDecodeError as error:
        raise ValueError("it is not UTF-8 text") from error
    # a damaged file raises a dozen types in the reader: of YAML, of number conversion
    except Exception as error:
        reason = " ".join(str(error).split()) if isinstance(error, yaml.YAMLError) else type(error).__name__
        raise ValueError(f"{reason:.300}") from error


class Writer(yaml.SafeDumper):
    """Writes a value that occurs twice twice, for `yaml.dump`."""

    def ignore_aliases(self, data: Any) -> bool:
        """Write no anchor, so that no alias can be needed."""
        return True


class Reader(yaml.SafeLoader):
    """Refuses what can expand without a bound, or mean something else to another reader, for `yaml.load`."""

    nodes = 0
    depth = 0

    def fetch_flow_collection_start(self, TokenClass: Any) -> None:
        """Open a list or mapping in brackets: the scanner looks at all open ones for every character."""
        if self.flow_level >= MAX_OPEN:
            raise ScannerError(None, None, f"more than {MAX_OPEN} open brackets", self.get_mark())
        super().fetch_flow_collection_start(TokenClass)

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Look at the next event before it becomes a value."""
        event: Any = self.peek_event()
        self.nodes += 1
        if self.nodes > MAX_NODES:
            self._refuse(f"more than {MAX_NODES} keys and values", event)
        if event.anchor is not None:  # an alias has one too
            self._refuse("anchors and aliases are not used; write the values out", event)
        if event.tag is not None:
            self._refuse("tags are not used; write the value alone", event)
        if len(getattr(event, "value", "")) > MAX_TEXT:
            self._refuse(f"a text longer than {MAX_TEXT} characters", event)
        if self.depth >= MAX_OPEN:
            self._refuse(f"nested deeper than {MAX_OPEN}", event)
        self.depth += 1
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        """A mapping, each key once."""
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        twice = sorted({key for key in keys if keys.count(key) > 1}) if len(keys) < 1000 else []
        if twice or len(keys) != len(set(keys)):
            self._refuse(f"the key {next(iter(twice), '')!r:.60} is given twice", node)
        return super().construct_mapping(node, deep)

    def _refuse(self, what: str, at: Any) -> None:
        raise yaml.constructor.ConstructorError(None, None, what, at.start_mark)


def nodes(value: Any) -> int:
    """How many keys and values the `Reader` will count in `value`."""
    if isinstance(value, dict):
        return 1 + sum(1 + nodes(part) for part in value.values())
    return 1 + sum(map(nodes, value)) if isinstance(value, list) else 1
