"""Results as lines of JSON, each known by its settings: what is there already is not computed again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"


class Lines:
    """An append-only file; ``keys`` are the fields that say which run a line is of."""

    def __init__(self, path: Path, *keys: str) -> None:
        self.path, self.keys = path, keys
        self.done = {self.key(line) for line in read(path)}

    def key(self, settings: dict[str, Any]) -> tuple[Any, ...]:
        return tuple(settings[name] for name in self.keys)

    def lacks(self, **settings: object) -> bool:
        return self.key(settings) not in self.done

    def add(self, line: dict[str, Any]) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a") as file:
            file.write(json.dumps(line) + "\n")
        self.done.add(self.key(line))


def read(path: Path) -> Iterator[dict[str, Any]]:
    """The lines of a file, in their order; one that was cut off by a kill is passed over."""
    if path.exists():
        for line in path.open():
            if line.endswith("}\n"):
                yield json.loads(line)
