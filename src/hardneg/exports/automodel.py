"""NeMo Automodel's two forms."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from hardneg.bounds import Count
from hardneg.data.batch import Batch
from hardneg.exports.rows import Example, Short, Used, examples, rectangle, write_lines
from hardneg.exports.sidecar import recorded, recording
from hardneg.kinds import part

CORPUS = "corpus"


@part
class Automodel:
    """For NeMo Automodel. ``inline``: ``train.jsonl`` with ``query``, ``pos_doc`` and ``neg_doc`` (lists of texts).
    ``corpus``: ``train.json``, whose ``pos_doc`` and ``neg_doc`` name passages of the folder ``corpus`` (``id`` and
    ``text`` in Parquet, and ``merlin_metadata.json``).
    """

    form: Literal["inline", "corpus"] = "inline"
    negatives: Count | None = None
    short: Short = "repeat"

    def write(self, batches: Iterable[Batch], folder: Path) -> dict[str, Any]:
        """Writes the files; returns counts."""
        counts: dict[str, int] = {}
        rows = rectangle(examples(batches, scored=False), self.negatives, self.short, counts)
        if self.form == "inline":
            with recording(folder) as record:
                write_lines(folder / "train.jsonl", map(_inline, recorded(rows, record)))
        else:
            counts["passages"] = _write_by_id(rows, folder)
        return counts


def _inline(row: Example) -> dict[str, Any]:
    return {
        "query": row.query,
        "pos_doc": [passage.contents for passage in row.positives],
        "neg_doc": [passage.contents for passage in row.negatives],
    }


def _write_by_id(rows: Iterable[Example], folder: Path) -> int:
    used = Used()
    data = [
        {
            "question_id": row.id,
            "question": row.query,
            "corpus_id": CORPUS,
            "pos_doc": [{"id": identifier} for identifier in used(row.positives)],
            "neg_doc": [{"id": identifier} for identifier in used(row.negatives)],
        }
        for row in rows
    ]
    document = {"corpus": [{"path": f"./{CORPUS}"}], "data": data}
    (folder / "train.json").write_text(json.dumps(document, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    (folder / CORPUS).mkdir()
    passages = used.passages.values()
    table = {"id": pa.array([p.id for p in passages], pa.string())}
    table["text"] = pa.array([p.contents for p in passages], pa.string())
    pq.write_table(pa.table(table), folder / CORPUS / "train.parquet")
    metadata = {"class": "TextQADataset", "corpus_id": CORPUS}
    (folder / CORPUS / "merlin_metadata.json").write_text(json.dumps(metadata) + "\n", encoding="utf-8")
    return len(passages)
