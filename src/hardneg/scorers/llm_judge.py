"""A language model that grades candidates."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np

from hardneg import false_negatives
from hardneg.arrays import Bool, Float32, Int64, evenly, span
from hardneg.bounds import Count, Positive, Share
from hardneg.data.addressing import addressing_candidates
from hardneg.data.batch import Batch
from hardneg.data.candidates import Scores
from hardneg.data.chat import Question, Sampling, Usage
from hardneg.errors import ModelError, PartError
from hardneg.false_negatives.judging import SHARES
from hardneg.kinds import NameOrPath, part
from hardneg.llm.questions import Answer, ask
from hardneg.prompts import prompt
from hardneg.prompts.shapes import Grades
from hardneg.protocols import AnyLLMClient

OFFERED = ("query", "positives", "candidates", "count")
UNGRADED = -1.0
POSITIVE = 3.0
TOKENS_PER_GRADE = 24
"""Room for one grade in an answer, in tokens."""
TOKENS_OF_A_GRADE = 12
"""What a grade usually takes."""
AROUND = 128
EXAMPLES_PER_BATCH, EXAMPLES = 250, 2_000
"""The strata of a sample are told from so many examples of a batch at most, and from so many in all."""


@part
class LLMJudge:
    """Grades from a language model: 0 unrelated, 1 on topic, 2 partly answers, 3 answers as well as the positive.

    One request shows the query, its positives and up to ``per_request`` candidates in an order drawn by ``seed``.
    Candidates that address their reader (`data.addressing`) are asked about apart from the others, for which they
    cannot speak then. Positives have grade 3 by definition. A candidate that the model gave no grade, and one that was
    not asked about, has -1. ``cascade`` names a filter of the job with a threshold: only candidates within ``near`` of
    it are asked about. Candidates of controls are never asked about.

    ``sample``: only about so many candidates of the whole job are asked about. They are drawn by ``seed``, equally many
    in each of five strata by their probability under ``scorer``, one of kind ``false_negative``. `hardneg tune --judge`
    fits that scorer's level to their grades. ``bounds`` are the probabilities that part the strata, and ``chances`` say
    how likely a candidate of each is drawn; left out, both are told from the job.
    """

    version: ClassVar[int] = 2

    client: AnyLLMClient
    prompt: NameOrPath = "judge.v1"
    per_request: Count = 20
    seed: int = 0
    temperature: float | None = 0.0
    max_tokens: Count | None = None
    cascade: str | None = None
    near: Positive | None = None
    sample: Count | None = None
    scorer: str | None = None
    bounds: tuple[Share, ...] | None = None
    chances: tuple[Share, ...] | None = None

    def __post_init__(self) -> None:
        if (self.sample is None) != (self.scorer is None):
            raise PartError("`sample` and `scorer` belong together: how many, and whose probabilities say which")
        if (self.bounds is None) != (self.chances is None) or (self.bounds is not None and self.sample is None):
            raise PartError("`bounds` and `chances` belong together, and to `sample`")
        if self.bounds is not None and (len(self.bounds), len(self.chances or ())) != (len(SHARES), len(SHARES) + 1):
            raise PartError(f"`bounds` are {len(SHARES)} numbers, and `chances` one more")
        if (self.cascade is None) != (self.near is None):
            raise PartError("`near` and `cascade` belong together: how near to the threshold of which filter")
        prompt(self.prompt).fit([Grades], "grade", OFFERED, "a judge")
        Sampling(1, self.temperature)  # checks it

    def identity(self) -> str:
        """The prompt's checksum."""
        return prompt(self.prompt).label

    @property
    def learns(self) -> bool:
        """Whether the job is to be counted before candidates are drawn."""
        return self.sample is not None and self.chances is None

    def learn(self, batches: Iterable[Batch]) -> dict[str, Any]:
        """The strata, from some examples of every batch, and how likely a candidate of each is drawn."""
        found, total, left = [np.zeros(0, np.float32)], 0, EXAMPLES
        for batch in batches:
            usable = batch.trainable & self._near(batch)
            total += int(usable.sum())
            some = evenly(len(batch), min(EXAMPLES_PER_BATCH, left))
            left -= len(some)
            found.append(self._probabilities(batch)[usable & np.isin(batch.owners, some)])
        values = np.concatenate(found)
        parted = false_negatives.bounds(values)
        counts = np.bincount(false_negatives.strata(values, parted), minlength=len(SHARES) + 1)
        chances = false_negatives.chances(counts * (total / max(len(values), 1)), self.sample or 0)
        return {"bounds": parted.tolist(), "chances": chances.tolist()}

    def _probabilities(self, batch: Batch) -> Float32:
        return batch.scores[self.scorer or ""].negatives

    def score(self, batch: Batch) -> Scores:
        """Grades as numbers."""
        grades = np.full(len(batch.rows), UNGRADED, np.float32)
        shown = self.shown(batch)
        answers = ask(self.client, self.questions(batch, shown), batch.corpus.cache, "ask the judge")
        for own, answer in zip(shown, answers, strict=True):
            for place, grade in self._grades(answer):
                if place <= len(own):
                    grades[own[place - 1]] = grade
        asked = sum(map(len, shown))
        if asked and (grades == UNGRADED).all():
            raise ModelError(
                f"the judge graded none of {asked} candidates; see what the model answers, or choose another `prompt`"
            )
        usage = sum((answer.usage for answer in answers), start=Usage())
        return Scores(grades, np.full(len(batch.positive_rows), POSITIVE, np.float32), usage)

    def _grades(self, answer: Answer) -> list[tuple[int, int]]:
        """Place and grade; a candidate that is graded in two ways has no grade."""
        if answer.value is None:
            return []
        found: dict[int, set[int]] = {}
        for entry in answer.value.grades:
            found.setdefault(entry.candidate, set()).add(entry.grade)
        return [(place, grades.pop()) for place, grades in found.items() if len(grades) == 1]

    def shown(self, batch: Batch) -> list[Int64]:
        """For each request the numbers of the candidates that it shows, in the order in which it shows them."""
        wanted = batch.trainable & self._near(batch)
        if self.chances is not None:
            wanted &= self._drawn(batch)
        numbers = np.flatnonzero(wanted)
        apart = addressing_candidates(batch, numbers)
        places = np.searchsorted(numbers, batch.offsets)
        out = []
        for i, identifier in enumerate(batch.ids):
            part = span(places, i)
            for group in (numbers[part][~apart[part]], numbers[part][apart[part]]):
                own = group.tolist()
                random.Random(f"{self.seed} {identifier}").shuffle(own)  # noqa: S311  an order, no secret
                out += [np.array(own[k : k + self.per_request]) for k in range(0, len(own), self.per_request)]
        return out

    def _drawn(self, batch: Batch) -> Bool:
        """Bool [m]: the sample. What is drawn of an example does not depend on the batch that it is in."""
        chance = np.array(self.chances)[false_negatives.strata(self._probabilities(batch), self.bounds or ())]
        draws = np.empty(len(chance))
        for i, identifier in enumerate(batch.ids):
            own = batch.candidates_of(i)
            rng = random.Random(f"sample {self.seed} {identifier}")  # noqa: S311
            draws[own] = [rng.random() for _ in range(own.stop - own.start)]
        return draws < chance

    def _near(self, batch: Batch) -> Bool:
        """Bool [m]: near to the threshold of the cascade, on either side; all without one."""
        if self.cascade is None:
            return np.ones(len(batch.rows), dtype=bool)
        verdicts = batch.verdicts[self.cascade]
        near: Bool = np.abs(verdicts.value - verdicts.limit) <= np.float32(self.near)
        return near

    def preview(self, batch: Batch) -> list[tuple[Question, int]]:
        """What would be asked about a batch if every candidate were near to the cascade's threshold."""
        everything = replace(self, cascade=None, near=None, sample=None, scorer=None, bounds=None, chances=None)
        shown = everything.shown(batch)
        return [
            (question, 4 + TOKENS_OF_A_GRADE * len(own))
            for question, own in zip(everything.questions(batch, shown), shown, strict=True)
        ]

    def questions(self, batch: Batch, shown: list[Int64]) -> list[Question]:
        """One for each list of candidates."""
        found = prompt(self.prompt)
        positives = batch.corpus.contents(batch.positive_rows)
        questions = []
        for own in shown:
            i = int(np.searchsorted(batch.offsets, own[0], side="right")) - 1
            texts: dict[str, Any] = {
                "query": batch.queries[i],
                "positives": positives[batch.positives_of(i)],
                "candidates": batch.contents(own),
                "count": len(own),
            }
            most = self.max_tokens or AROUND + TOKENS_PER_GRADE * len(own)
            chat = found.messages({name: texts[name] for name in found.inputs})
            sampling = Sampling(most, self.temperature)
            questions.append(Question(chat, sampling, Grades, Grades.schema_for(len(own)), about=batch.ids[i]))
        return questions
