"""Questions to a language model whose answers have a shape: from the log where they are known, else from the model,
validated, asked once more where they are not valid, and paid from the budget.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from hardneg import progress
from hardneg.cache.folders import Cache
from hardneg.data.chat import RAW, Completion, Failure, Question, Request, Usage
from hardneg.errors import BudgetError, ModelError
from hardneg.llm import budget
from hardneg.llm.answer_log import Answers, answers_of
from hardneg.llm.answer_text import parsed
from hardneg.protocols import LLMClient


@dataclass(frozen=True, slots=True)
class Answer:
    """A valid ``value``, or None with the ``error`` and the ``raw`` text; and what it cost, asking again included.

    ``tokens`` are those of what arrived: they do not depend on how often it had to be sent.
    """

    value: Any
    usage: Usage
    error: str | None = None
    raw: str | None = None
    failure: Failure | None = None
    tokens: int = 0


def ask(client: LLMClient, questions: Sequence[Question], cache: Cache, title: str) -> list[Answer]:
    """One answer a question. Raises `BudgetError` when the job's budget is used up and `ModelError` when the server is
    gone or too many requests failed; whatever was answered before is in the log.
    """
    log = answers_of(cache, client.identity())
    try:
        with progress.task(title, len(questions)) as bar:
            found = _settled(client, questions, log, bar)
            _stop_if_hopeless(client, found)
            wrong = [i for i, answer in enumerate(found) if answer.value is None and answer.raw is not None]
            second = [questions[i].again(found[i].raw or "", found[i].error or "") for i in wrong]
            for i, answer in zip(wrong, _settled(client, second, log, None), strict=True):
                spent = replace(found[i].usage, failed=0, unusable=()) + answer.usage
                tokens = found[i].tokens + answer.tokens
                found[i] = replace(answer, usage=spent, raw=answer.raw or found[i].raw, tokens=tokens)
            _stop_if_useless(client, found)
    finally:
        log.sync()
    return found


def _settled(client: LLMClient, questions: Sequence[Question], log: Answers, bar: progress.Task | None) -> list[Answer]:
    """One pass: what the log knows, and the rest from the client."""
    purse, model = budget.current(), client.identity()
    requests = [question.request for question in questions]
    keys = [request.key(model) for request in requests]
    unpaid = set(keys) - purse.charged
    known: dict[str, Completion] = {}
    missing: dict[str, Request] = {}
    for key, request in zip(keys, requests, strict=True):
        if key not in known and key not in missing:
            if (completion := log.get(key)) is not None:
                known[key] = completion
                if key in unpaid:
                    purse.settle(0, 0.0, _usage(client, request, completion, log.lost(key)))
                    purse.looked_up += 1
            else:
                missing[key] = request
                purse.settle(0, 0.0, _lost(client, request, log.lost(key)) if key in unpaid else Usage())
    if bar is not None:
        bar.advance(len(known))

    def arrived(request: Request, completion: Completion) -> None:
        if completion.error is None:
            log.add(request.key(model), completion)
        if bar is not None:
            bar.advance()

    held: set[str] = set()

    def lost(request: Request) -> bool:
        """Counts an answer that did not arrive for all that it may have cost, and sets as much aside for the next."""
        key = request.key(model)
        log.lose(key)
        held.discard(key)
        purse.pay(*_most(client, request), _lost(client, request, 1))
        if again := purse.reserve(*_most(client, request)):
            held.add(key)
        return again

    wanted = len(known) + len(missing)
    waiting = deque(missing)
    sent: list[str] = []

    def affordable() -> Iterator[Request]:
        while waiting and purse.reserve(*_most(client, missing[waiting[0]])):
            sent.append(waiting.popleft())
            held.add(sent[-1])
            yield missing[sent[-1]]

    def release(key: str, used: Usage) -> None:
        most = _most(client, missing[key]) if key in held else (0, 0.0)
        held.discard(key)
        purse.pay(*most, used)

    while waiting:  # one pass, but near the cap of a budget: what a pass leaves over pays for the next one
        sent.clear()
        try:
            for place, completion in enumerate(client.complete(affordable(), arrived, lost)):
                key = sent[place]
                if key not in held:  # the budget did not pay for sending it again
                    waiting.append(key)
                    continue
                known[key] = completion
                release(key, _answered(client, missing[key], completion))
        finally:
            for key in sent:
                release(key, Usage())  # of what is not answered: the run ends here
        if not sent:
            whose = " of this share" if purse.part < 1 else ""
            raise BudgetError(
                f"the budget{whose} is used up ({purse.spent.tokens:,} tokens{_money(purse)}): {len(known):,} of "
                f"{wanted:,} requests of this step are answered; raise `budget` and run again: no answer is paid twice"
            )
    answers: list[Answer] = []
    for question, request, key in zip(questions, requests, keys, strict=True):
        answer = _answer(client, question, request, known[key], log.lost(key))
        named = Usage(unanswered=answer.usage.unanswered, unusable=answer.usage.unusable)
        tokens = _answered(client, request, known[key]).tokens
        answers.append(replace(answer, tokens=tokens) if key in unpaid else replace(answer, usage=named))
        unpaid.discard(key)
        purse.charged.add(key)
    return answers


def _stop_if_hopeless(client: LLMClient, found: Sequence[Answer]) -> None:
    """Raises `ModelError` where too many requests of a step have no usable answer, or most of them were refused."""
    unreachable = [answer.error for answer in found if answer.failure == "unreachable"]
    if len(unreachable) > client.max_failed * len(found):
        raise ModelError(
            f"{len(unreachable)} of {len(found)} requests were not answered after every try ({unreachable[-1]}); "
            "see that the server is well and run again: what is answered is kept",
            retryable=True,
        )
    refused = [answer.error for answer in found if answer.failure == "refused"]
    if len(refused) * 2 > len(found):
        raise ModelError(
            f"{len(refused)} of {len(found)} requests were refused ({refused[-1]}); see what the server accepts "
            "(`structured: false`, `cap`, `extra`, a shorter prompt) and run again: what is answered is kept"
        )


def _stop_if_useless(client: LLMClient, found: Sequence[Answer]) -> None:
    """Raises `ModelError` where more answers than the client's ``max_failed`` were not valid, asked twice."""
    wrong = [answer for answer in found if answer.value is None and answer.failure is None]
    if len(wrong) > client.max_failed * len(found):
        raise ModelError(
            f"{len(wrong)} of {len(found)} answers could not be used, asked twice ({wrong[-1].error}: "
            f"{(wrong[-1].raw or '')[:80]!r}); choose another model or prompt, or raise the client's `max_failed`"
        )


