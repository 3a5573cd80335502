"""What every export needs: the chosen negatives of a batch, their scores, and numbers that a trainer may read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np

from hardneg.arrays import Float32
from hardneg.data.batch import Batch
from hardneg.data.candidates import Scores, Selection
from hardneg.data.records import Passage
from hardneg.errors import HardnegError, PartError
from hardneg.files.json_documents import writing
from hardneg.files.spilled import Spilled


def selection(batch: Batch) -> Selection:
    """The batch's selection; an export is never called before there is one."""
    if batch.selection is None:
        raise ValueError("nothing has been selected yet")
    return batch.selection


def scores_for(batch: Batch, scorer: str | None) -> Scores:
    """The scores to export: those of ``scorer``, or of the job's first one. Never any that is not finite."""
    if not batch.scores or (scorer is not None and scorer not in batch.scores):
        raise PartError(
            f"`scorer: {scorer}` is none of the job's scorers: {', '.join(batch.scores) or 'there is none'}"
        )
    scores = batch.scores[scorer or next(iter(batch.scores))]
    chosen = scores.negatives[selection(batch).chosen]  # a lazy scorer has no others
    if not (np.isfinite(scores.positives).all() and np.isfinite(chosen).all()):
        raise HardnegError("a score is not finite; nothing is exported")
    return scores


def plain(values: Iterable[float] | Float32) -> list[float]:
    """Float32 numbers as the shortest decimal numbers that mean the same."""
    return [float(str(np.float32(value))) for value in values]


@runtime_checkable
class Selected(Protocol):
    """Batches whose selections can be had without the batches."""

    def selections(self) -> Iterator[Selection]:
        """The selection of each batch, in order."""
        ...


def longest(batches: Iterable[Batch]) -> int:
    """The number of negatives of the longest set."""
    selections = batches.selections() if isinstance(batches, Selected) else map(selection, batches)
    return max((int(np.diff(chosen.offsets).max(initial=0)) for chosen in selections), default=0)


@dataclass(frozen=True, slots=True)
class Example:
    """One example as a trainer sees it: positives and chosen negatives with scores, and who proposed each negative."""

    id: str
    query: str
    positives: list[Passage]
    negatives: list[Passage]
    positive_scores: list[float]
    negative_scores: list[float]
    sources: list[list[str]]

    def only(self, places: Sequence[int]) -> Example:
        """With these of its negatives, in this order."""
        return replace(
            self,
            negatives=[self.negatives[place] for place in places],
            negative_scores=[self.negative_scores[place] for place in places],
            sources=[self.sources[place] for place in places],
        )


def examples(batches: Iterable[Batch], scorer: str | None = None, *, scored: bool = True) -> Iterator[Example]:
    """Every example of a job, in order; scores are those of `scores_for`, empty lists without ``scored``."""
    for batch in batches:
        chosen = selection(batch)
        scores = scores_for(batch, scorer) if scored else None
        passage = _passages(batch)
        for i, (identifier, query) in enumerate(zip(batch.ids, batch.queries, strict=True)):
            own, picked = batch.positives_of(i), chosen.of(i)
            yield Example(
                identifier,
                query,
                [passage[row] for row in batch.positive_rows[own].tolist()],
                [
                    passage[row] if row >= 0 else batch.passage(j)
                    for j, row in zip(picked.tolist(), batch.rows[picked].tolist(), strict=True)
                ],
                plain(scores.positives[own]) if scores else [0.0] * (own.stop - own.start),
                plain(scores.negatives[picked]) if scores else [0.0] * len(picked),
                [[name for name, source in batch.sources.items() if source.rank[j] > 0] for j in picked],
            )


def _passages(batch: Batch) -> dict[int, Passage]:
    """The positives and chosen passages of a batch by row, taken from the corpus in one go."""
    rows = np.unique(np.concatenate([batch.positive_rows, batch.rows[selection(batch).chosen]]))
    rows = rows[rows >= 0]
    columns = (batch.corpus.column(name, rows).to_pylist() for name in ("id", "text", "title"))
    return dict(zip(rows.tolist(), map(Passage, *columns), strict=True))


Short = Literal["repeat", "drop", "error"]
"""What happens to an example with fewer negatives than a row has."""
LEFT_OUT = "examples left out as too short"
REPEATED = "examples with repeated negatives"


def too_short(query: str, has: int, wanted: int) -> HardnegError:
    """The error for ``short: error``."""
    return HardnegError(f"query `{query}` has {has} of {wanted} negatives; use `short: repeat` or `short: drop`")


def rectangle(rows: Iterable[Example], width: int | None, short: Short, counts: dict[str, int]) -> Iterator[Example]:
    """Examples with ``width`` negatives each (None: as many as they have, at least one), counting into ``counts``.

    Those with fewer are dropped, have theirs repeated in turn, or are an error; those with none are always dropped.
    """
    counts |= {"rows": 0, LEFT_OUT: 0} | ({REPEATED: 0} if short == "repeat" and width else {})
    for row in rows:
        has, wanted = len(row.negatives), width or len(row.negatives)
        if has < wanted and short == "error":
            raise too_short(row.id, has, wanted)
        if not has or (has < wanted and short == "drop"):
            counts[LEFT_OUT] += 1
            continue
        if has < wanted:
            counts[REPEATED] += 1
        counts["rows"] += 1
        yield row.only([place % has for place in range(wanted)])


def write_lines(file: Path, lines: Iterable[Mapping[str, Any]]) -> int:
    """JSONL, without a number that is no JSON. Returns the number of lines."""
    count = 0
    with writing(file) as write:
        for line in lines:
            write(line)
            count += 1
    return count


class Used:
    """Writes the passages that examples name, each once, in the order of first use.

    ``write`` is called with each of them; ``count`` is how many there were. Their ids are kept on the disk where they
    are many.
    """

    def __init__(self, write: Callable[[Passage], object]) -> None:
        self._write, self._known = write, Spilled()
        self.count = 0

    def __call__(self, passages: Iterable[Passage]) -> list[str]:
        """Their ids."""
        ids = []
        for passage in passages:
            ids.append(passage.id)
            if self._known.put(passage.id) is None:
                self.count += 1
                self._write(passage)
        return ids
