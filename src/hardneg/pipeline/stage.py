"""What a stage is: a name, what it does, and what it takes its input from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from hardneg.kinds import fingerprint


@dataclass(frozen=True)
class Stage:
    """One step of a job. ``description`` is everything that decides its output beside its inputs.

    ``parts``: the stages that each do a part of its work. How it is split decides nothing.
    """

    name: str
    description: Mapping[str, Any]
    inputs: tuple[Stage, ...] = field(default=())
    parts: tuple[Stage, ...] = field(default=())

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the description and the inputs' fingerprints."""
        return fingerprint([self.description, [[stage.name, stage.fingerprint] for stage in self.inputs]])

    @property
    def folder(self) -> str:
        """The stage's folder: its name and the beginning of its fingerprint."""
        return folder_name(self.name, self.fingerprint)

    def document(self) -> dict[str, Any]:
        """What ``stage.json`` says."""
        return {
            "name": self.name,
            "fingerprint": self.fingerprint,
            "description": self.description,
            "inputs": {stage.name: stage.fingerprint for stage in self.inputs},
        }

    def changed_since(self, document: Mapping[str, Any]) -> list[str]:
        """What is different from an earlier stage's document: ``margin: 0.05 → 0.1``, ``input merge``."""
        earlier = _flat(document["description"])
        now = _flat(self.description)
        changes = [
            f"{key}: {_short(earlier.get(key))} → {_short(now.get(key))}"
            for key in dict.fromkeys([*earlier, *now])
            if earlier.get(key) != now.get(key)
        ]
        inputs = {stage.name: stage.fingerprint for stage in self.inputs}
        changes += [f"new input {name}" for name in inputs if name not in document["inputs"]]
        changes += [f"no input {name} any more" for name in document["inputs"] if name not in inputs]
        changes += [f"input {name}" for name, value in inputs.items() if document["inputs"].get(name, value) != value]
        return changes


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    if isinstance(value, Mapping) and value:
        return {key: leaf for name, inner in value.items() for key, leaf in _flat(inner, f"{prefix}{name}.").items()}
    if isinstance(value, tuple):
        value = list(value)
    return {prefix.rstrip("."): value if value is None or isinstance(value, (int, float, bool, list)) else str(value)}


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 24 else f"{text[:12]}…"


def folder_name(name: str, fingerprint: str) -> str:
    """The folder of a stage of which only this is known."""
    return f"{name}-{fingerprint[:16]}"
