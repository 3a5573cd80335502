"""The four column layouts that sentence-transformers trains on, as Parquet that ``datasets.load_dataset`` opens."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from hardneg.arrays import Float64, Int64, offsets_of, owners_of, places_of
from hardneg.bounds import Count
from hardneg.data.batch import Batch
from hardneg.data.candidates import Selection
from hardneg.exports.rows import LEFT_OUT, REPEATED, Short, longest, scores_for, selection, too_short
from hardneg.exports.sidecar import Record, recording
from hardneg.kinds import part


@part
class SentenceTransformers:
    """``train.parquet`` with exactly the columns that a trainer takes by position, no more.

    ``triplet``: anchor, positive, negative. ``n-tuple``: anchor, positive, negative_1 to negative_n, where
    ``negatives`` is n; left out, the longest set decides. Sets with fewer repeat theirs in turn; with ``short: drop``
    they are left out and counted, with ``short: error`` they stop the export. ``labeled-pair``:
    anchor, positive, label 1 or 0. ``labeled-list``: anchor, positive (a list, the positive first), labels. With
    ``scores`` there is a last column ``scores`` (triplet, n-tuple: the positive's, then the negatives'); ``score`` and
    ``scores`` take the place of the labels; ``scorer`` says whose; else the first's. An example with several positives
    gives a row each, as `sentence_transformers.util.mine_hard_negatives` does.
    """

    format: Literal["triplet", "n-tuple", "labeled-pair", "labeled-list"] = "n-tuple"
    scores: bool = False
    scorer: str | None = None
    negatives: Count | None = None
    short: Short = "repeat"

    def write(self, batches: Iterable[Batch], folder: Path) -> dict[str, Any]:
        """Writes ``train.parquet``; returns the number of rows, and of examples that were short."""
        width = (self.negatives or longest(batches)) if self.format == "n-tuple" else 0
        counts = {"rows": 0, LEFT_OUT: 0} | ({REPEATED: 0} if width and self.short == "repeat" else {})
        writer: pq.ParquetWriter | None = None
        try:
            with recording(folder) as record:
                for batch in batches:
                    made = self.table(batch, width)
                    counts["rows"] += made.rows.num_rows
                    counts[LEFT_OUT] += made.left_out
                    if REPEATED in counts:
                        counts[REPEATED] += made.repeated
                    writer = writer or pq.ParquetWriter(folder / "train.parquet", made.rows.schema)
                    writer.write_table(made.rows)
                    made.record(batch, record)
        finally:
            if writer is not None:
                writer.close()
        return counts

    def table(self, batch: Batch, width: int) -> Made:
        """The rows of one batch. ``width`` is the n of an n-tuple.

        Raises `HardnegError` for a short example where ``short`` is ``error``.
        """
        chosen = selection(batch)
        counts = np.diff(chosen.offsets)
        short = counts < max(width, 1)
        if width and self.short == "error" and short.any():
            i = int(np.argmax(short))
            raise too_short(batch.ids[i], int(counts[i]), width)
        enough = counts > 0 if self.short == "repeat" else ~short
        # one row a positive: everything below is indexed by the positive's number
        row = np.flatnonzero(enough[batch.positive_owners])
        owner = batch.positive_owners[row]
        left_out, repeated = int((~enough).sum()), int((short & enough).sum())
        passages, where = self._passages(batch, chosen)
        own, p = batch.positive_owners, len(batch.positive_rows)
        if self.format == "n-tuple":
            place = np.arange(width)[None, :] % np.maximum(counts[owner], 1)[:, None] + chosen.offsets[owner][:, None]
            entries = np.concatenate([row[:, None], p + place], axis=1)
        elif self.format == "labeled-pair":  # positives stay even without a negative; negatives stand there once
            owners = np.concatenate([own, owners_of(chosen.offsets)])
            entries = np.argsort(owners, kind="stable")[:, None]
            owner, left_out, repeated = owners[entries[:, 0]], 0, 0
        else:
            spans = counts[owner]
            entry = np.repeat(np.arange(len(row)), spans)
            place = chosen.offsets[owner][entry] + places_of(offsets_of(spans))
            if self.format == "triplet":
                entries, owner = np.stack([row[entry], p + place], axis=1), owner[entry]
            else:
                return self._labeled_lists(batch, chosen, row, place, spans, left_out)
        columns = {"anchor": pa.array(batch.queries, pa.string()).take(pa.array(owner))}
        for number, name in enumerate(self._names(width)):
            columns[name] = passages.take(pa.array(where[entries[:, number]]))
        if self.format == "labeled-pair" and not self.scores:
            columns["label"] = pa.array((entries[:, 0] < p).astype(np.int64))
        elif self.scores:
            values = self._values(batch, chosen)[entries]
            pair = self.format == "labeled-pair"
            columns["score" if pair else "scores"] = pa.array(values[:, 0]) if pair else _lists(values)
        return Made(pa.table(columns), owner, list(entries), left_out, repeated)

    def _names(self, width: int) -> list[str]:
        """The columns of passages."""
        if self.format == "n-tuple":
            return ["positive", *(f"negative_{k + 1}" for k in range(width))]
        return ["positive", "negative"] if self.format == "triplet" else ["positive"]

    def _passages(self, batch: Batch, chosen: Selection) -> tuple[pa.Array, Int64]:
        """Distinct texts, and where those of positives, then of chosen candidates, are among them."""
        positive, own = batch.corpus.texts_of(batch.positive_rows)
        negative, others = batch.texts_of(chosen.chosen)
        return pa.concat_arrays([positive, negative]), np.concatenate([own, len(positive) + others])

    def _values(self, batch: Batch, chosen: Selection) -> Float64:
        """The scores of positives, then of chosen candidates."""
        scores = scores_for(batch, self.scorer)
        values: Float64 = np.concatenate([scores.positives, scores.negatives[chosen.chosen]]).astype(np.float64)
        return values

    def _labeled_lists(
        self, batch: Batch, chosen: Selection, row: Int64, place: Int64, spans: Int64, left_out: int
    ) -> Made:
        """A row a positive: a list with the positive first, then the negatives."""
        passages, where = self._passages(batch, chosen)
        offsets = offsets_of(spans + 1)
        is_positive = np.zeros(int(offsets[-1]), dtype=bool)
        is_positive[offsets[:-1]] = True
        entries = np.empty(len(is_positive), dtype=np.int64)
        entries[is_positive], entries[~is_positive] = row, len(batch.positive_rows) + place
        owner, ends = batch.positive_owners[row], pa.array(offsets.astype(np.int32))
        columns = {
            "anchor": pa.array(batch.queries, pa.string()).take(pa.array(owner)),
            "positive": pa.ListArray.from_arrays(ends, passages.take(pa.array(where[entries]))),
        }
        if self.scores:
            columns["scores"] = pa.ListArray.from_arrays(ends, pa.array(self._values(batch, chosen)[entries]))
        else:
            columns["labels"] = pa.ListArray.from_arrays(ends, pa.array(is_positive.astype(np.int64)))
        return Made(pa.table(columns), owner, np.split(entries, offsets[1:-1]) if len(row) else [], left_out, 0)


@dataclass(frozen=True)
class Made:
    """The rows of one batch. ``entries``: the passages of each row, as numbers of positives, then of chosen ones."""

    rows: pa.Table
    owners: Int64
    entries: list[Int64]
    left_out: int
    repeated: int

    def record(self, batch: Batch, record: Record) -> None:
        """Tells the ids of every row."""
        chosen = selection(batch).chosen
        ids = [*batch.corpus.ids(batch.positive_rows), *batch.passage_ids(chosen)]
        for owner, own in zip(self.owners.tolist(), self.entries, strict=True):
            record(batch.ids[int(owner)], [ids[j] for j in own.tolist()])


def _lists(values: np.ndarray[Any, Any]) -> pa.Array:
    """A list a row of float64 [rows, width]."""
    flat = pa.array(values.astype(np.float64).reshape(-1))
    return pa.ListArray.from_arrays(pa.array(np.arange(len(values) + 1, dtype=np.int32) * values.shape[1]), flat)
