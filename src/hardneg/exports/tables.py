"""Three tables: queries, documents, and rows of ids with scores; for PyLate and for sentence-transformers."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from hardneg.bounds import Count
from hardneg.data.batch import Batch
from hardneg.exports.rows import Short, Used, examples, rectangle
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
        used = Used()
        queries: dict[str, str] = {}
        rows: list[dict[str, Any]] = []
        for row in rectangle(examples(batches, self.scorer), self.negatives, self.short, counts):
            queries[row.id] = row.query
            negatives = used(row.negatives)
            for positive, score in zip(used(row.positives), row.positive_scores, strict=True):
                rows.append(
                    {
                        "query_id": row.id,
                        "document_ids": [positive, *negatives],
                        "scores": [score, *row.negative_scores],
                        "sources": [[], *row.sources],
                    }
                )
        query, document = NAMES[self.names]
        text = pa.string()
        schema = pa.schema(
            {
                "query_id": text,
                "document_ids": pa.list_(text),
                "scores": pa.list_(pa.float64()),
                "sources": pa.list_(pa.list_(text)),
            }
        )
        pq.write_table(pa.Table.from_pylist(rows, schema=schema), folder / "train.parquet")
        pq.write_table(
            pa.table({"query_id": pa.array(list(queries), text), query: pa.array(list(queries.values()), text)}),
            folder / "queries.parquet",
        )
        contents = [passage.contents for passage in used.passages.values()]
        pq.write_table(
            pa.table({"document_id": pa.array(list(used.passages), text), document: pa.array(contents, text)}),
            folder / "documents.parquet",
        )
        counts["rows"] = len(rows)
        return counts
