"""A language model that grades candidates."""

from __future__ import annotations

import random
from typing import Any

import numpy as np

from hardneg.arrays import Bool, Int64
from hardneg.data.batch import Batch
from hardneg.data.candidates import Scores
from hardneg.data.chat import Sampling, Usage
from hardneg.errors import PartError
from hardneg.kinds import part
from hardneg.llm.questions import Answer, Question, ask
from hardneg.prompts import prompt
from hardneg.prompts.shapes import Grades
from hardneg.protocols import AnyFilter, AnyLLMClient, Learner

OFFERED = ("query", "positives", "candidates", "count")
UNGRADED = -1.0
POSITIVE = 3.0
TOKENS_PER_GRADE = 24
AROUND = 128


@part
class LLMJudge:
    """Grades from a language model: 0 unrelated, 1 on topic, 2 partly answers, 3 answers as well as the positive.

    One request shows the query, its positives and up to ``per_request`` candidates in an order drawn by ``seed``.
    Positives have grade 3 by definition. A candidate that the model gave no grade, and one that was not asked about,
    has -1. ``cascade``: a filter of the job (a YAML alias of it); only candidates within ``near`` of its threshold are
    asked about. Candidates of controls are never asked about.
    """

    client: AnyLLMClient
    prompt: str = "judge.v1"
    per_request: int = 20
    seed: int = 0
    temperature: float | None = 0.0
    max_tokens: int | None = None
    cascade: AnyFilter | None = None
    near: float | None = None

    def __post_init__(self) -> None:
        if self.per_request < 1:
            raise PartError(f"`per_request` must be at least 1, not {self.per_request!r}")
        if (self.cascade is None) != (self.near is None):
            raise PartError("`near` and `cascade` belong together: how near to the threshold of which filter")
        if self.near is not None and not self.near > 0:
            raise PartError(f"`near` must be above 0, not {self.near!r}")
        if isinstance(self.cascade, Learner) and self.cascade.learns:
            raise PartError("`cascade` cannot be a filter that learns from the whole job first; give it its values")
        prompt(self.prompt).fit([Grades], "grade", OFFERED, "a judge")
        Sampling(1, self.temperature)  # checks it
        if self.cascade is not None and self.scorer is None:
            raise PartError("`cascade` must be a filter with a threshold on a scorer, such as `eci_safety`")

    def identity(self) -> str:
        """The prompt's checksum."""
        return prompt(self.prompt).label

    @property
    def scorer(self) -> str | None:
        """The scorer that the cascade looks at."""
        return getattr(self.cascade, "scorer", None)

    def score(self, batch: Batch) -> Scores:
        """Grades as numbers."""
        grades = np.full(len(batch.rows), UNGRADED, np.float32)
        shown = self.shown(batch)
        answers = ask(self.client, self.questions(batch, shown), batch.corpus.cache, "ask the judge")
        for own, answer in zip(shown, answers, strict=True):
            for place, grade in self._grades(answer):
                if place <= len(own):
                    grades[own[place - 1]] = grade
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
            own = np.arange(int(batch.offsets[i]), int(batch.offsets[i + 1]))
            own = own[wanted[own]].tolist()
            random.Random(f"{self.seed} {identifier}").shuffle(own)  # noqa: S311  an order, no secret
            out += [np.array(own[k : k + self.per_request]) for k in range(0, len(own), self.per_request)]
        return out

    def _near(self, batch: Batch) -> Bool:
        """Bool [m]: near to the threshold of the cascade, on either side; all without one."""
        if self.cascade is None:
            return np.ones(len(batch.rows), dtype=bool)
        verdicts = self.cascade.judge(batch)
        near: Bool = np.abs(verdicts.value - verdicts.limit) <= np.float32(self.near)
        return near

    def questions(self, batch: Batch, shown: list[Int64]) -> list[Question]:
        """One for each list of candidates."""
        found = prompt(self.prompt)
        positives = batch.corpus.contents(batch.positive_rows)
        questions = []
        for own in shown:
            i = int(np.searchsorted(batch.offsets, own[0], side="right")) - 1
            texts: dict[str, Any] = {
                "query": batch.queries[i],
                "positives": positives[int(batch.positive_offsets[i]) : int(batch.positive_offsets[i + 1])],
                "candidates": batch.contents(own),
                "count": len(own),
            }
            most = self.max_tokens or AROUND + TOKENS_PER_GRADE * len(own)
            chat = found.messages({name: texts[name] for name in found.inputs})
            sampling = Sampling(most, self.temperature)
            questions.append(Question(chat, sampling, Grades, Grades.schema_for(len(own))))
        return questions
