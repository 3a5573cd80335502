"""Whether what a stage read is still what its fingerprint says: looked at after the reading, before anything is kept.

A fingerprint must be known before anything is read, since it decides whether there is something to do. Parquet and
folders of `datasets` are not read from front to back, and some files are read twice. So the content is hashed again
afterwards, and not while it is read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from hardneg.errors import DataError
from hardneg.kinds import described
from hardneg.pipeline.stage import Stage
from hardneg.protocols import Judged

WAY_OUT = "changed while the job read it; run again when nothing writes to it any more"


def files(stage: Stage, hashes: Mapping[str, str]) -> None:
    """Raises `DataError` where a data file has another content than when ``stage`` was planned."""
    planned: Mapping[str, str] = stage.description["files"]
    changed = [name.partition(". ")[2] for name in {**planned, **hashes} if planned.get(name) != hashes.get(name)]
    if changed:
        raise DataError(f"{', '.join(changed)}: {WAY_OUT}")


def judgments(reader: Judged, stage: Stage) -> None:
    """Raises `DataError` where the judgments that measure the result are others than when ``stage`` was planned."""
    if reader.judged_by() != stage.description["judged"]:
        raise DataError(f"the judgments of the data: {WAY_OUT}")


def part(part: object, stage: Stage) -> None:
    """Raises `DataError` where a file or a model of ``part`` is another than when ``stage`` was planned."""
    planned = {*_identities(stage.description)}
    if not planned.issuperset(_identities(described(part))):
        raise DataError(f"a file or a model of `{stage.name}`: {WAY_OUT}")


def _identities(description: Any) -> Iterator[str]:
    if isinstance(description, Mapping):
        for key, value in description.items():
            if key == "identity":
                yield value
            else:
                yield from _identities(value)
    elif isinstance(description, (list, tuple)):
        for value in description:
            yield from _identities(value)
