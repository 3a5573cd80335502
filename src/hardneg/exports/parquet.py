"""Everything, in nested columns."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from hardneg.data.batch import Batch
from hardneg.exports.jsonl import JSONL
from hardneg.kinds import part


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
        origin |= {"round": pa.int64(), "tokens": number, "note": text}
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
