"""BEIR folders."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from hardneg.data.batch import Batch
from hardneg.errors import DataError, PartError
from hardneg.exports.rows import Example, Used, examples, write_lines
from hardneg.kinds import part

HEADER = "query-id\tcorpus-id\tscore\n"


def write_folder(rows: Iterable[Example], folder: Path, split: str, used: Used) -> Iterator[Example]:
    """Writes corpus, queries and judgments of the examples that go by; ``used`` may know more passages."""
    queries: list[dict[str, str]] = []
    judgments: list[str] = []
    for row in rows:
        queries.append({"_id": row.id, "text": row.query})
        used(row.negatives)
        for passage in used(row.positives):
            for identifier in (row.id, passage):
                if identifier.startswith('"') or "\t" in identifier or "\n" in identifier:
                    raise DataError(f"the id {identifier!r} cannot be written into a BEIR judgment file")
            judgments.append(f"{row.id}\t{passage}\t1\n")
        yield row
    write_lines(folder / "queries.jsonl", queries)
    write_lines(
        folder / "corpus.jsonl",
        ({"_id": p.id, "title": p.title, "text": p.text} for p in used.passages.values()),
    )
    (folder / "qrels").mkdir(exist_ok=True)
    (folder / "qrels" / f"{split}.tsv").write_text(HEADER + "".join(judgments), encoding="utf-8", newline="\n")


@part
class BEIR:
    """A BEIR folder: ``corpus.jsonl`` with the passages that are positives or chosen negatives, ``queries.jsonl``, and
    ``qrels/<split>.tsv`` with the positives.
    """

    split: str = "train"

    def __post_init__(self) -> None:
        if not self.split or "/" in self.split:
            raise PartError(f"`split` must be the name of a file, not {self.split!r}")

    def write(self, batches: Iterable[Batch], folder: Path) -> dict[str, Any]:
        """Writes the folder; returns counts."""
        used = Used()
        count = sum(1 for _ in write_folder(examples(batches, scored=False), folder, self.split, used))
        return {"rows": count, "passages": len(used.passages)}
