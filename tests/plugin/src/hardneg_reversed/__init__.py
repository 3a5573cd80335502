"""A generator and a filter of somebody else, found by hardneg through entry points."""

from collections.abc import Sequence

import numpy as np

from hardneg import Batch, Candidate, Candidates, Negative, PartError, Reason, Verdicts, part


@part
class Reversed:
    """The last passages of the corpus that are no positive of the query."""

    depth: int = 2

    def __post_init__(self) -> None:
        if self.depth < 1:
            raise PartError(f"`depth` must be at least 1, not {self.depth!r}")

    def generate(self, batch: Batch) -> Candidates:
        """By falling row."""
        lists = []
        for example in batch:
            own = {passage.id for passage in example.positives}
            ids = [name for name in batch.corpus.ids(np.arange(len(batch.corpus))[::-1]) if name not in own]
            lists.append([Candidate(float(-place), name) for place, name in enumerate(ids[: self.depth])])
        return Candidates.from_lists(lists, batch.corpus)


@part
class TooLong:
    """Drops passages of more than ``words`` words."""

    words: int = 5

    def judge(self, batch: Batch) -> Verdicts:
        """The value is the number of words."""
        negatives: Sequence[Negative] = [batch.negative(j) for j in range(len(batch.rows))]
        counts = [len(negative.passage.contents.split()) for negative in negatives]
        return Verdicts.from_reasons(
            [Reason("too long", count, self.words) if count > self.words else None for count in counts]
        )
