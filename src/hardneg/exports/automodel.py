"""NeMo Automodel's two forms."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from hardneg.bounds import Count
from hardneg.data.batch import Batch
from hardneg.exports.blocks import rows_of
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
    """Writes both, and returns the number of passages."""
    (folder / CORPUS).mkdir()
    text = pa.string()
    schema = pa.schema({"id": text, "text": text})
    around = json.dumps({"corpus": [{"path": f"./{CORPUS}"}], "data": []}, indent=1).split("[]")
    with (
        (folder / "train.json").open("w", encoding="utf-8", newline="\n") as document,
        rows_of(folder / CORPUS / "train.parquet", schema) as put,
    ):
        used = Used(lambda passage: put(passage.id, passage.contents))
        document.write(f"{around[0]}[")
        between = ""
        for row in rows:
            entry = {
                "question_id": row.id,
                "question": row.query,
                "corpus_id": CORPUS,
                "pos_doc": [{"id": identifier} for identifier in used(row.positives)],
                "neg_doc": [{"id": identifier} for identifier in used(row.negatives)],
            }
            lines = json.dumps(entry, ensure_ascii=False, indent=1).replace("\n", "\n  ")
            document.write(f"{between}\n  {lines}")
            between = ","
        document.write(("\n ]" if between else "]") + f"{around[1]}\n")
    metadata = {"class": "TextQADataset", "corpus_id": CORPUS}
    (folder / CORPUS / "merlin_metadata.json").write_text(json.dumps(metadata) + "\n", encoding="utf-8")
    return used.count
