"""ms-swift's chats."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from hardneg.bounds import Count
from hardneg.data.batch import Batch
from hardneg.exports.rows import Short, examples, rectangle, write_lines
from hardneg.exports.sidecar import recorded, recording
from hardneg.kinds import part


@part
class MSSwift:
    """``train.jsonl`` for ms-swift: ``messages``, ``positive_messages``, ``negative_messages``, chats of one message.

    Every line has ``negatives`` negatives: ms-swift fills shorter lines with positives.
    """

    negatives: Count
    short: Short = "repeat"

    def write(self, batches: Iterable[Batch], folder: Path) -> dict[str, Any]:
        """Writes ``train.jsonl``; returns counts."""
        counts: dict[str, int] = {}

        def chat(text: str) -> list[dict[str, str]]:
            return [{"role": "user", "content": text}]

        rows = rectangle(examples(batches, scored=False), self.negatives, self.short, counts)
        with recording(folder) as record:
            write_lines(
                folder / "train.jsonl",
                (
                    {
                        "messages": chat(row.query),
                        "positive_messages": [chat(passage.contents) for passage in row.positives],
                        "negative_messages": [chat(passage.contents) for passage in row.negatives],
                    }
                    for row in recorded(rows, record)
                ),
            )
        return counts
