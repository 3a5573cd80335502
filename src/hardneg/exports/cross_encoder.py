"""Training and evaluation files for rerankers."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from hardneg.data.batch import Batch
from hardneg.exports.rows import examples, write_lines
from hardneg.kinds import part


@part
class CrossEncoder:
    """For rerankers: ``train.parquet`` with query, passage and label, one pair a row, and ``evaluator.jsonl`` with
    ``query``, ``positive`` and ``negative`` (lists), the samples of ``CrossEncoderRerankingEvaluator``.

    With ``scores`` the label is the score of ``scorer``, for distillation.
    """

    scores: bool = False
    scorer: str | None = None

    def write(self, batches: Iterable[Batch], folder: Path) -> dict[str, Any]:
        """Writes both files; returns counts."""
        pairs: list[tuple[str, str, float]] = []
        samples: list[dict[str, Any]] = []
        for row in examples(batches, self.scorer, scored=self.scores):
            positives, negatives = ([p.contents for p in found] for found in (row.positives, row.negatives))
            high = row.positive_scores if self.scores else [1.0] * len(positives)
            low = row.negative_scores if self.scores else [0.0] * len(negatives)
            pairs += [(row.query, text, label) for text, label in zip(positives, high, strict=True)]
            pairs += [(row.query, text, label) for text, label in zip(negatives, low, strict=True)]
            if negatives:
                samples.append({"query": row.query, "positive": positives, "negative": negatives})
        columns = list(zip(*pairs, strict=True)) or [(), (), ()]
        label = pa.array(columns[2], pa.float64())
        table = pa.table({"query": pa.array(columns[0], pa.string()), "passage": pa.array(columns[1], pa.string())})
        pq.write_table(table.append_column("label", label), folder / "train.parquet")
        write_lines(folder / "evaluator.jsonl", samples)
        return {"rows": len(pairs), "samples": len(samples)}
