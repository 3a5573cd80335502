"""FlagEmbedding's JSONL."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from hardneg.batch import Batch
from hardneg.exports.rows import plain, scores_for, selection
from hardneg.kinds import part


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
        counts = {"rows": 0, "examples left out without a negative": 0}
        with (folder / "train.jsonl").open("w", encoding="utf-8", newline="\n") as file:
            for batch in batches:
                chosen = selection(batch)
                scores = scores_for(batch, self.scorer) if self.scores else None
                positives, negatives = batch.corpus.contents(batch.positive_rows), batch.contents(chosen.chosen)
                for i, query in enumerate(batch.queries):
                    own = slice(int(batch.positive_offsets[i]), int(batch.positive_offsets[i + 1]))
                    others = slice(int(chosen.offsets[i]), int(chosen.offsets[i + 1]))
                    if others.start == others.stop:
                        counts["examples left out without a negative"] += 1
                        continue
                    line: dict[str, Any] = {"query": query, "pos": positives[own], "neg": negatives[others]}
                    if scores:
                        line["pos_scores"] = plain(scores.positives[own])
                        line["neg_scores"] = plain(scores.negatives[chosen.chosen[others]])
                    if self.prompt is not None:
                        line["prompt"] = self.prompt
                    file.write(json.dumps(line, ensure_ascii=False, allow_nan=False) + "\n")
                    counts["rows"] += 1
        return counts
