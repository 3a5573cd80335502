"""Parts of somebody else, found by hardneg through entry points."""

from collections.abc import Sequence

import numpy as np

from hardneg import Batch, Candidate, Candidates, Negative, PartError, Reason, Scores, Verdicts, part
from hardneg.data.chat import Message, Question, Sampling
from hardneg.llm.questions import ask
from hardneg.prompts.shapes import Passages
from hardneg.protocols import AnyEncoder, AnyLLMClient, Encoder


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


@part
class Angle:
    """The cosine of the angle between query and passage, without any cache."""

    model: AnyEncoder

    @property
    def cosine(self) -> Encoder:
        """What makes eci_sem possible."""
        return self.model

    def score(self, batch: Batch) -> Scores:
        """One product of vectors for each pair."""
        queries = self.model.encode(batch.queries, "query")
        negatives = self.model.encode(batch.contents(np.arange(len(batch.rows))), "passage")
        positives = self.model.encode(batch.corpus.contents(batch.positive_rows), "passage")
        return Scores(
            (queries[batch.owners] * negatives).sum(axis=1), (queries[batch.positive_owners] * positives).sum(axis=1)
        )


@part
class Retold:
    """The positive, told wrongly by a language model: one text per query."""

    client: AnyLLMClient

    def generate(self, batch: Batch) -> Candidates:
        """Nothing where the model gave no valid answer."""
        answers = ask(self.client, [question for question, _ in self.preview(batch)], batch.corpus.cache, "ask")
        lists = [[] if a.value is None else [Candidate(0.0, text=a.value.negatives[0])] for a in answers]
        return Candidates.from_lists(lists, batch.corpus)

    def preview(self, batch: Batch) -> list[tuple[Question, int]]:
        """One question for each example, with forty tokens for the answer."""
        return [
            (Question((Message("user", f"Tell wrongly: {query}"),), Sampling(100, seed=0), Passages), 40)
            for query in batch.queries
        ]
