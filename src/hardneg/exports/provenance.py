"""The sidecar: origins and scores beside a format that has no room for them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from hardneg.data.batch import Batch
from hardneg.exports.jsonl import JSONL
from hardneg.exports.rows import write_lines

FILE = Path("__provenance__", "examples.jsonl")
"""``datasets`` and the trainers pass over folders whose names begin with two underscores."""


def write(batches: Iterable[Batch], folder: Path) -> None:
    """A line an example, in the job's order, with ids, scores by scorer and origins of positives and negatives, in the
    order in which the export has them. Texts are left out where they are the corpus's.
    """
    write_lines(folder / FILE, (_without_texts(line) for batch in batches for line in JSONL().lines(batch)))


def _without_texts(line: dict[str, Any]) -> dict[str, Any]:
    for passage in (*line["positives"], *line["negatives"]):
        if not passage["id"].startswith("new-"):
            del passage["text"], passage["title"]
    return line
