"""Rounds: who is short is asked again, with the reasons, and no longer than was wished."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from asking import client, said

from hardneg.data.batch import Batch
from hardneg.filters.copy import Copy
from hardneg.filters.text_quality import TextQuality
from hardneg.generators.llm import LLM
from hardneg.pipeline import rounds
from hardneg.protocols import Asker
from hardneg.testing import FaultServer

pytestmark = pytest.mark.usefixtures("fresh_answers")
Answer = Callable[[dict[str, Any]], str]


REFUSED = "as an AI language model I write about cats, dogs, rain and towns"
FINE = "the lake is {} miles long and lies in the hills"


def talks_first(body: dict[str, Any]) -> str:
    """Assistant talk beside one good passage, until it is told."""
    numbers = iter(range(sum(map(ord, said(body))), 10**9))
    if "(refused: talk" in said(body):
        wanted = body["response_format"]["json_schema"]["schema"]["properties"]["negatives"]["minItems"]
        return json.dumps({"negatives": [FINE.format(next(numbers)) for _ in range(wanted)]})
    return json.dumps({"negatives": [REFUSED, FINE.format(next(numbers))]})


def filters(**parts: object) -> rounds.Trial:
    """The filters that judge between two rounds."""
    return [("filters", name, part) for name, part in parts.items()]


def test_who_is_short_is_asked_again_with_the_reasons(batch_of: Callable[..., Batch]) -> None:
    with FaultServer(answer=talks_first) as server:
        batch = batch_of()
        part = LLM(client=client(server), per_query=2, rounds=3)
        assert isinstance(part, Asker)
        trial = filters(quality=TextQuality(length=False, language=False), copies=Copy())
        found = rounds.generate(part, "written", batch, trial)
    assert server.sent.total() == 6, "three examples, once more each, and then nobody is short"
    assert np.diff(found.offsets).tolist() == [3, 3, 3]
    assert found.writing is not None
    assert found.writing.rounds.tolist() == [0, 0, 1] * 3
    assert found.usage is not None
    assert found.usage.requests == 6
    again = [body for body in server.bodies if "cannot be used" in said(body)]
    assert len(again) == 3
    for body in again:
        assert REFUSED in said(body)
        assert "Write 1 others" in said(body)
        assert body["response_format"]["json_schema"]["schema"]["properties"]["negatives"]["maxItems"] == 1
    judged, _ = rounds.tried(batch, "written", found, trial)
    assert part.missing(judged, "written").tolist() == [0, 0, 0]


def test_rounds_end(batch_of: Callable[..., Batch]) -> None:
    with FaultServer(answer=lambda _: json.dumps({"negatives": [REFUSED]})) as server:
        part = LLM(client=client(server), per_query=1, rounds=2)
        found = rounds.generate(part, "written", batch_of(), filters(quality=TextQuality(length=False)))
    assert server.sent.total() == 3 * 3
    assert found.writing is not None
    assert sorted(set(found.writing.rounds.tolist())) == [0, 1, 2]


def test_who_has_nothing_is_asked_anew_without_seeds(batch_of: Callable[..., Batch]) -> None:
    with FaultServer(answer=lambda _: "no JSON") as server:
        part = LLM(client=client(server, max_failed=1.0), per_query=1, rounds=2, seed=None)
        found = rounds.generate(part, "written", batch_of(), filters(quality=TextQuality()))
    assert len(found.rows) == 0
    assert server.sent.total() == 3 * 3 * 2
    assert "seed" not in server.bodies[0]


def test_without_rounds_nothing_is_judged(batch_of: Callable[..., Batch]) -> None:
    with FaultServer(answer=lambda _: json.dumps({"negatives": [REFUSED]})) as server:
        rounds.generate(LLM(client=client(server)), "written", batch_of(), filters(quality=TextQuality(length=False)))
    assert server.sent.total() == 3
