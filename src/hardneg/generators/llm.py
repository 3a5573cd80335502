"""Negatives written by a language model."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, cast

import numpy as np

from hardneg.arrays import Bool, offsets_of
from hardneg.bounds import Count, Natural
from hardneg.data.batch import Batch
from hardneg.data.candidates import Candidates, Writing
from hardneg.data.chat import Question, Sampling, Usage
from hardneg.data.passage_style import passage_style
from hardneg.data.records import Reason
from hardneg.errors import PartError
from hardneg.kinds import NameOrPath, part
from hardneg.llm.questions import Answer, ask
from hardneg.llm.tokens import PIECES
from hardneg.prompts import prompt
from hardneg.prompts.shapes import WRITTEN, Draft, Passages, Requirements, Varied
from hardneg.protocols import AnyLLMClient

TOKENS_PER_WORD = 3
AROUND = 256
"""Tokens of an answer beside its passages: JSON, requirements, thinking of a model that thinks little."""
AROUND_AN_ANSWER = {Passages: (8, 6), Requirements: (90, 14), Varied: (10, 28)}
"""Tokens of an answer beside the words of its negatives: once, and for each negative."""
OFFERED = ("query", "positives", "context", "count", "words")
WHY = {
    "margin": "too close to an answer",
    "relative": "too close to an answer",
    "ceiling": "too close to an answer",
    "percentile": "too close to an answer",
    "calibrated": "too close to an answer",
    "relevant": "it answers the query",
    "relabelled": "it answers the query",
    "unconfirmed": "it answers the query",
    "copies the query": "it says nothing but the query",
    "copies a positive": "it repeats an answering passage",
}
"""Reasons of filters in words for a model; others say it themselves."""


@part
class LLM:
    """Negatives that a language model writes for the query, ``per_query`` a request.

    ``prompt``: the name of a released one (``hard_negative.v1``, ``query_only.v1``, ``requirement.v1``, ``rewrite.v1``,
    ``attributes.v1``) or your own Markdown file. ``context`` names another generator of the job, whose ``shown`` best
    candidates the prompt shows. ``max_tokens`` of an answer: left out, by the length of the corpus's passages.
    ``rounds``: how often an example whose negatives were refused is asked again, with the reasons. ``seed: null`` sends
    no seed (vLLM's server on a CPU dies of seeds when it splits long prompts).
    """

    client: AnyLLMClient
    prompt: NameOrPath = "hard_negative.v1"
    per_query: Count = 3
    temperature: float | None = 0.7
    top_p: float | None = None
    max_tokens: Count | None = None
    context: str | None = None
    shown: Count = 3
    rounds: Natural = 0
    seed: int | None = 0

    def __post_init__(self) -> None:
        Sampling(1, self.temperature, self.top_p)  # checks them
        found = prompt(self.prompt)
        found.fit(WRITTEN.values(), "write negatives", OFFERED, "a writer")
        if self.rounds and "again" not in found.sections:
            raise PartError(f"`rounds`: the prompt {found.label} has no section `# again`")
        if self.prompt == "rewrite.v1" and self.context is None:
            raise PartError("`prompt: rewrite.v1` rewrites the candidates of another generator; name it by `context`")

    def identity(self) -> str:
        """The prompt's checksum."""
        return prompt(self.prompt).label

    def generate(self, batch: Batch) -> Candidates:
        """Up to ``per_query`` texts an example; fewer where the model wrote fewer or gave no valid answer."""
        return self._asked(batch, self.questions(batch), 0)

    def again(self, batch: Batch, judged: Batch, name: str, number: int) -> Candidates:
        """More for the examples of which fewer than ``per_query`` survive, in round ``number``.

        ``judged`` holds what was written before under ``name``, with verdicts.
        """
        wanted, refused = self.missing(judged, name).tolist(), self._refused(judged, name)
        return self._asked(batch, self.questions(batch, wanted, refused, number), number)

    def preview(self, batch: Batch) -> list[tuple[Question, int]]:
        """The questions of the first round."""
        how = passage_style(batch.corpus)
        words = " ".join(batch.corpus.contents(batch.positive_rows))
        tokens_of_a_word = len(PIECES.findall(words)) / max(len(words.split()), 1)
        once, every = AROUND_AN_ANSWER[cast("Any", prompt(self.prompt).shape)]
        answer = round(once + self.per_query * (every + how.usual * tokens_of_a_word))
        questions = [question for question in self.questions(batch) if question is not None]
        return [(question, min(answer, question.sampling.max_tokens)) for question in questions]

    def missing(self, judged: Batch, name: str) -> Any:
        """Int64 [n]: how many negatives each example lacks."""
        kept: Bool = judged.kept & judged.sources[name].proposed
        return np.maximum(self.per_query - np.bincount(judged.owners[kept], minlength=len(judged)), 0)

    def questions(
        self,
        batch: Batch,
        wanted: Sequence[int] | None = None,
        refused: Sequence[Sequence[str]] | None = None,
        number: int = 0,
    ) -> list[Question | None]:
        """What is asked for each example in round ``number``. None where nothing is ``wanted``."""
        found, how = prompt(self.prompt), passage_style(batch.corpus)
        shape = cast("Any", found.shape)
        context = self._context(batch) if "context" in found.inputs else [[] for _ in batch.ids]
        wanted = [self.per_query] * len(batch) if wanted is None else wanted
        refused = [[] for _ in batch.ids] if refused is None else refused
        positives = batch.corpus.contents(batch.positive_rows)
        longest = int(how.longest * TOKENS_PER_WORD)
        questions: list[Question | None] = []
        for i, (identifier, query) in enumerate(zip(batch.ids, batch.queries, strict=True)):
            if not wanted[i]:
                questions.append(None)
                continue
            texts: dict[str, Any] = {
                "query": query,
                "positives": positives[batch.positives_of(i)],
                "context": context[i],
                "count": wanted[i],
                "words": round(how.usual),
                "refused": refused[i],
            }
            used = {key: texts[key] for key in (*found.inputs, *(["refused", "count"] if number else []))}
            chat = found.messages(used, again=number > 0)
            most = self.max_tokens or AROUND + wanted[i] * longest
            sampling = Sampling(most, self.temperature, self.top_p, self._drawn(identifier, number))
            schema = shape.schema_for(wanted[i])
            questions.append(Question(chat, sampling, shape, schema, number, identifier))
        return questions

    def _drawn(self, identifier: str, number: int) -> int | None:
        """The seed of one request: another for every example and round, the same in every run."""
        if self.seed is None:
            return None
        digest = hashlib.blake2b(f"{self.seed} {identifier} {number}".encode(), digest_size=4).digest()
        return int.from_bytes(digest, "little") >> 1

    def _context(self, batch: Batch) -> list[list[str]]:
        """For each example the best candidates of another generator, as the prompt shows them."""
        if self.context is None:
            return [[] for _ in batch.ids]
        rank = batch.sources[self.context].rank
        shown = [np.flatnonzero(rank[batch.candidates_of(i)] > 0) + batch.offsets[i] for i in range(len(batch))]
        best = [own[np.argsort(rank[own], kind="stable")][: self.shown] for own in shown]
        return [batch.contents(own) for own in best]

    def _refused(self, batch: Batch, name: str) -> list[list[str]]:
        """For each example what was refused of this generator, with the first reason in words."""
        out: list[list[str]] = [[] for _ in batch.ids]
        texts = batch.contents(np.arange(len(batch.rows)))
        for j in np.flatnonzero(batch.sources[name].proposed & batch.refused).tolist():
            [reason, *_] = batch.reasons(j).values()
            out[int(batch.owners[j])].append(f"{texts[j]}\n(refused: {_in_words(reason)})")
        return out

    def _asked(self, batch: Batch, questions: Sequence[Question | None], number: int) -> Candidates:
        """Asks, and makes candidates of the answers."""
        answers = iter(ask(self.client, [q for q in questions if q is not None], batch.corpus.cache, "ask the model"))
        drafts: list[tuple[Draft, float]] = []
        lengths: list[int] = []
        usage = Usage()
        for question in questions:
            answer = next(answers) if question is not None else Answer(None, Usage())
            usage += answer.usage
            own = [] if answer.value is None else _distinct(answer.value.drafts())[: self.per_query]
            drafts += [(draft, answer.tokens / len(own)) for draft in own]
            lengths.append(len(own))
        texts = [draft.text for draft, _ in drafts]
        rows = batch.corpus.find(texts)  # a model may have learnt the corpus by heart
        return Candidates(
            offsets_of(lengths),
            rows,
            np.zeros(len(rows), np.float32),
            [None if row >= 0 else text for row, text in zip(rows.tolist(), texts, strict=True)],
            model=f"llm@{self.client.identity()}",
            prompt=prompt(self.prompt).label,
            writing=Writing.of(
                [number] * len(rows), [tokens for _, tokens in drafts], [draft.note for draft, _ in drafts]
            ),
            usage=usage,
        )


def _distinct(drafts: Sequence[Draft]) -> list[Draft]:
    """Each text once, without white space around it, none empty."""
    notes: dict[str, str | None] = {}
    for draft in drafts:
        notes.setdefault(draft.text.strip(), draft.note)
    return [Draft(text, note) for text, note in notes.items() if text]


def _in_words(reason: Reason) -> str:
    words = WHY.get(reason.rule, reason.rule)
    return f"{words} ({reason.detail})" if reason.detail else words
