"""Trainers whose format is a few lines each."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from hardneg.batch import Batch
from hardneg.errors import DataError
from hardneg.exports.jsonl import JSONL
from hardneg.exports.rows import Short, examples, rectangle, write_lines
from hardneg.kinds import part


@part
class Automodel:
    """``train.jsonl`` for NeMo Automodel's inline form: ``query``, ``pos_doc`` and ``neg_doc`` (lists of texts)."""

    negatives: int | None = None
    short: Short = "repeat"

    def write(self, batches: Iterable[Batch], folder: Path) -> dict[str, Any]:
        """Writes ``train.jsonl``; returns counts."""
        counts: dict[str, int] = {}
        write_lines(
            folder / "train.jsonl",
            (
                {
                    "query": row.query,
                    "pos_doc": [passage.contents for passage in row.positives],
                    "neg_doc": [passage.contents for passage in row.negatives],
                }
                for row in rectangle(examples(batches, scored=False), self.negatives, self.short, counts)
            ),
        )
        return counts


@part
class MSSwift:
    """``train.jsonl`` for ms-swift: ``messages``, ``positive_messages``, ``negative_messages``, chats of one message.

    Every line has ``negatives`` negatives: ms-swift fills shorter lines with positives.
    """

    negatives: int
    short: Short = "repeat"

    def write(self, batches: Iterable[Batch], folder: Path) -> dict[str, Any]:
        """Writes ``train.jsonl``; returns counts."""
        counts: dict[str, int] = {}

        def chat(text: str) -> list[dict[str, str]]:
            return [{"role": "user", "content": text}]

        write_lines(
            folder / "train.jsonl",
            (
                {
                    "messages": chat(row.query),
                    "positive_messages": [chat(passage.contents) for passage in row.positives],
                    "negative_messages": [chat(passage.contents) for passage in row.negatives],
                }
                for row in rectangle(examples(batches, scored=False), self.negatives, self.short, counts)
            ),
        )
        return counts


@part
class MSMARCO:
    """``triples.tsv``: query, positive and negative a line, as texts (white space made single spaces) or as ``ids``."""

    ids: bool = False

    def write(self, batches: Iterable[Batch], folder: Path) -> dict[str, Any]:
        """Writes ``triples.tsv``; returns the number of lines."""
        count = 0
        with (folder / "triples.tsv").open("w", encoding="utf-8", newline="\n") as file:
            for row in examples(batches, scored=False):
                for positive in row.positives:
                    for negative in row.negatives:
                        texts = (row.query, positive.contents, negative.contents)
                        cells = (row.id, positive.id, negative.id) if self.ids else tuple(map(_one_line, texts))
                        if any("\t" in cell or "\n" in cell for cell in cells):
                            raise DataError(f"an id of {cells!r} has a tab or a line break and cannot be in a TSV")
                        file.write("\t".join(cells) + "\n")
                        count += 1
        return {"rows": count}


def _one_line(text: str) -> str:
    return " ".join(text.split())


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


@part
class Parquet:
    """``train.parquet``: what the export ``jsonl`` writes, as nested columns; with ``dropped`` what was refused too."""

    dropped: bool = False

    def write(self, batches: Iterable[Batch], folder: Path) -> dict[str, Any]:
        """Writes ``train.parquet``; returns the number of rows."""
        lines = JSONL(dropped=self.dropped)
        rows = 0
        writer: pq.ParquetWriter | None = None
        try:
            for batch in batches:
                schema = self.schema(list(batch.scores), list(batch.verdicts))
                writer = writer or pq.ParquetWriter(folder / "train.parquet", schema)
                writer.write_table(pa.Table.from_pylist(list(lines.lines(batch)), schema=schema))
                rows += len(batch)
        finally:
            if writer is not None:
                writer.close()
        return {"rows": rows}

    def schema(self, scorers: list[str], filters: list[str]) -> pa.Schema:
        """Lists of passages with a score by scorer, origins and reasons."""
        text, number = pa.string(), pa.float64()
        scores = {"scores": pa.struct(dict.fromkeys(scorers, number))} if scorers else {}
        passage = {"id": text, "title": text, "text": text} | scores
        origin = {"generator": text, "rank": pa.int64(), "score": number, "model": text, "prompt": text}
        negative = passage | {"origins": pa.list_(pa.struct(origin))}
        reason = pa.struct({"rule": text, "value": number, "limit": number, "detail": text})
        refused = negative | ({"reasons": pa.struct(dict.fromkeys(filters, reason))} if filters else {})
        columns = {
            "query_id": text,
            "query": text,
            "positives": pa.list_(pa.struct(passage)),
            "negatives": pa.list_(pa.struct(negative)),
        }
        return pa.schema(columns | ({"dropped": pa.list_(pa.struct(refused))} if self.dropped else {}))
