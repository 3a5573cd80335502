"""Threshold curves: every point is what the filter itself would leave."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hardneg import eci
from hardneg.cli import main
from hardneg.errors import JobError
from hardneg.false_negatives import Histogram
from hardneg.filters.eci_safety import ECISafety
from hardneg.job.run_folder import Job
from hardneg.report import tuning
from hardneg.report.semantics import moments
from hardneg.report.tuning_chosen import chosen_of

RULES = {"margin": 0.02, "relative": 0.05, "ceiling": 0.5, "percentile": 0.8}


def output(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    assert main([str(a) for a in arguments]) == 0
    return capsys.readouterr().out


def job_with(make_job: Callable[..., Path], rule: str) -> Job:
    return Job.read(make_job(rule, {"filters.safe": {"kind": "eci_safety", "scorer": "target", rule: RULES[rule]}}))


@pytest.mark.parametrize("rule", list(RULES))
def test_each_point_is_what_the_filter_leaves(make_job: Callable[..., Path], rule: str) -> None:
    job = job_with(make_job, rule)
    result = job.run()
    judge = job.pipeline.learnt("filters", "safe")
    assert (judge.quantiles is None) == (rule != "percentile")
    encoder = job.plan.target_encoder
    relevant = {"q1-0": {"dog": 1, "rain": 1}, "q2-0": {"rome": 1}}
    found = tuning.curves(
        result.batches, judge, "safe", "target", count=1, per_query=2, encoder=encoder, relevant=relevant
    )
    [batch] = result.batches
    others = batch.trainable & ~np.any([v.dropped for n, v in batch.verdicts.items() if n != "safe"], axis=0)
    plus = eci.reference(batch.scores["target"].positives, batch.positive_owners, len(batch))
    for place in range(0, len(found.thresholds), 5):
        threshold = float(np.float32(found.thresholds[place]))
        verdicts = replace(judge, **{rule: threshold}).judge(batch)
        # exactly at a bound, rounding decides: those are left out of the comparison
        clear = np.abs(verdicts.value - verdicts.limit) > 1e-6
        if not clear[others].all():
            continue
        kept = others & ~verdicts.dropped
        report = eci.Tally.of(plus, batch.scores["target"].negatives[kept], batch.owners[kept]).report()
        row = found.rows()[place]
        assert row["survival"] == pytest.approx(kept.sum() / others.sum())
        assert row["hardness"] == pytest.approx(report.hardness)
        assert row["eci_v1"] == pytest.approx(report.eci_v1)
        assert row["above_positive"] == pytest.approx(report.above_positive)
        sem = sum(moments(batch, encoder, "target", kept[:, None]).values(), start=eci.Moments())
        assert row["eci_sem"] == pytest.approx(sem.report().eci_sem, abs=1e-6)
        passages = batch.corpus.ids(batch.rows)
        false = np.array(
            [relevant.get(batch.ids[o], {}).get(p, 0) > 0 for o, p in zip(batch.owners, passages, strict=True)]
        )
        assert row["false_negatives"] == pytest.approx(false[kept].sum() / max(kept.sum(), 1))
        assert row["found"] == pytest.approx(1 - false[kept].sum() / max(false[others].sum(), 1))


def test_what_is_estimated_has_the_interval_of_the_report() -> None:
    rng = np.random.default_rng(0)
    p = rng.beta(0.3, 6, 400)
    score, offsets, none = rng.random(400), np.arange(0, 401, 8), np.zeros(400, bool)
    found = chosen_of(np.zeros(400, np.int64), 1, score, offsets, p, none, none, 3, spread=0.7).rows(judged=False)
    chosen = np.argsort(-score.reshape(50, 8), axis=1)[:, :3] + offsets[:-1, None]
    share = Histogram.of(p[chosen.ravel()]).share(0.7)
    [row] = found
    assert row["chosen_false"] == pytest.approx(share.value)
    assert row["chosen_false_interval"] == pytest.approx([share.low, share.high], rel=0.05)


def test_suggestions_hold_and_say_how_sure(make_job: Callable[..., Path]) -> None:
    job = job_with(make_job, "margin")
    result = job.run()
    relevant = {"q1-0": {"dog": 1}, "q2-0": {"rome": 1}}
    judge = job.plan.filters["safe"]
    found = tuning.curves(
        result.batches, judge, "safe", "target", count=1, per_query=2, relevant=relevant, wanted_survival=0.5
    )
    kept = found.suggest("survival", 0.5)
    assert kept["survival"] >= 0.5
    stricter = found.thresholds > kept["threshold"]
    assert (found.quantity("survival")[stricter] < 0.5).all()
    assert kept["interval"][0] <= kept["survival"] <= kept["interval"][1]
    assert 0 < kept["sure"] <= 1
    fewest = found.suggest("false_negatives", 0.2)
    assert fewest["false_negatives"] <= 0.2
    with pytest.raises(JobError, match=r"no threshold of `margin` gives survival of 1\.1"):
        found.suggest("survival", 1.1)


def test_the_command(make_job: Callable[..., Path], capsys, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    path = make_job()
    output(capsys, "run", path)
    assert main(["tune", str(path)]) == 2
    assert "name one filter of kind `eci_safety` with --filter; " in capsys.readouterr().err
    assert main(["tune", str(path), "--filter", "safe", "--false-negatives", "0.1"]) == 2
    assert "add one to be advised" in capsys.readouterr().err
    assert main(["tune", str(path), "--filter", "safe", "--survival", "2"]) == 2
    assert "--survival must be between 0 and 1, not 2.0" in capsys.readouterr().err
    assert main(["tune", str(path), "--filter", "safe", "--plot", str(tmp_path / "x.gif")]) == 2
    assert "a plot is an `.svg` or a `.png`" in capsys.readouterr().err
    (tmp_path / "q.tsv").write_text("h\nq1-0\tdog\t1\n")
    shown = output(
        capsys, "tune", path, "--filter", "safe", "--qrels", tmp_path / "q.tsv", "--survival", "0.5",
        "--plot", tmp_path / "curves.svg",
    )  # fmt: skip
    assert "caught" in shown
    assert "* " in shown  # the current threshold is marked
    assert "suggestion: safe: {margin: " in shown
    assert "<svg" in (tmp_path / "curves.svg").read_text()
    found = json.loads(output(capsys, "tune", path, "--filter", "safe", "--json"))
    assert found["rule"] == "margin"
    assert found["suggestion"] is None
    assert any(row["threshold"] == -0.05 for row in found["rows"])


def test_nothing_to_tune_is_an_error(make_job: Callable[..., Path]) -> None:
    job = Job.read(make_job(margin=0.0))
    result = job.run()
    everything = [replace(batch, controls=frozenset(batch.sources)) for batch in result.batches]
    with pytest.raises(JobError, match="no candidate to look at"):
        tuning.curves(everything, ECISafety(scorer="target", margin=0.0), "safe", "target", count=1, per_query=2)


def test_lexical_residuality_is_what_the_lexicon_says(make_job: Callable[..., Path]) -> None:
    from hardneg.data.word_weights import lexicon, words
    from hardneg.report.semantics import lexical_residuality

    [batch] = Job.read(make_job()).run().batches
    numbers = np.arange(len(batch.rows))[::-1]
    known = lexicon(batch.corpus)
    texts = batch.contents(numbers)
    wanted = [
        1 - known.containment(words(batch.queries[i]), words(text))
        for i, text in zip(batch.owners[numbers], texts, strict=True)
    ]
    np.testing.assert_allclose(lexical_residuality(batch, numbers), wanted, atol=1e-12)


def test_a_sample_of_judgments_speaks_of_what_it_judges(make_job: Callable[..., Path]) -> None:
    job = job_with(make_job, "ceiling")
    result = job.run()
    sample = {"q1-0": {"dog": 1, "cats": 0}}
    judge = replace(job.plan.filters["safe"], ceiling=1.0)
    found = tuning.curves(result.batches, judge, "safe", "target", count=1, per_query=2, relevant=sample)
    assert found.rows()[-1]["false_negatives"] == pytest.approx(1 / 2)
    with pytest.raises(JobError, match="call none of these candidates relevant"):
        tuning.curves(result.batches, judge, "safe", "target", count=1, per_query=2, relevant={"other": {"x": 1}})
