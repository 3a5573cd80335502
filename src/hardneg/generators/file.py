"""Candidates that somebody else found: bring your own."""

from __future__ import annotations

from dataclasses import field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from hardneg.arrays import offsets_of
from hardneg.bounds import Count
from hardneg.data import training_rows as formats
from hardneg.data.batch import Batch
from hardneg.data.candidates import Candidates
from hardneg.errors import DataError
from hardneg.files.text_lines import USUAL, Limits, existing, known_hash, lines, text_of
from hardneg.kinds import NEUTRAL, part

LARGEST = float(np.finfo(np.float32).max)
Found = tuple[str | None, str | None, float, str]  # passage id, text, score, place in the file


@part
class File:
    """Candidates from a file: a TREC run (``query-id Q0 passage-id rank score tag``, ending ``.run``, ``.trec`` or
    ``.txt``), JSONL with ``query_id`` and ``candidates`` (ids, or objects with ``id`` and ``score``), or the negatives
    of a training file (`formats`; JSONL, Parquet, a folder saved by ``datasets``).

    Texts that the corpus has are its passages; others are candidates in their own right. ``depth``: the best so many.
    """

    path: Path = field(metadata=NEUTRAL)
    depth: Count | None = None
    limits: Limits = field(default=USUAL, metadata=NEUTRAL)

    def identity(self) -> str:
        """A hash of the file."""
        if self.path.is_dir():
            return ",".join(known_hash(file) for file in sorted(self.path.rglob("*")) if file.is_file())
        return known_hash(existing(self.path))

    def generate(self, batch: Batch) -> Candidates:
        """The file's candidates, in its order; a TREC run's by falling score. Raises `DataError` for an unknown id."""
        found = _load(self.path, self.limits, self.identity())
        chosen: list[Found] = []
        lengths: list[int] = []
        for identifier, query in zip(batch.ids, batch.queries, strict=True):
            candidates = (found.get(("id", identifier)) or found.get(("query", query)) or [])[: self.depth]
            lengths.append(len(candidates))
            chosen += candidates
        by_text = [j for j, (_, text, _, _) in enumerate(chosen) if text is not None]
        rows = np.array(
            [-1 if text is not None else _row(batch, id_ or "", at) for id_, text, _, at in chosen], np.int64
        )
        rows[by_text] = batch.corpus.find([chosen[j][1] or "" for j in by_text])
        texts = [text if row < 0 else None for (_, text, _, _), row in zip(chosen, rows, strict=True)]
        scores = np.array([score for _, _, score, _ in chosen], np.float32)
        return Candidates(offsets_of(lengths), rows, scores, texts)


def _row(batch: Batch, identifier: str, place: str) -> int:
    try:
        return batch.corpus.row(identifier)
    except KeyError as error:
        raise DataError(f"{place}: passage id `{identifier}` is not in the corpus") from error


@lru_cache(maxsize=2)
def _load(path: Path, limits: Limits, _content: str) -> dict[tuple[str, str], list[Found]]:
    """Candidates by ("id", query id) or ("query", its text). ``_content`` makes a changed file another call."""
    if not path.is_dir():
        path = existing(path)
        if path.name.removesuffix(".gz").removesuffix(".zst").endswith((".run", ".trec", ".txt")):
            return _trec(path, limits)
    out: dict[tuple[str, str], list[Found]] = {}
    for number, record in formats.records(path, limits):
        place = f"{path}:{number}"
        if "candidates" in record:
            identifier = text_of(record, formats.QUERY_ID, path, number, required=False)
            query = text_of(record, formats.QUERY, path, number, required=not identifier)
            found = _candidates(record, place)
        else:
            row = formats.row(record, path, number)
            identifier, query = row.query_id or "", row.query
            found = [(None, text.contents, text.score or 0.0, place) for text in row.negatives]
        for key in (("id", identifier), ("query", query)):
            if key[1]:
                out.setdefault(key, []).extend(found)
    return out


def _candidates(record: dict[str, Any], place: str) -> list[Found]:
    items, scores = record["candidates"], record.get("scores")
    if not isinstance(items, list):
        raise DataError(f"{place}: `candidates` must be a list, not {type(items).__name__}")
    if scores is not None and (not isinstance(scores, list) or len(scores) != len(items)):
        raise DataError(f"{place}: `scores` must be a list as long as `candidates` ({len(items)})")
    out: list[Found] = []
    for number, item in enumerate(items):
        own = item if isinstance(item, dict) else {"id": item}
        score = own.get("score", scores[number] if scores else 0.0)
        if not isinstance(score, (int, float)) or not abs(score) <= LARGEST:
            raise DataError(f"{place}: the score of candidate {number + 1} is {score!r}; scores must be finite numbers")
        if isinstance(own.get("text"), str):
            out.append((None, own["text"], float(score), place))
        elif isinstance(own.get("id"), (str, int)):
            out.append((str(own["id"]), None, float(score), place))
        else:
            raise DataError(f"{place}: candidate {number + 1} has neither an `id` nor a `text`: {item!r:.80}")
    return out


def _trec(path: Path, limits: Limits) -> dict[tuple[str, str], list[Found]]:
    out: dict[tuple[str, str], list[Found]] = {}
    for number, line in lines(path, limits):
        columns = line.split()
        try:
            query, _, passage, _, value, *_ = columns
            score = float(value)
        except ValueError as error:
            raise DataError.at(
                path, number, f"expected `query-id Q0 passage-id rank score tag`, found {line!r:.80}"
            ) from error
        if not abs(score) <= LARGEST:
            raise DataError.at(
                path, number, f"the score of passage `{passage}` is {value!r}; scores must be finite numbers"
            )
        out.setdefault(("id", query), []).append((passage, None, score, f"{path}:{number}"))
    for found in out.values():
        found.sort(key=lambda candidate: -candidate[2])
    return out
