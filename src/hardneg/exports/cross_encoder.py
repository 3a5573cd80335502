"""Training and evaluation files for rerankers."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa

from hardneg.data.batch import Batch
from hardneg.exports.blocks import rows_of
from hardneg.exports.rows import examples
from hardneg.files.json_documents import writing
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
        text = pa.string()
        schema = pa.schema({"query": text, "passage": text, "label": pa.float64()})
        counts = {"rows": 0, "samples": 0}
        with rows_of(folder / "train.parquet", schema) as pair, writing(folder / "evaluator.jsonl") as sample:
            for row in examples(batches, self.scorer, scored=self.scores):
                positives, negatives = ([p.contents for p in found] for found in (row.positives, row.negatives))
                high = row.positive_scores if self.scores else [1.0] * len(positives)
                low = row.negative_scores if self.scores else [0.0] * len(negatives)
                for passage, label in zip([*positives, *negatives], [*high, *low], strict=True):
                    pair(row.query, passage, label)
                    counts["rows"] += 1
                if negatives:
                    sample({"query": row.query, "positive": positives, "negative": negatives})
                    counts["samples"] += 1
        return counts
