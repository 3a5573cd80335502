"""Examples to look at: up to 200 queries, evenly spaced over the run, with positives and some of their candidates."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any

import numpy as np

from hardneg.arrays import Bool, Int64
from hardneg.data.batch import Batch

EXAMPLES = 200
BYTES = 7_500
"""What one example may take in a page: 200 of them are 1.5 MB, however long the texts are."""
LENGTHS = (1_200, 900, 700, 560, 460, 380, 320, 270, 230, 190, 150, 110, 60)
"""Characters that are shown of a text: the first of these with which the example fits."""
CHOSEN, KEPT, REFUSED, POSITIVES = 7, 1, 5, 3
"""The most candidates of each kind, and positives, of an example."""
NAME = 120
"""The most characters of an id or a reason."""


def cut(text: str, length: int) -> str:
    """The text, or its beginning with an ellipsis.

    >>> cut("a long text", 6)
    'a long…'
    """
    return text if len(text) <= length else text[:length] + "…"


def drawn(number: int, total: int, most: int) -> bool:
    """Whether entry ``number`` of ``total``, from 0, is among ``most`` of them that are evenly spaced.

    >>> [number for number in range(8) if drawn(number, total=8, most=3)]
    [0, 3, 6]
    """
    return number * most // total != (number - 1) * most // total if total > most else True


@dataclass
class Examples:
    """Collected batch by batch.

    ``target``: the scorer by which candidates are hard; ``total``: examples of the run; ``scorers``: those whose scores
    are shown.
    """

    target: str
    total: int
    scorers: tuple[str, ...]
    seen: int = 0
    found: list[str] = field(default_factory=list)
    """Each a JSON document."""

    def add(self, batch: Batch) -> None:
        """Takes the sampled examples of one batch that has been through selection."""
        sampled = [i for i in range(len(batch)) if drawn(self.seen + i, self.total, EXAMPLES)]
        self.seen += len(batch)
        kept, dropped, trainable = batch.kept, batch.refused, batch.trainable
        for i in sampled:
            numbers = np.arange(batch.offsets[i], batch.offsets[i + 1])
            numbers = numbers[trainable[numbers]]
            example = _example(batch, i, numbers, kept[numbers], dropped[numbers], self.target, self.scorers)
            self.found.append(_fitting(example))


def _fitting(whole: dict[str, Any]) -> str:
    """One example as JSON of at most `BYTES` in a page."""
    text = ""
    for length in LENGTHS:
        text = json.dumps(_shortened(whole, length), ensure_ascii=False)
        if _in_page(text) <= BYTES:
            return text
    while _in_page(text) > BYTES and whole["candidates"]:
        whole["candidates"].pop()
        text = json.dumps(_shortened(whole, LENGTHS[-1]), ensure_ascii=False)
    return text


def _in_page(text: str) -> int:
    """Bytes of a JSON document as `pages.page.embedded` writes it, at most."""
    escaped = sum(text.count(character) for character in "<\u2028\u2029")
    return len(text.encode("utf-8", "backslashreplace")) + 5 * escaped


def _shortened(example: dict[str, Any], length: int) -> dict[str, Any]:
    def passage(given: dict[str, Any]) -> dict[str, Any]:
        return given | {"text": cut(given["text"], length)}

    return example | {
        "query": cut(example["query"], length),
        "positives": [passage(one) for one in example["positives"]],
        "candidates": [passage(one) for one in example["candidates"]],
    }


def _example(
    batch: Batch, i: int, numbers: Int64, kept: Bool, dropped: Bool, target: str, scorers: tuple[str, ...]
) -> dict[str, Any]:
    """``numbers``: the example's candidates that may be trained on; which of them every filter keeps, and which some
    filter drops.
    """
    own = batch.positives_of(i)
    chosen = np.zeros(0, np.int64) if batch.selection is None else batch.selection.of(i)
    order = np.argsort(-batch.scores[target].negatives[numbers], kind="stable")
    by_hardness, kept = numbers[order], kept[order]
    left = by_hardness[kept & ~np.isin(by_hardness, chosen)]
    refused = by_hardness[dropped[order]]
    groups = {"chosen": chosen[:CHOSEN], "refused": _varied(batch, refused)[:REFUSED], "kept": left[:KEPT]}
    return {
        "id": cut(batch.ids[i], NAME),
        "query": batch.queries[i],
        "length": len(batch.queries[i]),
        "counts": {
            "chosen": len(chosen),
            "kept": len(left),
            "refused": len(refused),
            "positives": own.stop - own.start,
        },
        "positives": [
            _passage(batch.corpus.passage(int(batch.positive_rows[p])))
            | {"scores": {name: _rounded(batch.scores[name].positives[p]) for name in scorers}}
            for p in range(own.start, min(own.stop, own.start + POSITIVES))
        ],
        "candidates": [_candidate(batch, int(j), what, scorers) for what, some in groups.items() for j in some],
    }


def _varied(batch: Batch, refused: Int64) -> Int64:
    """Refused candidates in turn by the filter that refused each first, the hardest of each filter first."""
    by_filter: dict[str, list[int]] = defaultdict(list)
    for j in refused.tolist():
        first = next(name for name, verdicts in batch.verdicts.items() if verdicts.broken[j] >= 0)
        by_filter[first].append(j)
    turns = zip_longest(*by_filter.values())
    return np.array([j for turn in turns for j in turn if j is not None], dtype=np.int64)


def _passage(passage: Any) -> dict[str, Any]:
    return {"id": cut(passage.id, NAME), "text": passage.contents, "length": len(passage.contents)}


def _candidate(batch: Batch, j: int, what: str, scorers: tuple[str, ...]) -> dict[str, Any]:
    return _passage(batch.passage(j)) | {
        "what": what,
        "scores": {name: _rounded(batch.scores[name].negatives[j]) for name in scorers},
        "origins": list(_origins(batch, j)),
        "reasons": {name: cut(str(reason), NAME) for name, reason in batch.reasons(j).items()},
    }


def _origins(batch: Batch, j: int) -> Iterator[list[Any]]:
    """Generator, rank and, of a language model, the round and its own remark."""
    for name, source in batch.sources.items():
        if source.rank[j] > 0:
            told = [name, int(source.rank[j])]
            if source.writing is not None:
                told += [int(source.writing.rounds[j]), cut(source.writing.notes[j] or "", NAME)]
            yield told


def _rounded(score: float) -> float | None:
    return float(f"{score:.4g}") if np.isfinite(score) else None
