"""Data sets of the library `datasets`, from a folder or from the hub."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import field
from functools import lru_cache
from pathlib import Path
from typing import Any

from hardneg.data import training_rows as formats
from hardneg.data.corpus import Corpus
from hardneg.data.records import Example, Passage, Read, unusable
from hardneg.errors import DataError, MissingExtraError
from hardneg.files.bad_lines import BadLines, Rule
from hardneg.kinds import NEUTRAL, NameOrPath, part


@part
class HuggingFace:
    """A data set saved by ``save_to_disk`` (a folder) or on the hub (a name), with the columns that the reader
    ``jsonl`` knows as keys.

    ``columns`` renames: ``{query: question, positive: context}`` reads the column ``question`` as the query. ``name``
    is the hub's configuration name. ``bad_lines`` as in the reader ``jsonl``. The extra ``datasets``.
    """

    path: NameOrPath = field(metadata=NEUTRAL)
    split: str = "train"
    name: str | None = None
    revision: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    bad_lines: Rule = "error"

    def identity(self) -> str:
        """The data set's own fingerprint."""
        return str(_load(self.path, self.name, self.split, self.revision)._fingerprint)  # noqa: SLF001  the library has no public name for it

    def files(self) -> list[Path]:
        """None: `identity` stands for the content."""
        return []

    def passages(self) -> Iterator[Read[Passage]]:
        """Every distinct text of the data set, in order of first appearance."""
        bad = BadLines(self.bad_lines)
        yield from formats.passages(self._rows(bad))
        yield from unusable(bad)

    def examples(self, corpus: Corpus, empty: frozenset[str]) -> Iterator[Read[Example]]:
        """The queries, in the order of the data set."""
        bad = BadLines(self.bad_lines)
        yield from formats.examples(self._rows(bad), corpus, bad)
        yield from unusable(bad)

    def _rows(self, bad: BadLines) -> Iterator[formats.Row]:
        loaded = _load(self.path, self.name, self.split, self.revision)
        missing = [column for column in self.columns.values() if column not in loaded.column_names]
        if missing:
            raise DataError(f"{self.path}: no column `{missing[0]}`; there are: {', '.join(loaded.column_names)}")
        for number, record in enumerate(loaded, 1):
            renamed = dict(record) | {key: record[column] for key, column in self.columns.items()}
            with bad:
                yield formats.row(renamed, Path(self.path), number)


@lru_cache(maxsize=2)
def _load(path: str, name: str | None, split: str, revision: str | None) -> Any:
    try:
        import datasets
    except ImportError as error:
        raise MissingExtraError("datasets", "datasets", "the reader `huggingface`") from error
    folder = Path(path)
    try:
        if (folder / "dataset_info.json").exists() or (folder / "dataset_dict.json").exists():
            loaded = datasets.load_from_disk(path)
            if isinstance(loaded, datasets.DatasetDict):
                if split not in loaded:
                    raise DataError(f"{path}: no split `{split}`; there are: {', '.join(map(str, loaded))}")
                loaded = loaded[split]
            return loaded
        return datasets.load_dataset(path, name, split=split, revision=revision)
    except (FileNotFoundError, ValueError, ConnectionError) as error:
        raise DataError(f"{path}: no data set in this folder and none of this name on the hub ({error})") from error
