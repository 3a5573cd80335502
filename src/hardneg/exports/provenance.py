"""The run's record of where every chosen negative came from, beside exports that have no room for it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from hardneg.data.batch import Batch
from hardneg.exports.jsonl import JSONL
from hardneg.exports.rows import write_lines

FILE, SHORT = "provenance.jsonl", "short.jsonl"


def write(batches: Iterable[Batch], file: Path) -> None:
    """A line per example, in the job's order: ids, scores by scorer and origins of positives and chosen negatives.

    Texts are left out where they are the corpus's.
    """
    write_lines(file, (_without_texts(line) for batch in batches for line in JSONL().lines(batch)))


def write_short(provenance: Path, file: Path, per_query: int) -> None:
    """A line per example of ``provenance`` with fewer than ``per_query`` negatives: its id, and how many it has."""
    with provenance.open(encoding="utf-8") as lines:
        found = ((line["query_id"], len(line["negatives"])) for line in map(json.loads, lines))
        write_lines(file, ({"query_id": query, "negatives": count} for query, count in found if count < per_query))


def _without_texts(line: dict[str, Any]) -> dict[str, Any]:
    for passage in (*line["positives"], *line["negatives"]):
        if not passage["id"].startswith("new-"):
            del passage["text"], passage["title"]
    return line
