"""What a training file shares with evaluation sets: equal texts, then long runs of words (as GPT-3's authors did)."""

from __future__ import annotations

import hashlib
import re
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from hardneg import progress
from hardneg.arrays import Int64
from hardneg.auditing.case import Case
from hardneg.auditing.facts import Facts, Hashes
from hardneg.auditing.finding import Finding
from hardneg.auditing.kinds import CONTAINED, RUN
from hardneg.data import training_rows as formats
from hardneg.data.corpus import content_hash
from hardneg.data.records import normalise
from hardneg.errors import DataError
from hardneg.files.text_lines import USUAL, Limits, existing, json_lines, text_of
from hardneg.readers.beir import judgments

WORD = re.compile(r"\w+")
KNOWN = 1 << 18
"""Passages of which it is held what was found: about 30 MB an evaluation set."""
POWERS = np.array([pow(0x9E3779B97F4A7C15, k, 1 << 64) for k in range(RUN)], dtype=np.uint64)


@dataclass(frozen=True, slots=True, eq=False)
class Texts:
    """Texts to find again: ``names`` [k]; the number of each by its `content_hash`; their runs of words, sorted, with
    the text that each is of; and how many runs each has.
    """

    names: list[str]
    equal: dict[int, int]
    runs: Hashes
    owners: Int64
    sizes: Int64

    @classmethod
    def of(cls, texts: dict[str, str]) -> Texts:
        """By name."""
        found = [runs_of(text) for text in texts.values()]
        sizes = np.array([len(own) for own in found], dtype=np.int64)
        runs = np.concatenate([np.zeros(0, np.uint64), *found])
        order = np.argsort(runs, kind="stable")
        equal: dict[int, int] = {}
        for number, text in enumerate(texts.values()):
            equal.setdefault(content_hash(text), number)
        return cls(list(texts), equal, runs[order], np.repeat(np.arange(len(found)), sizes)[order], sizes)

    def like(self, text: str, found: int) -> tuple[str, float] | None:
        """The name of the text that equals ``text``, whose hash is ``found``, or overlaps with it most; how far."""
        if found in self.equal:
            return self.names[self.equal[found]], 1.0
        own = runs_of(text)
        if not len(own) or not len(self.runs):
            return None
        begin, end = np.searchsorted(self.runs, own, "left"), np.searchsorted(self.runs, own, "right")
        if not (counts := end - begin).any():
            return None
        at = np.repeat(begin - np.cumsum(counts) + counts, counts) + np.arange(int(counts.sum()))
        others, shared = np.unique(self.owners[at], return_counts=True)
        contained = shared / np.minimum(self.sizes[others], len(own))
        best = int(np.argmax(contained))
        if contained[best] < CONTAINED:
            return None
        return self.names[int(others[best])], float(contained[best])


def runs_of(text: str) -> Hashes:
    """Uint64 [k]: a number for each distinct run of `RUN` words; none for a shorter text."""
    words = WORD.findall(normalise(text))
    if len(words) < RUN:
        return np.zeros(0, np.uint64)
    numbers = np.array([_number(word) for word in words], dtype=np.uint64)
    with np.errstate(over="ignore"):
        return np.unique((np.lib.stride_tricks.sliding_window_view(numbers, RUN) * POWERS).sum(axis=1, dtype=np.uint64))


@lru_cache(maxsize=1 << 18)
def _number(word: str) -> int:
    return int.from_bytes(hashlib.blake2b(word.encode(), digest_size=8).digest(), "little")


@dataclass(frozen=True, slots=True, eq=False)
class EvaluationSet:
    """A BEIR folder: its judged queries, the passages judged relevant, and hashes of its whole corpus.

    ``known``: what was found of passages of the training file, at most `KNOWN` of them.
    """

    folder: Path
    splits: tuple[str, ...]
    queries: Texts
    answers: Texts
    corpus: Hashes
    known: dict[int, tuple[str, float] | None] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: Path, limits: Limits = USUAL) -> EvaluationSet:
        """Every split but ``train``, unless there is no other; without judgments all queries and passages.

        Raises `DataError` for a folder that is none of BEIR's.
        """
        if not folder.is_dir():
            raise DataError(f"{folder}: there is no such folder; `--against` wants BEIR folders")
        found = {file.name.split(".")[0]: file for file in sorted((folder / "qrels").glob("*.tsv*"))}
        splits = {name: file for name, file in found.items() if name != "train"} or found
        asked, relevant = set[str](), set[str]()
        for file in splits.values():
            for _, query, passage, grade in judgments(file, limits):
                asked.add(query)
                if grade > 0:
                    relevant.add(passage)
        queries: dict[str, str] = {}
        file = existing(folder / "queries.jsonl")
        for number, record in json_lines(file, limits):
            if (name := text_of(record, ("_id",), file, number)) in asked or not splits:
                queries[name] = text_of(record, ("text",), file, number)
        answers: dict[str, str] = {}
        hashes = array("Q")
        file = existing(folder / "corpus.jsonl")
        with progress.task(f"read {folder.name}") as bar:
            for number, record in progress.counted(json_lines(file, limits), bar):
                passage_ = formats.passage(record, file, number)
                if passage_.contents:
                    hashes.append(content_hash(passage_.contents))
                if passage_.id in relevant or not splits:
                    answers[passage_.id] = passage_.contents
        answers = {name: text for name, text in answers.items() if text}
        corpus = np.unique(np.array(hashes, dtype=np.uint64))
        return cls(folder, tuple(splits), Texts.of(queries), Texts.of(answers), corpus)

    def check(self, case: Case) -> Iterator[Finding]:
        """The query and every passage of a row."""
        if case.row.query.strip() and (like := self.queries.like(case.row.query, case.query)):
            yield Finding("evaluation_query", "query", self._said(like, "query"), value=like[1])
        texts = iter(case.hashes)
        for side, own in case.sides:
            for text in own:
                found = next(texts)
                if found not in self.known:
                    if len(self.known) >= KNOWN:
                        self.known.clear()
                    self.known[found] = self.answers.like(text.contents, found) if text.contents else None
                if like := self.known[found]:
                    yield Finding(f"evaluation_{side}", side, self._said(like, "passage"), text, like[1])

    def _said(self, like: tuple[str, float], what: str) -> str:
        name, value = like
        how = "equal to" if value == 1 else f"shares {value:.0%} of its runs of {RUN} words with"
        return f"{how} {what} `{name}` of {self.folder}"

    def shared(self, facts: Facts) -> dict[str, Any]:
        """What the set has, and how many queries and passages of the file stand in it word for word."""
        equal = np.isin(facts.passages, self.corpus)
        asked = np.isin(facts.queries, np.array([*self.queries.equal], dtype=np.uint64))
        return {
            "folder": str(self.folder),
            "splits": list(self.splits),
            "queries": len(self.queries.names),
            "answers": len(self.answers.names),
            "passages": len(self.corpus),
            "equal": {
                "queries": int(asked.sum()),
                "positives": int((equal & ~facts.negative).sum()),
                "negatives": int((equal & facts.negative).sum()),
            },
        }
