"""BEIR folders."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hardneg.data.batch import Batch
from hardneg.errors import DataError, PartError
from hardneg.exports.rows import Example, Used, examples
from hardneg.files.json_documents import writing
from hardneg.kinds import part

HEADER = "query-id\tcorpus-id\tscore\n"


@contextmanager
def folder_of(folder: Path, split: str) -> Iterator[tuple[Callable[[Example], None], Used]]:
    """Opens corpus, queries and judgments. Gives what writes an example, and the passages that are in the corpus."""
    (folder / "qrels").mkdir(parents=True, exist_ok=True)
    judged = folder / "qrels" / f"{split}.tsv"
    with (
        writing(folder / "queries.jsonl") as query,
        writing(folder / "corpus.jsonl") as document,
        judged.open("w", encoding="utf-8", newline="\n") as judgments,
    ):
        judgments.write(HEADER)
        used = Used(lambda passage: document({"_id": passage.id, "title": passage.title, "text": passage.text}))

        def write(row: Example) -> None:
            query({"_id": row.id, "text": row.query})
            used(row.negatives)
            for passage in used(row.positives):
                for identifier in (row.id, passage):
                    if identifier.startswith('"') or "\t" in identifier or "\n" in identifier:
                        raise DataError(f"the id {identifier!r} cannot be written into a BEIR judgment file")
                judgments.write(f"{row.id}\t{passage}\t1\n")

        yield write, used


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
        count = 0
        with folder_of(folder, self.split) as (write, used):
            for row in examples(batches, scored=False):
                write(row)
                count += 1
        return {"rows": count, "passages": used.count}
