"""GPL's files."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from hardneg.data.batch import Batch
from hardneg.exports.beir import write_folder
from hardneg.exports.rows import Used, examples, write_lines
from hardneg.kinds import part


@part
class GPL:
    """A BEIR folder with GPL's ``hard-negatives.jsonl`` (``qid``, ``pos``, and in ``neg`` the ids by generator) and,
    with ``scorer``, its pseudo labels ``gpl-training-data.tsv`` (query, positive, negative, score of the positive less
    score of the negative).
    """

    scorer: str | None = None

    def write(self, batches: Iterable[Batch], folder: Path) -> dict[str, Any]:
        """Writes the folder; returns counts."""
        used = Used()
        lines: list[dict[str, Any]] = []
        labels: list[str] = []
        rows = examples(batches, self.scorer, scored=self.scorer is not None)
        for row in write_folder(rows, folder, "train", used):
            if not row.negatives:
                continue
            by_source: dict[str, list[str]] = {}
            for passage, sources in zip(row.negatives, row.sources, strict=True):
                for source in sources:
                    by_source.setdefault(source, []).append(passage.id)
            lines.append({"qid": row.id, "pos": [passage.id for passage in row.positives], "neg": by_source})
            if self.scorer is not None:
                labels += [
                    f"{row.id}\t{positive.id}\t{negative.id}\t{high - low}\n"
                    for positive, high in zip(row.positives, row.positive_scores, strict=True)
                    for negative, low in zip(row.negatives, row.negative_scores, strict=True)
                ]
        write_lines(folder / "hard-negatives.jsonl", lines)
        if self.scorer is not None:
            (folder / "gpl-training-data.tsv").write_text("".join(labels), encoding="utf-8", newline="\n")
        return {"rows": len(lines), "pseudo labels": len(labels)}
