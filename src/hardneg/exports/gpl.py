"""GPL's files."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TextIO

from hardneg.data.batch import Batch
from hardneg.exports.beir import folder_of
from hardneg.exports.rows import Example, examples
from hardneg.files.json_documents import writing
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
        counts = {"rows": 0, "pseudo labels": 0}
        with ExitStack() as files:
            write, _ = files.enter_context(folder_of(folder, "train"))
            line = files.enter_context(writing(folder / "hard-negatives.jsonl"))
            labels: TextIO | None = None
            if self.scorer is not None:
                file = folder / "gpl-training-data.tsv"
                labels = files.enter_context(file.open("w", encoding="utf-8", newline="\n"))
            for row in examples(batches, self.scorer, scored=self.scorer is not None):
                write(row)
                if not row.negatives:
                    continue
                by_source: dict[str, list[str]] = {}
                for passage, sources in zip(row.negatives, row.sources, strict=True):
                    for source in sources:
                        by_source.setdefault(source, []).append(passage.id)
                line({"qid": row.id, "pos": [passage.id for passage in row.positives], "neg": by_source})
                counts["rows"] += 1
                if labels is not None:
                    counts["pseudo labels"] += _label(row, labels)
        return counts


def _label(row: Example, labels: TextIO) -> int:
    """Writes a line for each positive with each negative. Returns how many."""
    for positive, high in zip(row.positives, row.positive_scores, strict=True):
        for negative, low in zip(row.negatives, row.negative_scores, strict=True):
            labels.write(f"{row.id}\t{positive.id}\t{negative.id}\t{high - low}\n")
    return len(row.positives) * len(row.negatives)
