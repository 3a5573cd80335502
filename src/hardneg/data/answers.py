"""What people said of candidates: read from the exports of a review page, or from any judgments in these formats."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hardneg.errors import DataError
from hardneg.files.text_lines import existing, json_lines, lines, text_of

Pair = tuple[str, str]
"""A query id and a passage id."""
VALUES: Mapping[str, float] = {"relevant": 1.0, "unsure": 0.5, "not relevant": 0.0}
"""The answers, and what each counts where several are averaged."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One person's answer about one candidate. ``review`` and ``seconds`` are None where the file does not say."""

    pair: Pair
    value: float
    """1 relevant, 0.5 unsure, 0 not relevant."""
    annotator: str
    review: str | None = None
    seconds: float | None = None


def answers_of(files: Iterable[Path]) -> list[Answer]:
    """Every answer of these files; of two by one annotator about one candidate in one review the later one.

    JSONL as the review page writes it (``.jsonl``); else BEIR judgments (three columns with tabs) or TREC qrels (four),
    where a grade above 0 is relevant and the file's name stands for the annotator. Raises `DataError` with file and
    line for anything else.
    """
    found: dict[tuple[str, str | None, Pair], Answer] = {}
    for path in files:
        file = existing(path)
        for answer in _from_jsonl(file) if ".jsonl" in file.suffixes else _from_columns(file):
            key = answer.annotator, answer.review, answer.pair
            found.pop(key, None)  # a later answer stands in its own place, after those to other reviews
            found[key] = answer
    return list(found.values())


def by_pair(answers: Iterable[Answer]) -> dict[Pair, float]:
    """The mean answer about each candidate: above 0.5 it is relevant, below it is not, at 0.5 nobody knows.

    An annotator who judged a candidate in several reviews counts once, with the last answer.
    """
    values: dict[Pair, dict[str, float]] = {}
    for answer in answers:
        values.setdefault(answer.pair, {})[answer.annotator] = answer.value
    return {pair: sum(own.values()) / len(own) for pair, own in values.items()}


def _from_jsonl(file: Path) -> Iterator[Answer]:
    for number, record in json_lines(file):
        answer = text_of(record, ("answer",), file, number)
        if answer not in VALUES:
            raise DataError.at(file, number, f"`answer` must be one of {', '.join(VALUES)}, not {answer!r:.40}")
        pair = text_of(record, ("query_id",), file, number), text_of(record, ("passage_id",), file, number)
        annotator = text_of(record, ("annotator",), file, number, required=False) or _stem(file)
        review = text_of(record, ("review",), file, number, required=False) or None
        yield Answer(pair, VALUES[answer], annotator, review, _seconds(record))


def _seconds(record: Mapping[str, Any]) -> float | None:
    value = record.get("seconds")
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _from_columns(file: Path) -> Iterator[Answer]:
    for number, text in lines(file):
        columns = text.split("\t")
        if len(columns) == 3:
            query, passage, grade = columns
        elif len(columns := text.split()) == 4:
            query, _, passage, grade = columns
        else:
            raise DataError.at(
                file, number, f"expected three columns with tabs (BEIR) or four (TREC qrels), found {text!r:.80}"
            )
        try:
            value = 1.0 if int(grade) > 0 else 0.0
        except ValueError as error:
            if number == 1:
                continue  # a header
            raise DataError.at(file, number, f"the grade must be a whole number, not {grade!r:.40}") from error
        yield Answer((query, passage), value, _stem(file))


def _stem(file: Path) -> str:
    return file.name.split(".")[0]
