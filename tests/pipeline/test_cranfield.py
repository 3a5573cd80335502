"""The numbers of a judged collection, pinned: real text, a real encoder, nothing filtered."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support import bench

from hardneg.cache.folders import Cache
from hardneg.engines.local import Local
from hardneg.files.text_lines import existing
from hardneg.filters.eci_safety import ECISafety
from hardneg.generators.bm25 import BM25
from hardneg.generators.dense import Dense
from hardneg.generators.random import Random
from hardneg.models.sentence_transformers import Encoder
from hardneg.pipeline.plan import Plan
from hardneg.pipeline.run import Pipeline, Result
from hardneg.pipeline.store import Memory
from hardneg.readers.beir import BEIR, judgments
from hardneg.report import detection
from hardneg.report.dropped import judged
from hardneg.scorers.bi_encoder import BiEncoder
from hardneg.scorers.false_negative import FalseNegative
from hardneg.selectors.top import Top

pytestmark = pytest.mark.engines


@pytest.fixture(scope="module")
def cranfield(collections: Path, minilm: str, shared_cache: Path) -> Result:
    """All 225 queries, 50 candidates each of BM25, dense and random, one margin filter."""
    encoder = Encoder(model=minilm)
    plan = Plan(
        reader=BEIR(path=collections / "cranfield"),
        generators={"bm25": BM25(depth=50), "dense": Dense(encoder=encoder, depth=50), "easy": Random(depth=50)},
        scorers={"target": BiEncoder(encoder=encoder), "doubt": FalseNegative(encoder=encoder)},
        filters={
            "safe": ECISafety(scorer="target", margin=0.05),
            "doubtful": ECISafety(scorer="doubt", calibrated=1.0),
        },
        selector=Top(scorer="target", per_query=7),
        target="target",
        controls=("easy",),
    )
    return Pipeline(plan, Memory(), Cache(shared_cache), Local()).run()


@pytest.mark.parametrize(
    ("source", "hardness", "safety", "eci_v1"), [("bm25", 0.413, 0.128, 0.77), ("dense", 0.486, 0.056, 0.39)]
)
def test_eci_of_bm25_and_dense(cranfield: Result, source: str, hardness: float, safety: float, eci_v1: float) -> None:
    found = cranfield.report["sets"][source]["before"]
    assert found["examples"] == 225
    assert found["size"] == 50
    assert found["hardness"] == pytest.approx(hardness, abs=0.01)
    assert found["safety"] == pytest.approx(safety, abs=0.01)
    assert found["eci_v1"] == pytest.approx(eci_v1, abs=0.01)


def test_the_easy_control_wins_and_is_warned_about(cranfield: Result) -> None:
    assert cranfield.report["sets"]["easy"]["before"]["eci_v1"] == pytest.approx(1.03, abs=0.03)
    [warning] = cranfield.report["warnings"][:1]
    assert "the easy control `easy` has a higher eci_v1" in warning
    assert "`bm25` (0.77), `dense` (0.39)" in warning


@pytest.mark.parametrize(("source", "share"), [("bm25", 0.086), ("dense", 0.091)])
def test_the_margin_rejects_two_thirds_of_the_false_negatives(
    cranfield: Result, collections: Path, source: str, share: float
) -> None:
    relevant: set[tuple[str, str]] = set()
    for _, query, passage, grade in judgments(existing(collections / "cranfield" / "qrels" / "test.tsv")):
        if grade > 0:
            relevant.add((query, passage))
    [batch] = cranfield.batches
    numbers = np.flatnonzero(batch.sources[source].proposed)
    passages = batch.corpus.ids(batch.rows[numbers])
    false = np.array([(batch.ids[o], p) in relevant for o, p in zip(batch.owners[numbers], passages, strict=True)])
    refused = batch.verdicts["safe"].dropped[numbers]
    assert false.mean() == pytest.approx(share, abs=0.0006)
    assert refused[false].mean() == pytest.approx(2 / 3, abs=0.05)
    assert refused[false].mean() > 1.4 * refused[~false].mean()


@pytest.mark.parametrize(("source", "by_margin", "by_ranks"), [("bm25", 0.747, 0.885), ("dense", 0.657, 0.87)])
def test_the_calibrated_safety_beats_the_margin(
    cranfield: Result, collections: Path, source: str, by_margin: float, by_ranks: float
) -> None:
    grades: dict[str, dict[str, int]] = {}
    for _, query, passage, grade in judgments(existing(collections / "cranfield" / "qrels" / "test.tsv")):
        grades.setdefault(query, {})[passage] = grade
    [batch] = cranfield.batches
    numbers = np.flatnonzero(batch.sources[source].proposed)
    relevant = judged(batch, numbers, grades)
    plus = batch.scores["target"].positives[batch.owners]
    margin = (batch.scores["target"].negatives - plus)[numbers].astype(float)
    ranks = batch.scores["doubt"].negatives[numbers].astype(float)
    assert detection.auc(margin, relevant)[0] == pytest.approx(by_margin, abs=0.003)
    assert detection.auc(ranks, relevant)[0] >= by_ranks
    measures = bench("measures")
    lost_by_margin, lost_by_ranks = (measures.lost(s, relevant, 0.8)[0] for s in (margin, ranks))
    assert lost_by_ranks < 2 / 3 * lost_by_margin
    # the level is told without labels: the mean probability is the relevant share to within 4 points
    assert ranks.mean() == pytest.approx(relevant.mean(), abs=0.04)
    assert measures.calibration_error(ranks, relevant) < 0.045


def test_sources_are_ranked_with_intervals_and_both_metrics(cranfield: Result) -> None:
    found = cranfield.report["sets"]["bm25"]["before"]
    low, high = found["intervals"]["eci_v1"]
    assert low < found["eci_v1"] < high
    assert 0.1 < high - low < 0.3
    assert 0.06 < found["sem"]["eci_sem"] < 0.3
    assert found["sem"]["eci_sem"] <= found["sem"]["trace"]
    assert set(cranfield.report["hybrids"]) == {"bm25 + dense"}
    [pair] = [pair for pair in cranfield.report["differences"] if pair["sets"] == ["bm25", "dense"]]
    assert 0 < pair["interval"][0] < pair["eci_v1"] < pair["interval"][1]
    assert any(
        "eci_v1 prefers `bm25`" in note and "eci_sem prefers `dense`" in note for note in cranfield.report["notes"]
    )


def test_a_mixture_of_two_sources_scores_the_mean_of_their_eci_sem(cranfield: Result, minilm: str) -> None:
    from hardneg.report.semantics import moments

    [batch] = cranfield.batches
    bm25, dense = batch.sources["bm25"].proposed, batch.sources["dense"].proposed
    parts = {}
    for name, mask in (("bm25", bm25), ("dense", dense)):  # 50 negatives a query in each: equal parts
        [parts[name]] = moments(batch, Encoder(model=minilm), "target", mask[:, None]).values()
    mixed = (parts["bm25"] + parts["dense"]).report().eci_sem
    assert mixed == pytest.approx(np.mean([part.report().eci_sem for part in parts.values()]), abs=1e-3)


def test_what_is_left_out_is_counted(cranfield: Result) -> None:
    read = cranfield.report["read"]
    assert (read["passages"], read["examples"]) == (1398, 225)
    assert read["skipped"] == {"passage without text": 2}


def test_stored_similarities_are_sentence_transformers_own(cranfield: Result, minilm: str) -> None:
    from sentence_transformers import SentenceTransformer, util

    [batch] = cranfield.batches
    rng = np.random.default_rng(0)
    numbers = rng.choice(len(batch.rows), 40, replace=False)
    model = SentenceTransformer(minilm, device="cpu")
    queries = model.encode([batch.queries[i] for i in batch.owners[numbers]])
    passages = model.encode(batch.contents(numbers))
    wanted = util.pairwise_cos_sim(queries, passages).numpy()
    np.testing.assert_allclose(batch.scores["target"].negatives[numbers], wanted, atol=1e-4)
