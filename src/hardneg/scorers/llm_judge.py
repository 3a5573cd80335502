"""A language model that grades candidates."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import numpy as np

from hardneg.arrays import Bool, Int64
from hardneg.bounds import Count, Positive
from hardneg.data.batch import Batch
from hardneg.data.candidates import Scores
from hardneg.data.chat import Question, Sampling, Usage
from hardneg.errors import ModelError, PartError
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


@part
class LLMJudge:
    """Grades from a language model: 0 unrelated, 1 on topic, 2 partly answers, 3 answers as well as the positive.

    One request shows the query, its positives and up to ``per_request`` candidates in an order drawn by ``seed``.
    Positives have grade 3 by definition. A candidate that the model gave no grade, and one that was not asked about,
    has -1. ``cascade`` names a filter of the job with a threshold: only candidates within ``near`` of it are asked
    about. Candidates of controls are never asked about.
    """

    client: AnyLLMClient
    prompt: NameOrPath = "judge.v1"
    per_request: Count = 20
    seed: int = 0
    temperature: float | None = 0.0
    max_tokens: Count | None = None
    cascade: str | None = None
    near: Positive | None = None

    def __post_init__(self) -> None:
        if (self.cascade is None) != (self.near is None):
            raise PartError("`near` and `cascade` belong together: how near to the threshold of which filter")
        prompt(self.prompt).fit([Grades], "grade", OFFERED, "a judge")
        Sampling(1, self.temperature)  # checks it

    def identity(self) -> str:
        """The prompt's checksum."""
        return prompt(self.prompt).label

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
        out = []
        for i, identifier in enumerate(batch.ids):
            candidates = batch.candidates_of(i)
            own = np.arange(candidates.start, candidates.stop)
            own = own[wanted[own]].tolist()
            random.Random(f"{self.seed} {identifier}").shuffle(own)  # noqa: S311  an order, no secret
            out += [np.array(own[k : k + self.per_request]) for k in range(0, len(own), self.per_request)]
        return out

    def _near(self, batch: Batch) -> Bool:
        """Bool [m]: near to the threshold of the cascade, on either side; all without one."""
        if self.cascade is None:
            return np.ones(len(batch.rows), dtype=bool)
        verdicts = batch.verdicts[self.cascade]
        near: Bool = np.abs(verdicts.value - verdicts.limit) <= np.float32(self.near)
        return near

    def preview(self, batch: Batch) -> list[tuple[Question, int]]:
        """What would be asked about a batch if every candidate were near to the cascade's threshold."""
        everything = replace(self, cascade=None, near=None)
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
