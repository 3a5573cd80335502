"""Parts that name other members of the job: what they are shown, in which order, and that nothing is done twice."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import write_data

from hardneg.cache.folders import Cache
from hardneg.data.batch import Batch
from hardneg.engines.local import Local
from hardneg.errors import PartError
from hardneg.filters.eci_safety import ECISafety
from hardneg.filters.relevance import Relevance
from hardneg.filters.text_quality import TextQuality
from hardneg.generators.bm25 import BM25
from hardneg.generators.llm import LLM
from hardneg.generators.random import Random
from hardneg.llm.openai import OpenAI
from hardneg.pipeline.plan import Plan
from hardneg.pipeline.run import Pipeline
from hardneg.pipeline.store import Memory
from hardneg.readers.beir import BEIR
from hardneg.scorers.bi_encoder import BiEncoder
from hardneg.scorers.llm_judge import LLMJudge
from hardneg.selectors.top import Top
from hardneg.testing import FaultServer, HashedWords

pytestmark = pytest.mark.usefixtures("fresh_answers")


def plan_with(data: Path, client: OpenAI, **changes: Any) -> Plan:
    """A generator that is shown `lexical`, and a judge that is asked about what is near to `safe`."""
    return replace(
        Plan(
            reader=BEIR(path=data),
            generators={
                "written": LLM(client=client, per_query=2, context="lexical", rounds=2),
                "lexical": BM25(depth=4),
                "random": Random(depth=4),
            },
            scorers={
                "judge": LLMJudge(client=client, cascade="safe", near=0.1),
                "target": BiEncoder(encoder=HashedWords()),
            },
            filters={
                "graded": Relevance(scorer="judge", max=3),
                "safe": ECISafety(scorer="target", margin=0.1),
                "quality": TextQuality(length=False, language=False),
            },
            selector=Top(scorer="target", per_query=2),
            target="target",
        ),
        **changes,
    )


def test_members_come_after_those_that_they_name(tmp_path: Path) -> None:
    plan = plan_with(tmp_path, OpenAI(model="any"))
    assert [name for _, name in plan.order("generators")] == ["lexical", "written", "random"]
    order = [name for _, name in plan.order("scorers", "filters")]
    assert order.index("target") < order.index("safe") < order.index("judge") < order.index("graded")
    circle = plan_with(tmp_path, OpenAI(model="any"), filters={"safe": ECISafety(scorer="judge", margin=0.1)})
    with pytest.raises(PartError, match="mention each other in a circle: judge → safe → judge"):
        circle.order("scorers", "filters")


def test_context_and_cascade_read_what_is_stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two rounds of asking again, and the lexical generator mines once; the cascade's filter judges once a trial."""
    calls: Counter[str] = Counter()
    mine, judge = BM25.generate, ECISafety.judge

    def counted_generate(self: BM25, batch: Batch) -> Any:
        calls["bm25"] += 1
        return mine(self, batch)

    def counted_judge(self: ECISafety, batch: Batch) -> Any:
        calls["safety"] += 1
        return judge(self, batch)

    monkeypatch.setattr(BM25, "generate", counted_generate)
    monkeypatch.setattr(ECISafety, "judge", counted_judge)
    refused = '{"negatives": ["As an AI language model I cannot.", "I am an AI language model."]}'
    with FaultServer(answer=lambda body: grades(body) or refused) as server:
        client = OpenAI(model="any", base_url=server.url, timeout=5.0)
        plan = plan_with(write_data(tmp_path / "data"), client)
        result = Pipeline(plan, Memory(), Cache(tmp_path / "cache"), Local()).run()
        asked = [body["messages"][1]["content"] for body in server.bodies]
    assert calls["bm25"] == 1
    assert calls["safety"] == 1 + 2, "once for the job, and in each of two trials"
    [batch] = result.batches
    shown = batch.sources["lexical"]
    for i, query in enumerate(batch.queries):
        own = np.arange(len(batch.rows))[batch.candidates_of(i)]
        best = [j for j in own[np.argsort(shown.rank[own], kind="stable")] if shown.rank[j] > 0][:3]
        [first, *_] = [text for text in asked if query in text and "<candidate" not in text]
        for number, text in enumerate(batch.contents(np.array(best, np.int64)), 1):
            assert f"{text}\n</context {number}" in first
    graded = batch.scores["judge"].negatives >= 0
    safe = batch.verdicts["safe"]
    assert (graded == (np.abs(safe.value - safe.limit) <= np.float32(0.1))).all()
    assert 0 < graded.sum() < len(graded)


def grades(body: dict[str, Any]) -> str | None:
    """A grade for every candidate that a judge is shown; None for another prompt."""
    count = body["messages"][1]["content"].count("<candidate ")
    entries = ", ".join(f'{{"candidate": {number}, "grade": 1}}' for number in range(1, count + 1))
    return f'{{"grades": [{entries}]}}' if count else None


def test_a_changed_context_makes_the_writer_new_and_nothing_else(tmp_path: Path) -> None:
    data, client = write_data(tmp_path / "data"), OpenAI(model="any")
    plan = plan_with(data, client)
    deeper = replace(plan, generators={**plan.generators, "lexical": BM25(depth=3)})
    before, after = (Pipeline(one, Memory(), Cache(tmp_path), Local()).stages.first.generate for one in (plan, deeper))
    changed = {name for name in before if before[name].fingerprint != after[name].fingerprint}
    assert changed == {"lexical", "written"}
