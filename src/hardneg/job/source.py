"""The text of a job: its file, and what was set on the command line in the place of some of it."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import yaml

from hardneg.errors import JobError
from hardneg.job.yaml_document import parse
from hardneg.job.yaml_editing import flow, with_value


@dataclass(frozen=True, slots=True)
class Source:
    """A job as written: the bytes of its file, the values by dotted key that stand in for some of it, and both as one
    text. Relative paths in it start in ``folder``.
    """

    path: Path
    written: bytes
    overrides: Mapping[str, object]
    effective: bytes
    folder: Path

    @property
    def named(self) -> str:
        """The job as it is named on the command line."""
        return shlex.join([str(self.path), *(f"--set={key}={flow(value)}" for key, value in self.overrides.items())])

    def without(self, keys: Iterable[str]) -> Source:
        """The same with no override that would hide one of these dotted keys."""
        hiding = {name for name in self.overrides for key in keys if f"{key}.".startswith(f"{name}.")}
        return replace(self, overrides={name: value for name, value in self.overrides.items() if name not in hiding})

    def copy_in(self, folder: Path, *, alone: bool = False) -> bytes:
        """The text for a file in ``folder``, with the values set and paths that lead to where they did. ``alone``: the
        folder may come to lie elsewhere without them.
        """
        start = os.path.relpath(self.folder, folder)
        if alone or (folder / start).resolve() != self.folder.resolve():  # a link lies between
            start = str(self.folder)
        try:
            return with_value(self.effective, "relative_to", start, self.path)
        except JobError:  # a text that cannot be edited in its place
            document, _ = parse(self.effective, self.path)
            return yaml.safe_dump({**document, "relative_to": start}, sort_keys=False, allow_unicode=True).encode()
