"""A lazy scorer leaves the final set as it is, and what it was not asked about is called so."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import small_shards

from hardneg.cache.folders import Cache
from hardneg.data.subset import splice
from hardneg.engines.local import Local
from hardneg.exports.jsonl import JSONL
from hardneg.filters.eci_safety import ECISafety
from hardneg.filters.judged import Judged
from hardneg.generators.random import Random
from hardneg.job.checks import contradictions
from hardneg.models.late_interaction import LateInteraction
from hardneg.pipeline.plan import Plan
from hardneg.pipeline.run import Pipeline, Result
from hardneg.pipeline.store import Folder
from hardneg.protocols import Selector
from hardneg.readers.beir import BEIR
from hardneg.report.dropped import caught, clearest
from hardneg.report.one_query import one_query
from hardneg.scorers.bi_encoder import BiEncoder
from hardneg.scorers.cross_encoder import CrossEncoder
from hardneg.selectors.band import Band
from hardneg.selectors.disagreement import Disagreement
from hardneg.selectors.top import Top
from hardneg.testing import HashedWords

ENCODER = HashedWords()
PER_QUERY, DEPTH, QUERIES = 5, 50, 6
SELECTORS: dict[str, Selector] = {
    "top": Top(scorer="target", per_query=PER_QUERY),
    "quota": Top(scorer="target", per_query=PER_QUERY, quota={"other": 3}),
    "disagreement": Disagreement(scorer="target", per_query=PER_QUERY),
}
SAFE = ECISafety(scorer="referee", relative=0.35)
"""Refuses about a third of what would be chosen."""


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Eighty passages of a few words out of thirty, and queries of which one passage each is the answer."""
    rng = np.random.default_rng(0)
    texts = [" ".join(f"word{n}" for n in rng.integers(0, 30, 6)) for _ in range(80)]
    folder = tmp_path / "data"
    (folder / "qrels").mkdir(parents=True)
    queries = [" ".join(texts[n].split()[:4]) for n in range(QUERIES)]
    for name, lines in (("corpus", texts), ("queries", queries)):
        records = [json.dumps({"_id": f"{name[0]}{n}", "text": text}) for n, text in enumerate(lines)]
        (folder / f"{name}.jsonl").write_text("\n".join(records) + "\n")
    judged = [f"q{n}\tc{n}\t1" for n in range(QUERIES)]
    (folder / "qrels" / "train.tsv").write_text("\n".join(["query-id\tcorpus-id\tscore", *judged]) + "\n")
    return folder


Ran = Callable[..., tuple[Result, int]]


