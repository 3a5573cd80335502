"""Training files of any known format, with or without a corpus file: the kinds ``jsonl``, ``parquet`` and ``csv``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import field
from pathlib import Path

from hardneg.data import training_rows as formats
from hardneg.data.corpus import Corpus
from hardneg.data.records import Example, Passage, Read, unusable
from hardneg.files.bad_lines import BadLines, Rule
from hardneg.files.text_lines import USUAL, Limits, existing
from hardneg.kinds import NEUTRAL, part


@part
class TrainingFile:
    """JSONL, CSV or TSV with a header (``.gz``, ``.zst``), Parquet, or a folder saved by ``datasets``.

    Keys or columns: ``query``, ``positive`` (or ``pos``, ``positives``: a text, a passage, or a list), maybe
    ``query_id``, ``positive_ids``, ``neg``. The training files of sentence-transformers, FlagEmbedding and Tevatron are
    read as they are (`data.training_rows`).

    Rows with one query are one example. ``corpus`` is such a file of passages (``_id``, ``title``, ``text``); the texts
    of the training file are added to it where it lacks them. Without it they are the corpus, negatives too. Counted and
    left out: queries without a positive. Errors: an empty query, one id for two queries or two passages.
    ``bad_lines: skip`` puts aside and lists the lines with such an error, or that cannot be read; one id for two
    passages is an error still.
    """

    path: Path = field(metadata=NEUTRAL)
    corpus: Path | None = field(default=None, metadata=NEUTRAL)
    limits: Limits = USUAL
    bad_lines: Rule = "error"

    def files(self) -> list[Path]:
        """The training file (or the files of its folder), and the corpus if there is one."""
        training = (
            sorted(file for file in self.path.rglob("*") if file.is_file())
            if self.path.is_dir()
            else [existing(self.path)]
        )
        return [*training, *([existing(self.corpus, what="corpus file")] if self.corpus else [])]

    def passages(self) -> Iterator[Read[Passage]]:
        """The corpus file, then the texts that it lacks, in order of first appearance."""
        bad = BadLines(self.bad_lines)
        yield from formats.passages(self._rows(bad), self._corpus(bad))
        yield from unusable(bad)

    def examples(self, corpus: Corpus, empty: frozenset[str]) -> Iterator[Read[Example]]:
        """The queries, in the order of the file."""
        bad = BadLines(self.bad_lines)
        yield from formats.examples(self._rows(bad), corpus, bad)
        yield from unusable(bad)

    def _rows(self, bad: BadLines) -> Iterator[formats.Row]:
        return formats.rows(self.path if self.path.is_dir() else existing(self.path), self.limits, bad)

    def _corpus(self, bad: BadLines) -> Iterator[Read[Passage]]:
        if self.corpus:
            file = existing(self.corpus)
            for number, record in formats.records(file, self.limits, bad):
                with bad:
                    yield Read(formats.passage(record, file, number), str(file), number)
