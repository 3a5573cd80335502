"""BEIR folders: ``corpus.jsonl``, ``queries.jsonl``, ``qrels/SPLIT.tsv``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import field
from pathlib import Path

from hardneg.data import training_rows as formats
from hardneg.data.corpus import Corpus
from hardneg.data.records import BELOW, NO_QUERY, NO_TEXT, TWICE, Example, Passage, Read, unusable, unused
from hardneg.errors import DataError
from hardneg.files.bad_lines import STRICT, BadLines, Rule
from hardneg.files.spilled import Spilled
from hardneg.files.text_lines import USUAL, Limits, existing, file_hash, json_lines, lines, text_of
from hardneg.kinds import NEUTRAL, part


def judgments(file: Path, limits: Limits = USUAL, bad: BadLines = STRICT) -> Iterator[tuple[int, str, str, int]]:
    """Line number, query id, passage id and grade of every line of a BEIR qrels file but its header.

    A first line whose third column is a whole number is a judgment: the file has no header.
    """
    for number, text in lines(file, limits, bad):
        columns = text.split("\t")
        if number == 1 and not (len(columns) == 3 and columns[2].strip().lstrip("-").isdigit()):
            continue
        with bad:
            try:
                grade = int(columns[2])
                if abs(grade) >= 1 << 31:
                    raise ValueError("too large for a grade")
            except (IndexError, ValueError) as error:
                raise DataError.at(
                    file, number, f"expected query-id, corpus-id and a whole number, found {text!r:.80}"
                ) from error
            yield number, columns[0], columns[1], grade


def grades_of(file: Path, limits: Limits = USUAL) -> dict[str, dict[str, int]]:
    """The judgments of a BEIR qrels file: a grade by query id and passage id. Raises `DataError` for a broken line."""
    grades: dict[str, dict[str, int]] = {}
    for _, query, passage, grade in judgments(existing(file), limits):
        grades.setdefault(query, {})[passage] = grade
    return grades


@part
class BEIR:
    """A BEIR folder; each file may end in ``.gz`` or ``.zst``.

    A judgment counts as positive from ``min_grade`` on. ``judged`` names a split with all judgments: they are never
    shown to the job, and the report counts with them how many negatives are really false. Counted and left out:
    passages without text, queries without a judgment in this split, queries without a positive, and judgments that make
    no positive. Errors: an id that
    occurs twice, a judged query of white space, a judgment of an unknown query or passage, two different grades of one
    pair. ``bad_lines: skip`` puts aside and lists the lines with such an error, or that cannot be read; of two that
    contradict each other the first stays. A passage id that occurs twice is an error still.
    """

    path: Path = field(metadata=NEUTRAL)
    split: str = "train"
    min_grade: int = 1
    judged: str | None = field(default=None, metadata=NEUTRAL)
    limits: Limits = USUAL
    bad_lines: Rule = "error"

    def judgments(self) -> dict[str, dict[str, int]] | None:
        """The judgments of the split ``judged``, those below ``min_grade`` as 0."""
        if self.judged is None:
            return None
        found = grades_of(self._split(self.judged), self.limits)
        return {q: {p: max(g - self.min_grade + 1, 0) for p, g in own.items()} for q, own in found.items()}

    def judged_by(self) -> str | None:
        """A hash of the file of the split ``judged``."""
        return None if self.judged is None else file_hash(existing(self._split(self.judged)))

    def files(self) -> list[Path]:
        """Corpus, queries and judgments."""
        if not self.path.is_dir():
            raise DataError(f"{self.path}: there is no such folder")
        return [
            existing(self.path / "corpus.jsonl"),
            existing(self.path / "queries.jsonl"),
            existing(self._split(self.split)),
        ]

    def _split(self, name: str) -> Path:
        """The judgments of a split. Raises `DataError` that lists the splits where there is none of this name."""
        file = self.path / "qrels" / f"{name}.tsv"
        if not file.exists() and (self.path / "qrels").is_dir():
            known = sorted(file.name.split(".")[0] for file in (self.path / "qrels").iterdir())
            if name not in known:
                raise DataError(f"{file}: there is no such file; the splits here are: {', '.join(known)}")
        return file

    def passages(self) -> Iterator[Read[Passage]]:
        """The corpus, in the order of the file."""
        file, bad = self.files()[0], BadLines(self.bad_lines)
        for number, record in json_lines(file, self.limits, bad):
            with bad:
                yield Read(formats.passage(record, file, number), str(file), number)
        yield from unusable(bad)

    def examples(self, corpus: Corpus, empty: frozenset[str]) -> Iterator[Read[Example]]:
        """The queries of this split, in the order of the queries' file."""
        _, queries_file, judged_file = self.files()
        bad = BadLines(self.bad_lines)
        queries = Spilled("line", "text")
        for number, record in json_lines(queries_file, self.limits, bad):
            with bad:
                identifier = text_of(record, ("_id",), queries_file, number)
                query = text_of(record, ("text",), queries_file, number)
                if (first := queries.put(identifier, "", number, query)) is not None:
                    raise DataError.at(
                        queries_file, number, f"query id `{identifier}` already appears on line {first[0]}"
                    )
        left: Counter[str] = Counter()
        grades = self._grades(judged_file, queries, corpus, empty, bad, left)
        for identifier, _, number, query in queries:
            judged = list(grades.of(identifier))
            if not judged:
                reason = "query without a judgment in this split" if query.strip() else "query without text"
                yield Read(None, str(queries_file), number, reason)
                continue
            if not query.strip():
                with bad:
                    raise DataError.at(
                        queries_file, number, f"the text of query `{identifier}` is empty; give it a text or delete it"
                    )
                left[NO_QUERY] += len(judged)
                continue
            positives = [p for p, grade in judged if grade >= self.min_grade]
            with_text = tuple(p for p in positives if p not in empty)
            left[BELOW] += len(judged) - len(positives)
            left[NO_TEXT] += len(positives) - len(with_text)
            if with_text:
                yield Read(Example(identifier, query, with_text), str(queries_file), number)
            else:
                reason = "query whose positives have no text" if positives else "query without a positive"
                yield Read(None, str(queries_file), number, reason)
        yield from unused(left, judged_file)
        yield from unusable(bad)

    def _grades(
        self,
        file: Path,
        queries: Spilled,
        corpus: Corpus,
        empty: frozenset[str],
        bad: BadLines,
        left: Counter[str],
    ) -> Spilled:
        grades = Spilled("grade")
        for number, query, passage, grade in judgments(file, self.limits, bad):
            with bad:
                if queries.get(query) is None:
                    raise DataError.at(file, number, f"query id `{query}` is not in queries.jsonl")
                if passage not in empty and passage not in corpus:
                    raise DataError.at(
                        file, number, f"corpus id `{passage}` is not in corpus.jsonl; correct or delete the line"
                    )
                first = grades.put(query, passage, grade)
                if first == (grade,):
                    left[TWICE] += 1
                elif first is not None:
                    raise DataError.at(
                        file, number, f"passage `{passage}` has two grades for query `{query}`: {first[0]}, {grade}"
                    )
        return grades
