"""FlagEmbedding's JSONL."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from hardneg.bounds import Count
from hardneg.data.batch import Batch
from hardneg.exports.rows import Example, Short, examples, rectangle, write_lines
from hardneg.exports.sidecar import recorded, recording
from hardneg.kinds import part


@part
class FlagEmbedding:
    """``train.jsonl``: ``query``, ``pos`` and ``neg`` (lists of texts); with ``scores`` also ``pos_scores`` and
    ``neg_scores``, for ``knowledge_distillation``.

    ``negatives`` gives every line that many; ``short`` says what happens to examples with fewer. Examples without a
    negative are left out and counted: FlagEmbedding divides by zero on them. ``prompt`` is put into every line or into
    none.
    """

    scores: bool = False
    scorer: str | None = None
    prompt: str | None = None
    negatives: Count | None = None
    short: Short = "repeat"

    def write(self, batches: Iterable[Batch], folder: Path) -> dict[str, Any]:
        """Writes ``train.jsonl``; returns the number of lines, and of examples left out."""
        counts: dict[str, int] = {}
        rows = rectangle(examples(batches, self.scorer, scored=self.scores), self.negatives, self.short, counts)
        with recording(folder) as record:
            write_lines(folder / "train.jsonl", self._lines(recorded(rows, record)))
        return counts

    def _lines(self, rows: Iterable[Example]) -> Iterator[dict[str, Any]]:
        for row in rows:
            line: dict[str, Any] = {
                "query": row.query,
                "pos": [passage.contents for passage in row.positives],
                "neg": [passage.contents for passage in row.negatives],
            }
            if self.scores:
                line |= {"pos_scores": row.positive_scores, "neg_scores": row.negative_scores}
            if self.prompt is not None:
                line["prompt"] = self.prompt
            yield line
