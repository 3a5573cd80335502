"""Negatives written by a language model."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, cast

import numpy as np

from hardneg.arrays import Bool, offsets_of
from hardneg.data.batch import Batch
from hardneg.data.candidates import Asked, Candidates
from hardneg.data.chat import Sampling, Usage
from hardneg.data.merge import merge
from hardneg.data.passage_style import style
from hardneg.data.records import Reason
from hardneg.errors import PartError
from hardneg.kinds import part
from hardneg.llm.questions import Answer, Question, ask
from hardneg.prompts import prompt
from hardneg.prompts.shapes import WRITTEN, Draft
from hardneg.protocols import AnyGenerator, AnyLLMClient

TOKENS_PER_WORD = 3
AROUND = 256
"""Tokens of an answer beside its passages: JSON, requirements, thinking of a model that thinks little."""
OFFERED = ("query", "positives", "context", "count", "words")
WHY = {
    "margin": "too close to an answer",
    "relative": "too close to an answer",
    "ceiling": "too close to an answer",
    "percentile": "too close to an answer",
    "calibrated": "too close to an answer",
    "relevant": "it answers the query",
    "relabelled": "it answers the query",
    "copies the query": "it says nothing but the query",
    "copies a positive": "it repeats an answering passage",
}
"""Reasons of filters in words for a model; others say it themselves."""


@part
class LLM:
    """Negatives that a language model writes for the query, ``per_query`` a request.

    ``prompt``: the name of a released one (``hard_negative.v1``, ``query_only.v1``, ``requirement.v1``, ``rewrite.v1``,
    ``attributes.v1``) or your own Markdown file. ``context``: a generator whose ``shown`` best candidates the prompt
    shows (in a job: the name of another one). ``max_tokens`` of an answer: left out, by the corpus's passages.
    ``rounds``: how often an example is asked again whose negatives were refused, with the reasons. ``seed: null`` sends
    no seed (vLLM's server on a CPU dies of seeds when it splits long prompts).
    """

    client: AnyLLMClient
    prompt: str = "hard_negative.v1"
    per_query: int = 3
    temperature: float | None = 0.7
    top_p: float | None = None
    max_tokens: int | None = None
    context: AnyGenerator | None = None
    shown: int = 3
    rounds: int = 0
    seed: int | None = 0

    def __post_init__(self) -> None:
        for name, least in (("per_query", 1), ("shown", 1), ("rounds", 0), ("max_tokens", 1)):
            if (value := getattr(self, name)) is not None and value < least:
                raise PartError(f"`{name}` must be at least {least}, not {value!r}")
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

    def again(self, judged: Batch, name: str, number: int) -> Candidates:
        """More for the examples of which fewer than ``per_query`` survive, in round ``number``. ``judged`` holds what
        was written before under ``name``, with verdicts.
        """
        return self._asked(judged, self.questions(judged, name, number), number)

    def missing(self, judged: Batch, name: str) -> Any:
        """Int64 [n]: how many negatives each example lacks."""
        kept: Bool = judged.kept & judged.sources[name].proposed
        return np.maximum(self.per_query - np.bincount(judged.owners[kept], minlength=len(judged)), 0)

    def questions(self, batch: Batch, name: str = "", number: int = 0) -> list[Question | None]:
        """What is asked for each example; None where nothing is missing."""
        found, how = prompt(self.prompt), style(batch.corpus)
        shape = cast("Any", found.shape)
        context = self._context(batch) if "context" in found.inputs else [[] for _ in batch.ids]
        wanted = self.missing(batch, name).tolist() if number else [self.per_query] * len(batch)
        refused = self._refused(batch, name) if number else [[] for _ in batch.ids]
        positives = batch.corpus.contents(batch.positive_rows)
        longest = int(how.longest * TOKENS_PER_WORD)
        questions: list[Question | None] = []
        for i, (identifier, query) in enumerate(zip(batch.ids, batch.queries, strict=True)):
            if not wanted[i]:
                questions.append(None)
                continue
            texts = {
                "query": query,
                "positives": positives[int(batch.positive_offsets[i]) : int(batch.positive_offsets[i + 1])],
                "context": context[i],
                "count": wanted[i],
                "words": round(how.usual),
                "refused": refused[i],
            }
            used = {key: texts[key] for key in (*found.inputs, *(["refused", "count"] if number else []))}
            chat = found.messages(used, again=number > 0)
            most = self.max_tokens or AROUND + wanted[i] * longest
            sampling = Sampling(most, self.temperature, self.top_p, self._drawn(identifier, number))
            questions.append(Question(chat, sampling, shape, shape.schema_for(wanted[i]), number))
        return questions

    def _drawn(self, identifier: str, number: int) -> int | None:
        """The seed of one request: another for every example and round, the same in every run."""
        if self.seed is None:
            return None
        digest = hashlib.blake2b(f"{self.seed} {identifier} {number}".encode(), digest_size=4).digest()
        return int.from_bytes(digest, "little") >> 1

    def _context(self, batch: Batch) -> list[list[str]]:
        """For each example the texts that the prompt shows of another generator's."""
        if self.context is None:
            return [[] for _ in batch.ids]
        pool = merge(batch, {"context": self.context.generate(batch)})
        texts = pool.contents(np.arange(len(pool.rows)))
        return [texts[int(a) : int(b)][: self.shown] for a, b in zip(pool.offsets, pool.offsets[1:], strict=False)]

    def _refused(self, batch: Batch, name: str) -> list[list[str]]:
        """For each example what was refused of this generator, with the first reason in words."""
        out: list[list[str]] = [[] for _ in batch.ids]
        texts = batch.contents(np.arange(len(batch.rows)))
        for j in np.flatnonzero(batch.sources[name].proposed & ~batch.kept).tolist():
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
            drafts += [(draft, answer.usage.tokens / len(own)) for draft in own]
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
            asked=Asked.of([number] * len(rows), [tokens for _, tokens in drafts], [draft.note for draft, _ in drafts]),
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
