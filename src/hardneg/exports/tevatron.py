"""Tevatron's three forms."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

from hardneg.bounds import Count
from hardneg.data.batch import Batch
from hardneg.data.records import Passage
from hardneg.exports.rows import Example, Short, Used, examples, rectangle, write_lines
from hardneg.files.json_documents import writing
from hardneg.kinds import part


@part
class Tevatron:
    """``train.jsonl`` for Tevatron. Texts are title and text joined; there is no ``title``, which Tevatron would put
    before the text once more.

    ``passages``: the self-contained form with ``positive_passages`` and ``negative_passages``; with ``scores`` each has
    its ``score``. ``ids``: ``positive_document_ids`` and ``negative_document_ids``, with the passages that they name in
    ``corpus.jsonl``. ``teacher``: ``passages``, the positive first, and ``scores``, a line a positive.
    Examples without a negative are left out and counted.
    """

    form: Literal["passages", "ids", "teacher"] = "passages"
    scores: bool = False
    scorer: str | None = None
    negatives: Count | None = None
    short: Short = "repeat"

    def write(self, batches: Iterable[Batch], folder: Path) -> dict[str, Any]:
        """Writes the files; returns counts."""
        counts: dict[str, int] = {}
        scored = self.scores or self.form == "teacher"
        rows = rectangle(examples(batches, self.scorer, scored=scored), self.negatives, self.short, counts)
        file = folder / "train.jsonl"
        if self.form == "ids":
            with writing(folder / "corpus.jsonl") as document:
                used = Used(lambda passage: document({"docid": passage.id, "text": passage.contents}))
                write_lines(file, (_of_ids(row, used) for row in rows))
        elif self.form == "passages":
            write_lines(file, map(self._of_passages, rows))
        else:
            write_lines(file, (line for row in rows for line in _of_scores(row)))
        return counts

    def _of_passages(self, row: Example) -> dict[str, Any]:
        def passages(found: list[Passage], scores: list[float]) -> list[dict[str, Any]]:
            return [
                {"docid": passage.id, "text": passage.contents} | ({"score": score} if self.scores else {})
                for passage, score in zip(found, scores, strict=True)
            ]

        return {
            "query_id": row.id,
            "query": row.query,
            "positive_passages": passages(row.positives, row.positive_scores),
            "negative_passages": passages(row.negatives, row.negative_scores),
        }


def _of_ids(row: Example, used: Used) -> dict[str, Any]:
    return {
        "query_id": row.id,
        "query_text": row.query,
        "query_image": None,
        "positive_document_ids": used(row.positives),
        "negative_document_ids": used(row.negatives),
    }


def _of_scores(row: Example) -> Iterator[dict[str, Any]]:
    for positive, score in zip(row.positives, row.positive_scores, strict=True):
        yield {
            "query_id": row.id,
            "query": row.query,
            "passages": [{"text": passage.contents} for passage in (positive, *row.negatives)],
            "scores": [score, *row.negative_scores],
        }
