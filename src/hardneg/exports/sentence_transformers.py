"""The four column layouts that sentence-transformers trains on, as Parquet that ``datasets.load_dataset`` opens."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from hardneg.arrays import owners_of, places_of
from hardneg.bounds import Count
from hardneg.data.batch import Batch
from hardneg.exports.rows import longest, scores_for, selection
from hardneg.kinds import part


@part
class SentenceTransformers:
    """``train.parquet`` with exactly the columns that a trainer takes by position, no more.

    ``triplet``: anchor, positive, negative. ``n-tuple``: anchor, positive, negative_1 to negative_n; sets with fewer
    negatives are left out and counted (``negatives`` is n; left out, the longest set decides). ``labeled-pair``:
    anchor, positive, label 1 or 0. ``labeled-list``: anchor, positive (a list, the positive first), labels. With
    ``scores`` there is a last column ``scores`` (triplet, n-tuple: the positive's, then the negatives'); ``score`` and
    ``scores`` take the place of the labels; ``scorer`` says whose; else the first's. An example with several positives
    gives a row each, as `sentence_transformers.util.mine_hard_negatives` does.
    """

    format: Literal["triplet", "n-tuple", "labeled-pair", "labeled-list"] = "n-tuple"
    scores: bool = False
    scorer: str | None = None
    negatives: Count | None = None

    def write(self, batches: Iterable[Batch], folder: Path) -> dict[str, Any]:
        """Writes ``train.parquet``; returns the number of rows, and of examples that were left out as too short."""
        width = (self.negatives or longest(batches)) if self.format == "n-tuple" else 0
        counts = {"rows": 0, "examples left out as too short": 0}
        writer: pq.ParquetWriter | None = None
        try:
            for batch in batches:
                table, short = self.table(batch, width)
                counts["rows"] += table.num_rows
                counts["examples left out as too short"] += short
                writer = writer or pq.ParquetWriter(folder / "train.parquet", table.schema)
                writer.write_table(table)
        finally:
            if writer is not None:
                writer.close()
        return counts

    def table(self, batch: Batch, width: int) -> tuple[pa.Table, int]:
        """The rows of one batch, and how many examples are left out. ``width`` is the n of an n-tuple."""
        chosen = selection(batch)
        counts = np.diff(chosen.offsets)
        enough = counts >= max(width, 1)
        # one row a positive: everything below is indexed by the positive's number
        row = np.flatnonzero(enough[batch.positive_owners])
        owner = batch.positive_owners[row]
        queries = pa.array(batch.queries, pa.string())
        positive, own = batch.corpus.texts_of(batch.positive_rows)
        negative, others = batch.texts_of(chosen.chosen)
        scores = scores_for(batch, self.scorer) if self.scores else None
        short = int((~enough).sum())
        if self.format == "n-tuple":
            first = chosen.offsets[owner]
            columns = {"anchor": queries.take(pa.array(owner)), "positive": positive.take(pa.array(own[row]))}
            for k in range(width):
                columns[f"negative_{k + 1}"] = negative.take(pa.array(others[first + k]))
            if scores:
                picked = scores.negatives[chosen.chosen][first[:, None] + np.arange(width)[None, :]]
                columns["scores"] = _lists(np.concatenate([scores.positives[row][:, None], picked], axis=1))
            return pa.table(columns), short
        # one entry a (positive, negative): the row that it belongs to, and the negative's place among all chosen
        spans = counts[owner]
        entry = np.repeat(np.arange(len(row)), spans)
        place = chosen.offsets[owner][entry] + places_of(np.concatenate([[0], np.cumsum(spans)]))
        if self.format == "triplet":
            columns = {
                "anchor": queries.take(pa.array(owner[entry])),
                "positive": positive.take(pa.array(own[row[entry]])),
                "negative": negative.take(pa.array(others[place])),
            }
            if scores:
                pair = np.stack([scores.positives[row[entry]], scores.negatives[chosen.chosen[place]]], axis=1)
                columns["scores"] = _lists(pair)
            return pa.table(columns), short
        # positives, one an example's positive, then negatives, one a chosen candidate; `where` finds their texts
        both, where = pa.concat_arrays([positive, negative]), np.concatenate([own, len(positive) + others])
        if self.format == "labeled-list":
            offsets = np.concatenate([[0], np.cumsum(spans + 1)]).astype(np.int32)
            is_positive = np.zeros(int(offsets[-1]), dtype=bool)
            is_positive[offsets[:-1]] = True
            order = np.empty(len(is_positive), dtype=np.int64)
            order[is_positive], order[~is_positive] = row, len(own) + place
            texts = both.take(pa.array(where[order]))
            columns = {
                "anchor": queries.take(pa.array(owner)),
                "positive": pa.ListArray.from_arrays(pa.array(offsets), texts),
            }
            if scores:
                values = np.concatenate([scores.positives, scores.negatives[chosen.chosen]])[order]
                columns["scores"] = pa.ListArray.from_arrays(pa.array(offsets), pa.array(values.astype(np.float64)))
            else:
                columns["labels"] = pa.ListArray.from_arrays(pa.array(offsets), pa.array(is_positive.astype(np.int64)))
            return pa.table(columns), short
        # labelled pairs: an example's positives, then its negatives once; positives stay even without a negative
        owners = np.concatenate([batch.positive_owners, owners_of(chosen.offsets)])
        order = np.argsort(owners, kind="stable")
        columns = {
            "anchor": queries.take(pa.array(owners[order])),
            "positive": both.take(pa.array(where[order])),
        }
        if scores:
            columns["score"] = pa.array(
                np.concatenate([scores.positives, scores.negatives[chosen.chosen]])[order].astype(np.float64)
            )
        else:
            columns["label"] = pa.array((order < len(own)).astype(np.int64))
        return pa.table(columns), 0


def _lists(values: np.ndarray[Any, Any]) -> pa.Array:
    """A list a row of float64 [rows, width]."""
    flat = pa.array(values.astype(np.float64).reshape(-1))
    return pa.ListArray.from_arrays(pa.array(np.arange(len(values) + 1, dtype=np.int32) * values.shape[1]), flat)
