"""Hostile passages in a corpus, a judge that does whatever they say, and a job that believes neither of them alone.

``tests/canaries.jsonl``: what each passage says, and what an obedient judge does then: gives this ``grade`` to it alone
(``self``), to all that it was shown (``all``), or answers with the passage's own JSON (``json``).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from asking import said
from support import PASSAGES, POSITIVES, QUERIES, WORDS, as_yaml, changed

from hardneg.data.addressing import addressing
from hardneg.job.run_folder import Job
from hardneg.pipeline.run import Result
from hardneg.testing import FaultServer

pytestmark = pytest.mark.usefixtures("fresh_answers")
CANARIES = [json.loads(line) for line in (Path(__file__).parents[1] / "canaries.jsonl").read_text("utf-8").splitlines()]
INNOCENT = "an innocent text about weather"
UNMARKED = {"template syntax", "words of the queries", "an unmarked wish", "an unmarked wish for all"}


def shown(body: dict[str, Any]) -> list[str]:
    """The candidates of a request, by the request's own mark."""
    mark = re.search(r"<query ([0-9a-f]{16})>", said(body))
    assert mark is not None
    return [
        found[2]
        for found in re.finditer(
            rf"<candidate (\d+) {mark[1]}>\n(.*?)\n</candidate \1 {mark[1]}>", said(body), re.DOTALL
        )
    ]


def obedient(body: dict[str, Any]) -> str:
    """What the passages say, the later ones over the earlier ones; 1 for what says nothing."""
    texts = shown(body)
    grades = [1] * len(texts)
    for canary in CANARIES:
        for place, text in enumerate(texts):
            if text == canary["text"] and canary["for"] == "json":
                return text[text.index('{"grades"') :]
            if text == canary["text"]:
                grades = [canary["grade"]] * len(texts) if canary["for"] == "all" else grades
                grades[place] = canary["grade"]
    return json.dumps({"grades": [{"candidate": n, "grade": grade} for n, grade in enumerate(grades, 1)]})


def job(folder: Path, url: str, canaries: list[dict[str, Any]], changes: dict[str, Any] | None = None) -> Job:
    """A job on the small collection and the canaries, in which every passage is a candidate of every query."""
    (folder / "data" / "qrels").mkdir(parents=True, exist_ok=True)
    texts = PASSAGES | {f"canary{n}": canary["text"] for n, canary in enumerate(canaries)}
    for name, records in (("corpus", texts), ("queries", QUERIES)):
        lines = [json.dumps({"_id": key, "text": text}) + "\n" for key, text in records.items()]
        (folder / "data" / f"{name}.jsonl").write_text("".join(lines))
    qrels = [f"{query}\t{name}\t1\n" for query, own in POSITIVES.items() for name in own]
    (folder / "data" / "qrels" / "train.tsv").write_text("query-id\tcorpus-id\tscore\n" + "".join(qrels))
    document = {
        "data": {"kind": "beir", "path": "data"},
        "generators": {"all": {"kind": "random", "depth": len(texts)}},
        "scorers": {
            "target": {"kind": "bi_encoder", "encoder": WORDS},
            "doubt": {"kind": "false_negative", "encoder": WORDS, "level": 1.0, "slope": 1.0, "spread": 1.0},
            "judge": {"kind": "llm_judge", "client": {"kind": "openai", "base_url": url, "model": "any"}},
        },
        "filters": {
            "safe": {"kind": "eci_safety", "scorer": "target", "margin": 0.1},
            "graded": {
                "kind": "relevance",
                "scorer": "judge",
                "relabel": True,
                "agree": "doubt",
                "agree_from": 0.5,
            },
        },
        "select": {"kind": "top", "scorer": "target", "per_query": 3},
        "eci": {"scorer": "target"},
        "exports": {"split": {"kind": "beir", "split": "all"}, "lines": {"kind": "jsonl"}},
        "deepen": 0,
        "cache": "cache",
        "output": "run",
    }
    (folder / "job.yaml").write_text(as_yaml(changed(document, changes or {})))
    return Job.read(folder / "job.yaml")


def grades_of(result: Result) -> Iterator[tuple[str, float]]:
    for batch in result.batches:
        grades = batch.scores["judge"].negatives.tolist()
        yield from zip(batch.passage_ids(np.arange(len(batch.rows))), grades, strict=True)


def positives_in(folder: Path) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for line in (folder / "run" / "exports" / "split" / "qrels" / "all.tsv").read_text().splitlines()[1:]:
        query, passage, grade = line.split("\t")
        if int(grade) > 0:
            found.setdefault(query, set()).add(passage)
    return found


@pytest.mark.parametrize("canary", CANARIES, ids=[canary["name"] for canary in CANARIES])
def test_an_obedient_judge_alone_makes_no_positive_and_saves_no_negative(
    tmp_path: Path, canary: dict[str, Any]
) -> None:
    with FaultServer(answer=obedient) as server:
        result = job(tmp_path, server.url, [canary]).run()
    obeyed = {grade for name, grade in grades_of(result) if name == "canary0"}
    assert obeyed == {float(canary["grade"])}, "the judge does what the passage says"
    assert positives_in(tmp_path) == {query: set(own) for query, own in POSITIVES.items()}
    for batch in result.batches:
        assert not (batch.chosen & batch.verdicts["safe"].dropped).any()
        if canary["name"] == "words of the queries":
            fooled = batch.scores["doubt"].negatives >= 0.5
            assert fooled.any(), "the ranker alone is no second signal either"
        if canary["name"] == "an unmarked wish for all":
            low = batch.scores["judge"].negatives == 0
            assert (low & batch.verdicts["safe"].dropped).any(), "there was something to save"
    marked = result.report["addressing"]["graded"]["addressing"]
    assert marked == (0 if canary["name"] in UNMARKED else len(QUERIES))


def test_all_of_them_together(tmp_path: Path) -> None:
    with FaultServer(answer=obedient) as server:
        result = job(tmp_path, server.url, CANARIES).run()
    assert positives_in(tmp_path) == {query: set(own) for query, own in POSITIVES.items()}
    assert result.report["dropped"]["graded"]["rules"]["unconfirmed"] > len(QUERIES)
    assert not any((batch.chosen & batch.verdicts["safe"].dropped).any() for batch in result.batches)


def test_a_passage_on_which_both_agree_is_made_a_positive(tmp_path: Path) -> None:
    """The second signal stops the canaries and not what is relevant."""

    def honest(body: dict[str, Any]) -> str:
        grades = [3 if "loyal" in text else 0 for text in shown(body)]
        return json.dumps({"grades": [{"candidate": n, "grade": grade} for n, grade in enumerate(grades, 1)]})

    twin = {"text": "dogs are loyal animals indeed", "name": "a twin"}
    with FaultServer(answer=honest) as server:
        job(tmp_path, server.url, [twin]).run()
    assert positives_in(tmp_path)["q3"] == {"dogs", "cats", "canary0"}


def test_the_detector_knows_the_canaries_that_address_the_judge() -> None:
    assert {canary["name"] for canary in CANARIES if not addressing(canary["text"])} == UNMARKED
    for text in (*PASSAGES.values(), *QUERIES.values(), INNOCENT):
        assert addressing(text) is None