def _answer(client: LLMClient, question: Question, request: Request, completion: Completion, lost: int) -> Answer:
    usage = _usage(client, request, completion, lost)
    about = () if question.about is None else (question.about,)
    if completion.failure == "unreachable":
        return Answer(None, replace(usage, failed=1, unanswered=about), completion.error, failure=completion.failure)
    failed = replace(usage, failed=1, unusable=about)
    if completion.error is not None:
        return Answer(None, failed, completion.error, failure=completion.failure)
    try:
        if completion.finish == "content_filter":
            raise ValueError("the server's content filter cut the answer")
        if completion.finish == "length":
            raise ValueError("the answer was cut off at `max_tokens`")
        return Answer(parsed(completion.text, question.shape), usage)
    except ValueError as error:
        return Answer(None, failed, str(error), completion.text[:RAW])


def _usage(client: LLMClient, request: Request, completion: Completion, lost: int) -> Usage:
    """What a completion cost, with all of the answers to its request that may have been paid and did not arrive."""
    earlier = Usage(max(0, lost - completion.lost))
    return _answered(client, request, completion) + _lost(client, request, lost) + earlier


def _answered(client: LLMClient, request: Request, completion: Completion) -> Usage:
    """What a completion itself cost; what the server does not say is taken for all that it may be."""
    sent = 1 + sum(completion.again.values())
    if completion.error is not None:
        return Usage(sent, again=completion.again)
    read = completion.prompt_tokens
    if read is None:
        read = request.most_read
    written = completion.completion_tokens if completion.completion_tokens is not None else request.sampling.max_tokens
    cost = client.prices.of(read, written) if client.prices else 0.0
    return Usage(sent, read, written, cost=cost, again=completion.again)


def _lost(client: LLMClient, request: Request, times: int) -> Usage:
    """The most that answers which did not arrive may have cost."""
    tokens, cost = _most(client, request)
    written = request.sampling.max_tokens
    return Usage(0, times * (tokens - written), times * written, cost=times * cost)


def _most(client: LLMClient, request: Request) -> tuple[int, float]:
    """The most that a request may use: tokens and money."""
    read, written = request.most_read, request.sampling.max_tokens
    return read + written, client.prices.of(read, written) if client.prices else 0.0


def _money(purse: budget.Budget) -> str:
    return f", {purse.spent.cost:.2f} in money" if purse.max_cost is not None else ""
