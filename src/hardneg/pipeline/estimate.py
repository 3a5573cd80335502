"""What a job's language models will be asked and what that costs, told from a sample before anything is spent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from hardneg.arrays import evenly
from hardneg.data.batch import Batch
from hardneg.data.chat import Question, Usage
from hardneg.data.merge import merge
from hardneg.data.subset import subset
from hardneg.generators.random import Random
from hardneg.llm.answer_log import answers_of
from hardneg.llm.questions import ask
from hardneg.llm.tokens import guess_tokens
from hardneg.pipeline.plan import Plan
from hardneg.pipeline.run import Pipeline
from hardneg.protocols import Asks, LLMClient

SAMPLE = 50
ENOUGH = 10
"""Known answers from which the rest is told. With fewer, the length of the corpus's passages tells it."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """What one stage will use. ``rounds``: up to so many times more.

    ``basis`` says what the forecast was told from: ``done``, so many ``answers``, or ``lengths``.
    """

    stage: str
    usage: Usage
    rounds: int = 0
    basis: str = "lengths"
    priced: bool = False
    """Whether the client has prices: without them the cost is not known."""

    def row(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "stage": self.stage,
            **asdict(self.usage),
            "rounds": self.rounds,
            "basis": self.basis,
            "priced": self.priced,
        }


def estimate(pipeline: Pipeline, *, asked: int = 0) -> list[Forecast]:
    """A forecast for every stage that asks a language model. Reads the data and runs the generators that prompts show.

    ``asked``: so many questions of each generator are really asked, and paid. The answers stay for the job.
    """
    plan, stages = pipeline.plan, pipeline.stages
    loader, _ = pipeline.ready()
    count = int((pipeline.store.summary(stages.read) or {})["examples"])
    first = loader.examples(0)
    sample = subset(first, evenly(len(first), asked or SAMPLE))
    out = []
    for stage, part, grades in (
        *((stages.first.generate[name], part, False) for name, part in plan.generators.items()),
        *((stages.first.score[name], part, True) for name, part in plan.scorers.items()),
    ):
        if (done := pipeline.usage(stage)) is not None:
            out.append(Forecast(stage.name, done, basis="done", priced=done.cost > 0))
        elif isinstance(part, Asks):
            batch = _pool(plan, sample) if grades else _shown(plan, part, sample)
            previews = part.preview(batch)
            if asked and not grades:
                ask(part.client, [question for question, _ in previews], sample.corpus.cache, "ask a sample")
            out.append(_forecast(stage.name, part, previews, sample, count / len(sample)))
    return out


def _shown(plan: Plan, part: object, sample: Batch) -> Batch:
    """The sample with the candidates that a prompt shows."""
    names = plan.named(part, "generators")
    return merge(sample, {name: plan.generators[name].generate(sample) for name in names}) if names else sample


def _pool(plan: Plan, sample: Batch) -> Batch:
    """The sample with as many random passages as it will have candidates at most."""
    size = max(1, sum(_size(plan.generators[name], sample) for name in plan.trained))
    return merge(sample, {"any": Random(depth=size).generate(sample)})


def _size(generator: Any, sample: Batch) -> int:
    for name in ("depth", "per_query"):
        if isinstance(size := getattr(generator, name, None), int):
            return size
    return round(len(generator.generate(sample).rows) / len(sample))


def _forecast(
    stage: str, part: Asks, previews: Sequence[tuple[Question, int]], sample: Batch, factor: float
) -> Forecast:
    """The usage of a sample's questions, times ``factor``."""
    client, requests = part.client, [question.request for question, _ in previews]
    known = _known(client, requests, sample)
    if len(known) >= ENOUGH:
        used, basis = sum(known, start=Usage()), f"{len(known)} answers"
        share = len(known) / len(requests)
    else:
        read = sum(_tokens(client, request) for request in requests)
        used, basis, share = Usage(0, read, sum(tokens for _, tokens in previews)), "lengths", 1.0
        if getattr(part, "cascade", None) is not None:
            basis = "lengths, at most: the cascade asks about fewer"
        drawn: int | None = getattr(part, "sample", None)
        if drawn is not None and len(requests) * factor > drawn:
            basis, factor = f"lengths, at most: the sample has {drawn:,} candidates", drawn / len(requests)
    read, written = (round(n * factor / share) for n in (used.prompt_tokens, used.completion_tokens))
    cost = client.prices.of(read, written) if client.prices else 0.0
    usage = Usage(round(len(requests) * factor), read, written, cost=cost)
    return Forecast(stage, usage, getattr(part, "rounds", 0), basis, client.prices is not None)


def _known(client: LLMClient, requests: Sequence[Any], sample: Batch) -> list[Usage]:
    """The usage of the requests that are answered already."""
    log = answers_of(sample.corpus.cache, client.identity())
    found = [log.get(request.key(client.identity())) for request in requests]
    return [Usage(1, a.prompt_tokens or 0, a.completion_tokens or 0) for a in found if a is not None]


def _tokens(client: LLMClient, request: Any) -> int:
    """What a model will read: counted where the client can count, else guessed."""
    counter = getattr(client, "count", None)
    return int(counter(request)) if counter else guess_tokens(request)
