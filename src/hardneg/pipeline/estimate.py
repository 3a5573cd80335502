"""What a job's language models will be asked, and what that costs, told from a sample before anything is spent."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from pydantic import BaseModel

from hardneg.arrays import offsets_of, taken
from hardneg.data.batch import Batch
from hardneg.data.chat import Request, Usage
from hardneg.data.merge import merge
from hardneg.data.passage_style import style
from hardneg.generators.llm import LLM
from hardneg.generators.random import Random
from hardneg.llm.answer_log import answers_of
from hardneg.llm.questions import Question, ask
from hardneg.pipeline.pipeline import Pipeline
from hardneg.prompts.shapes import Passages, Requirements, Varied
from hardneg.protocols import Generator, LLMClient
from hardneg.scorers.llm_judge import LLMJudge

SAMPLE = 50
PIECES = re.compile(r"\d|[^\W\d]{1,8}|[^\w\s]{1,2}|\n")
"""About what a vocabulary makes tokens of: within 8 % of SmolLM2's on prompts with texts of three collections. The
`tokenizer` of a client counts in place of it."""
TEMPLATE = 8
"""Tokens that a chat template adds to a message."""
AROUND: Mapping[type[BaseModel], tuple[int, int]] = {Passages: (8, 6), Requirements: (90, 14), Varied: (10, 28)}
"""Tokens of an answer beside its words: once, and for each negative."""
PER_GRADE = 12
ENOUGH = 10
"""Known answers from which the rest is told; with fewer the length of passages tells it."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """One stage: what it will use, and at most more in rounds or where a cascade cannot be told yet. ``basis`` says
    from what: ``done``, ``answers`` (of so many sampled questions) or ``lengths``.
    """

    stage: str
    usage: Usage
    rounds: int = 0
    basis: str = "lengths"

    def row(self) -> dict[str, Any]:
        """As JSON."""
        return {"stage": self.stage, **asdict(self.usage), "rounds": self.rounds, "basis": self.basis}


def estimate(pipeline: Pipeline, *, asked: int = 0) -> list[Forecast]:
    """A forecast for every stage that asks a language model. Reads the data; runs the generators that prompts show.

    ``asked``: so many questions of each generator are really asked, and paid; the answers stay for the job.
    """
    plan = pipeline.plan
    stages, loader, _ = pipeline.ready()
    read = pipeline.store.summary(stages.read) or {}
    count = int(read["examples"])
    sample = _sample(loader.examples(0), asked or SAMPLE)
    out = []
    parts = [(stages.generate[name], part) for name, part in plan.generators.items()]
    for stage, part in [*parts, *((stages.score[name], part) for name, part in plan.scorers.items())]:
        if (done := pipeline.usage(stage)) is not None:
            out.append(Forecast(stage.name, done, basis="done"))
        elif isinstance(part, LLM):
            questions = [question for question in part.questions(sample) if question is not None]
            if asked:
                ask(part.client, questions, sample.corpus.cache, "ask a sample")
            out.append(_of_generator(stage.name, part, questions, sample, count))
        elif isinstance(part, LLMJudge):
            out.append(_of_judge(stage.name, part, sample, count, _candidates(pipeline, sample)))
    return out


def _sample(batch: Batch, most: int) -> Batch:
    """Examples evenly spaced over the first shard."""
    chosen = np.unique(np.linspace(0, len(batch) - 1, min(most, len(batch))).astype(np.int64))
    own = [np.arange(batch.positive_offsets[i], batch.positive_offsets[i + 1]) for i in chosen]
    return Batch.of(
        batch.corpus,
        taken(batch.ids, chosen),
        taken(batch.queries, chosen),
        offsets_of([len(places) for places in own]),
        batch.positive_rows[np.concatenate(own)],
        query_hashes=batch.query_hashes[chosen],
        controls=batch.controls,
    )


def _candidates(pipeline: Pipeline, sample: Batch) -> int:
    """How many candidates an example will have at most."""
    trained = [part for name, part in pipeline.plan.generators.items() if name not in pipeline.plan.controls]
    return max(1, sum(_size(generator, sample) for generator in trained))


def _size(generator: Generator, sample: Batch) -> int:
    for name in ("depth", "per_query"):
        if isinstance(size := getattr(generator, name, None), int):
            return size
    return round(len(generator.generate(sample).rows) / len(sample))


def _of_generator(stage: str, part: LLM, questions: Sequence[Question], sample: Batch, count: int) -> Forecast:
    requests = [question.request for question in questions]
    known = _known(part.client, requests, sample)
    if len(known) >= ENOUGH:
        each, basis = sum(known, start=Usage()), f"{len(known)} answers"
        return Forecast(stage, _scaled(part.client, each, count / len(known), count), part.rounds, basis)
    once, every = AROUND[questions[0].shape]
    positives = " ".join(sample.corpus.contents(sample.positive_rows))
    tokens_of_a_word = len(PIECES.findall(positives)) / max(len(positives.split()), 1)
    written = once + part.per_query * (every + style(sample.corpus).usual * tokens_of_a_word)
    read = np.mean([_tokens(part.client, request) for request in requests])
    written = min(written, requests[0].sampling.max_tokens)
    return Forecast(stage, _scaled(part.client, Usage(1, round(read), round(written)), count, count), part.rounds)


def _of_judge(stage: str, part: LLMJudge, sample: Batch, count: int, candidates: int) -> Forecast:
    """As if all candidates were random passages and all were asked about."""
    pool = merge(sample, {"any": Random(depth=candidates).generate(sample)})
    everything = replace(part, cascade=None, near=None)
    requests = [question.request for question in everything.questions(pool, everything.shown(pool))]
    read = sum(_tokens(part.client, request) for request in requests)
    used = Usage(len(requests), read, PER_GRADE * len(pool.rows) + 4 * len(requests))
    factor = count / len(sample)
    basis = "lengths, at most: the cascade asks about fewer" if part.cascade is not None else "lengths"
    return Forecast(stage, _scaled(part.client, used, factor, round(len(requests) * factor)), basis=basis)


def _known(client: LLMClient, requests: Sequence[Request], sample: Batch) -> list[Usage]:
    """The usage of those whose answers are there already."""
    log = answers_of(sample.corpus.cache, client.identity())
    found = [log.get(request.key(client.identity())) for request in requests]
    return [Usage(1, a.prompt_tokens or 0, a.completion_tokens or 0) for a in found if a is not None]


def _tokens(client: LLMClient, request: Request) -> int:
    """What a model will read: counted where the client can count."""
    if counter := getattr(client, "count", None):
        return int(counter(request))
    return sum(len(PIECES.findall(message.content)) + TEMPLATE for message in request.messages)


def _scaled(client: LLMClient, used: Usage, factor: float, requests: int) -> Usage:
    read, written = round(used.prompt_tokens * factor), round(used.completion_tokens * factor)
    return Usage(requests, read, written, cost=client.prices.of(read, written) if client.prices else 0.0)
