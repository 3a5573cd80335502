"""FlagEmbedding's JSONL."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from hardneg.data.batch import Batch
from hardneg.exports.rows import examples, write_lines
from hardneg.kinds import part

LEFT_OUT = "examples left out without a negative"


@part
class FlagEmbedding:
    """``train.jsonl``: ``query``, ``pos`` and ``neg`` (lists of texts); with ``scores`` also ``pos_scores`` and
    ``neg_scores``, for ``knowledge_distillation``.

    Examples without a negative are left out and counted: FlagEmbedding divides by zero on them. ``prompt`` is put into
    every line or into none.
    """

    scores: bool = False
    scorer: str | None = None
    prompt: str | None = None

    def write(self, batches: Iterable[Batch], folder: Path) -> dict[str, Any]:
        """Writes ``train.jsonl``; returns the number of lines, and of examples left out."""
        counts = {"rows": 0, LEFT_OUT: 0}
        write_lines(folder / "train.jsonl", self._lines(batches, counts))
        return counts

    def _lines(self, batches: Iterable[Batch], counts: dict[str, int]) -> Iterator[dict[str, Any]]:
        for row in examples(batches, self.scorer, scored=self.scores):
            if not row.negatives:
                counts[LEFT_OUT] += 1
                continue
            line: dict[str, Any] = {
                "query": row.query,
                "pos": [passage.contents for passage in row.positives],
                "neg": [passage.contents for passage in row.negatives],
            }
            if self.scores:
                line |= {"pos_scores": row.positive_scores, "neg_scores": row.negative_scores}
            if self.prompt is not None:
                line["prompt"] = self.prompt
            counts["rows"] += 1
            yield line