@pytest.fixture
def run(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ran:
    """Runs a job in two shards; with the result, how many pairs the referee was asked about."""
    small_shards(monkeypatch)
    asked: list[int] = []
    predict = LateInteraction.predict

    def counted(model: LateInteraction, queries: Any, passages: Any) -> Any:
        asked.append(len(queries))
        return predict(model, queries, passages)

    monkeypatch.setattr(LateInteraction, "predict", counted)

    def make(name: str, *, lazy: bool, **parts: Any) -> tuple[Result, int]:
        asked.clear()
        job = plan(data, lazy=lazy, **parts)
        assert list(contradictions(job, budget_in_money=False)) == []
        result = Pipeline(job, Folder(tmp_path / name), Cache(tmp_path / f"{name}-cache"), Local()).run()
        return result, sum(asked)

    return make


def plan(data: Path, *, lazy: bool = True, **parts: Any) -> Plan:
    referee = CrossEncoder(model=LateInteraction(encoder=ENCODER), lazy=lazy)
    return Plan(
        reader=BEIR(path=data),
        generators={
            "drawn": Random(depth=parts.get("depth", DEPTH), seed=1),
            "other": Random(depth=parts.get("depth", 20), seed=2),
            "easy": Random(depth=5, seed=3),
        },
        controls=("easy",),
        scorers={"referee": referee, "target": BiEncoder(encoder=ENCODER)} | parts.get("scorers", {}),
        filters={"veto": SAFE, "safe": ECISafety(scorer="target", ceiling=0.9)} | parts.get("filters", {}),
        selector=parts.get("selector", SELECTORS["top"]),
        target=parts.get("target", "target"),
        deepen=parts.get("deepen", 0),
    )


def chosen(result: Result) -> list[list[int]]:
    return [batch.rows[batch.selection.of(i)].tolist() for batch in result.batches for i in range(len(batch))]  # type: ignore[union-attr]


@pytest.mark.parametrize("selector", SELECTORS)
def test_the_final_set_is_that_of_full_scoring(run: Ran, selector: str) -> None:
    full, all_pairs = run("full", lazy=False, selector=SELECTORS[selector])
    lazy, some_pairs = run("lazy", lazy=True, selector=SELECTORS[selector])
    assert chosen(lazy) == chosen(full)
    assert [len(rows) for rows in chosen(full)] == [PER_QUERY] * QUERIES
    assert some_pairs <= 0.6 * all_pairs
    assert full.report["dropped"]["veto"]["first"] > 0
    for one, other in zip(full.batches, lazy.batches, strict=True):
        known = ~np.isnan(other.scores["referee"].negatives)
        np.testing.assert_array_equal(one.scores["referee"].negatives[known], other.scores["referee"].negatives[known])
        np.testing.assert_array_equal(one.scores["referee"].positives, other.scores["referee"].positives)
        assert known[other.chosen].all()
        np.testing.assert_array_equal(other.verdicts["veto"].unjudged, ~known)


def test_the_same_examples_go_deeper(run: Ran) -> None:
    veto = {"veto": ECISafety(scorer="referee", relative=0.7)}
    full, _ = run("full", lazy=False, filters=veto, depth=4, deepen=1)
    lazy, _ = run("lazy", lazy=True, filters=veto, depth=4, deepen=1)
    assert chosen(lazy) == chosen(full)
    assert [dict(wave) for wave in lazy.batches.loader.waves] == [dict(wave) for wave in full.batches.loader.waves]
    deeper = sum(full.batches.loader.waves[1].values())
    assert 0 < deeper < QUERIES


def test_the_report_says_what_was_not_scored(run: Ran, tmp_path: Path) -> None:
    full, _ = run("full", lazy=False)
    lazy, _ = run("lazy", lazy=True)
    unknown = sum(int((np.isnan(b.scores["referee"].negatives) & b.trainable).sum()) for b in lazy.batches)
    veto, counts = lazy.report["dropped"]["veto"], lazy.report["counts"]
    assert veto["unjudged"] > 0
    assert (
        sum(int((b.verdicts["veto"].unjudged & b.trainable).sum()) for b in lazy.batches) == veto["unjudged"] == unknown
    )
    assert counts["candidates"] == full.report["counts"]["candidates"]
    assert lazy.report["sets"]["final"]["after"]["eci_v1"] == full.report["sets"]["final"]["after"]["eci_v1"]
    assert lazy.report["dropped"]["safe"] == full.report["dropped"]["safe"] | {
        "first": lazy.report["dropped"]["safe"]["first"]
    }
    [note] = [note for note in lazy.report["notes"] if "lazy" in note]
    assert note.startswith(f"filter `veto` did not look at {unknown} of {counts['candidates']} candidates")
    assert "lazy" not in str(full.report["notes"])
    assert "prefers" not in str(lazy.report["notes"])
    assert "told apart" not in str(lazy.report["notes"])
    assert "unjudged" not in full.report["dropped"]["veto"]
    shown = {name: sum(own) for name, own in lazy.report["similarities"]["counts"].items()}
    assert shown["refused"] == sum(int((b.refused & b.trainable).sum()) for b in lazy.batches)
    assert shown["refused"] + shown["kept"] < shown["candidates"]


def test_no_view_calls_it_refused_or_shows_a_number_that_is_none(run: Ran, tmp_path: Path) -> None:
    lazy, _ = run("lazy", lazy=True)
    JSONL(dropped=True).write(lazy.batches, tmp_path)
    text = (tmp_path / "train.jsonl").read_text()
    lines = [json.loads(line, parse_constant=pytest.fail) for line in text.splitlines()]
    refused = sum(int(batch.refused.sum()) for batch in lazy.batches)
    assert sum(len(line["dropped"]) for line in lines) == refused
    assert all("referee" in negative["scores"] for line in lines for negative in line["negatives"])
    everything = {f"q{n}": {f"c{k}": 1 for k in range(80)} for n in range(QUERIES)}
    _, really_refused, _, _ = caught(lazy.batches, everything)
    assert really_refused == sum(int((batch.refused & batch.trainable).sum()) for batch in lazy.batches)
    assert all(case["reasons"] for case in clearest(lazy.batches, 100))
    one = one_query(lazy.batches, "q0", "target")
    assert all(case["reasons"] for case in one["refused"])
    assert one["not scored"]
    assert all("referee" not in case["scores"] and not case["reasons"] for case in one["not scored"])
    assert all("referee" in case["scores"] for case in one["kept"] + one["chosen"])


def test_what_becomes_a_positive_has_a_score(run: Ran, tmp_path: Path) -> None:
    file = tmp_path / "people.tsv"
    judged = [f"q{n}\tc{k}\t1" for n in range(QUERIES) for k in range(60, 80)]
    file.write_text("\n".join(["query-id\tcorpus-id\tscore", *judged]) + "\n")
    lazy, _ = run("lazy", lazy=True, filters={"people": Judged(files=(file,))})
    moved = 0
    for batch in lazy.batches:
        moved += int(batch.relabelled.sum())
        assert np.isfinite(batch.with_relabelled().scores["referee"].positives).all()
    assert moved > 0


def test_a_deeper_wave_keeps_what_was_not_looked_at_apart(run: Ran) -> None:
    lazy, _ = run("lazy", lazy=True)
    batch = next(iter(lazy.batches))
    same = splice(replace(batch, selection=None), np.arange(len(batch)), replace(batch, selection=None))
    for name, verdicts in batch.verdicts.items():
        np.testing.assert_array_equal(same.verdicts[name].dropped, verdicts.dropped)
        np.testing.assert_array_equal(same.verdicts[name].unjudged, verdicts.unjudged)


NEEDS_ALL: dict[str, tuple[dict[str, Any], str]] = {
    "reuse": ({"selector": Top(scorer="target", reuse=3)}, "without `reuse`"),
    "band": ({"selector": Band(scorer="target")}, "this selector's choice depends on what it does not choose"),
    "the selector": ({"selector": Top(scorer="referee")}, "select needs the scores of all candidates"),
    "the target": ({"target": "referee"}, "eci needs the scores of all candidates"),
    "percentile": ({"filters": {"veto": ECISafety(scorer="referee", percentile=0.9)}}, "learns from the whole job"),
    "no filter": ({"filters": {"veto": ECISafety(scorer="target", margin=0.1)}}, "no filter looks at its scores"),
    "two": (
        {
            "scorers": {"second": CrossEncoder(model=LateInteraction(encoder=ENCODER), lazy=True)},
            "filters": {"again": ECISafety(scorer="second", margin=0.1)},
        },
        "scorer `referee` is lazy already",
    ),
}


@pytest.mark.parametrize("case", NEEDS_ALL)
def test_a_job_that_needs_all_scores_says_so(data: Path, case: str) -> None:
    parts, message = NEEDS_ALL[case]
    problems = list(contradictions(plan(data, **parts), budget_in_money=False))
    assert any(place[0] == "scorers" and place[-1] == "lazy" and message in told for place, told in problems)
