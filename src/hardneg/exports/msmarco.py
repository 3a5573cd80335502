"""Triples as MS MARCO has them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from hardneg.data.batch import Batch
from hardneg.errors import DataError
from hardneg.exports.rows import examples
from hardneg.exports.sidecar import recording
from hardneg.kinds import part


@part
class MSMARCO:
    """``triples.tsv``: query, positive and negative a line, as texts (white space made single spaces) or as ``ids``."""

    ids: bool = False

    def write(self, batches: Iterable[Batch], folder: Path) -> dict[str, Any]:
        """Writes ``triples.tsv``; returns the number of lines."""
        count = 0
        with recording(folder) as record, (folder / "triples.tsv").open("w", encoding="utf-8", newline="\n") as file:
            for row in examples(batches, scored=False):
                for positive in row.positives:
                    for negative in row.negatives:
                        texts = (row.query, positive.contents, negative.contents)
                        cells = (row.id, positive.id, negative.id) if self.ids else tuple(map(_one_line, texts))
                        if any("\t" in cell or "\n" in cell for cell in cells):
                            raise DataError(f"an id of {cells!r} has a tab or a line break and cannot be in a TSV")
                        file.write("\t".join(cells) + "\n")
                        record(row.id, [positive.id, negative.id])
                        count += 1
        return {"rows": count}


def _one_line(text: str) -> str:
    return " ".join(text.split())
