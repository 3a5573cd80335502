"""Three tables: queries, documents, and rows of ids with scores; for PyLate and for sentence-transformers."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from hardneg.bounds import Count
from hardneg.data.batch import Batch
from hardneg.exports.blocks import rows_of
from hardneg.exports.rows import Short, Used, examples, rectangle
from hardneg.files.spilled import Spilled
from hardneg.kinds import part

NAMES = {"pylate": ("text", "text"), "sentence_transformers": ("query", "document")}


@part
class Tables:
    """``queries.parquet``, ``documents.parquet`` and ``train.parquet`` with ``query_id``, ``document_ids`` (the
    positive first), ``scores``, and ``sources`` (the generators of each negative; empty for the positive).

    ``names: pylate`` calls the text columns ``text``, as PyLate's knowledge distillation wants;
    ``names: sentence_transformers`` calls them ``query`` and ``document``, for its function ``resolve_ids``, which
    leaves the other columns behind. A row a positive. ``negatives`` makes all rows equally long.
    """

    names: Literal["pylate", "sentence_transformers"] = "pylate"
    scorer: str | None = None
    negatives: Count | None = None
    short: Short = "repeat"

    def write(self, batches: Iterable[Batch], folder: Path) -> dict[str, Any]:
        """Writes the tables; returns counts."""
        counts: dict[str, int] = {}
        query, document = NAMES[self.names]
        text = pa.string()
        row_schema = pa.schema(
            {
                "query_id": text,
                "document_ids": pa.list_(text),
                "scores": pa.list_(pa.float64()),
                "sources": pa.list_(pa.list_(text)),
            }
        )
        queries, documents = (
            pa.schema({f"{name}_id": text, column: text}) for name, column in (("query", query), ("document", document))
        )
        asked, made = Spilled(), 0
        with (
            rows_of(folder / "train.parquet", row_schema) as put,
            rows_of(folder / "queries.parquet", queries) as put_query,
            rows_of(folder / "documents.parquet", documents) as put_document,
        ):
            used = Used(lambda passage: put_document(passage.id, passage.contents))
            for row in rectangle(examples(batches, self.scorer), self.negatives, self.short, counts):
                if asked.put(row.id) is None:
                    put_query(row.id, row.query)
                negatives = used(row.negatives)
                for positive, score in zip(used(row.positives), row.positive_scores, strict=True):
                    put(row.id, [positive, *negatives], [score, *row.negative_scores], [[], *row.sources])
                    made += 1
        counts["rows"] = made
        return counts
