"""From a run to people and back: what is drawn, what is read, and what it says."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import write_data

from hardneg.cli import main
from hardneg.data.answers import Answer, answers_of
from hardneg.job.run_folder import Job
from hardneg.report import agreement
from hardneg.report.review import Design, designs, drawn

DOUBT = {
    "scorers.doubt": {
        "kind": "false_negative",
        "encoder": {"kind": "hashed_words"},
        "lexical": False,
        "level": 0.0,
        "slope": 1.0,
    },
    "filters.safe": {"kind": "eci_safety", "scorer": "doubt", "calibrated": 0.4},
}


def output(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    assert main([str(a) for a in arguments]) == 0
    return capsys.readouterr().out


@pytest.fixture
def finished(make_job: Callable[..., Path], tmp_path: Path) -> Path:
    write_data(tmp_path / "data", copies=3)
    path = make_job(changes=DOUBT)
    Job.read(path).run()
    return path


def pairs_of(batches: Any, of: str) -> set[tuple[str, str]]:
    out = set()
    for batch in batches:
        mask = {"final": batch.chosen, "kept": batch.kept & batch.trainable, "refused": ~batch.kept & batch.trainable}[
            of
        ]
        numbers = np.flatnonzero(mask)
        out |= {
            (batch.ids[batch.owners[j]], p) for j, p in zip(numbers.tolist(), batch.passage_ids(numbers), strict=True)
        }
    return out


def test_a_review_is_drawn_written_judged_and_read_back(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, batches = tmp_path / "runs" / "job", Job.read(finished).finished().batches
    for of in ("final", "kept", "refused"):
        members = pairs_of(batches, of)
        said = json.loads(output(capsys, "review", run, "--set", of, "--count", 7, "--json"))
        [design] = [one for one in designs(run / "reviews") if one.id == said["review"]]
        assert said["drawn"] == len(design.items) == min(7, len(members))
        assert {item[:2] for item in design.items} <= members
        assert sum(design.sizes) == len(members)
        assert Path(said["pages"][0]).is_file()
    everything = output(
        capsys, "review", finished, "--set", "unfiltered", "--count", 100, "--output", tmp_path / "p.html"
    )
    assert str(tmp_path / "p.html") in everything
    [design] = [one for one in designs(run / "reviews") if one.set == "unfiltered"]
    truth = {item[:2]: ("relevant", "not relevant", "unsure")[n % 5 % 3] for n, item in enumerate(design.items)}
    lines = [
        json.dumps({"review": design.id, "query_id": q, "passage_id": p, "answer": a, "annotator": "ada", "seconds": 2})
        for (q, p), a in truth.items()
    ]
    (tmp_path / "ada.jsonl").write_text("\n".join(lines))
    values = {"relevant": 1, "not relevant": 0}
    tsv = [f"{q}\t{p}\t{values[a]}" for (q, p), a in truth.items() if a in values]
    (tmp_path / "bob.tsv").write_text("\n".join(["query-id\tcorpus-id\tscore", *tsv]))
    (tmp_path / "eve.qrels").write_text("\n".join("{} 0 {} 1".format(*line.split("\t")[:2]) for line in tsv))
    found = json.loads(output(capsys, "judged", run, tmp_path / "ada.jsonl", "--json"))
    [rate] = found["rates"]
    known = [a for a in truth.values() if a != "unsure"]
    assert (rate["judged"], rate["relevant"]) == (len(known), known.count("relevant"))
    assert rate["unsure"] == len(truth) - len(known)
    assert rate["if no unsure one is relevant"] < rate["rate"]["value"] < rate["if every unsure one is relevant"]
    assert rate["if no unsure one is relevant"] == pytest.approx(known.count("relevant") / len(truth))
    refused = pairs_of(batches, "refused")
    relevant = [pair for pair, answer in truth.items() if answer == "relevant"]
    assert found["filters"]["safe"]["relevant"] == len(relevant)
    assert max(row["relevant_refused"] for row in found["filters"].values()) <= len(set(relevant) & refused)
    assert {(c["query_id"], c["passage_id"]) for c in found["relevant_but_kept"]} <= set(relevant) - refused
    assert all(c["refused_by"] for c in found["refused_but_not_relevant"])
    text = output(capsys, "judged", run, *(tmp_path / name for name in ("ada.jsonl", "bob.tsv", "eve.qrels")))
    assert "false-negative rate of the hardest candidates before filtering: " in text
    assert "ada and bob: " in text
    assert "100% alike, Cohen's kappa 1.00" in text
    refusing = any(row["relevant_refused"] + row["not_relevant_refused"] for row in found["filters"].values())
    assert ("filter safe refused " if refusing else "no filter refused any of these") in text
    assert "eve: relevant" in text


def test_the_same_seed_draws_the_same_and_another_draws_others(finished: Path) -> None:
    batches = Job.read(finished).finished().batches
    asked: dict[str, Any] = {"target": "target", "per_query": 2, "estimator": "doubt"}
    one, two, other = (drawn(batches, "kept", 6, seed, **asked)[0] for seed in (0, 0, 1))
    assert one == two
    assert one.id != other.id
    assert one.items != other.items


def test_the_exports_go_into_tune(finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    batches = Job.read(finished).finished().batches
    pairs = sorted(pairs_of(batches, "kept") | pairs_of(batches, "refused"))[:6]
    lines = [f"{q}\t{p}\t{int(n == 0)}" for n, (q, p) in enumerate(pairs)]
    (tmp_path / "ada.tsv").write_text("\n".join(["query-id\tcorpus-id\tscore", *lines]))
    found = json.loads(output(capsys, "tune", finished, "--filter", "safe", "--qrels", tmp_path / "ada.tsv", "--json"))
    assert found["level"] is not None
    # a sample: what nobody judged counts neither way
    shares = {round(row["false_negatives"], 6) for row in found["rows"]}
    assert shares <= {round(1 / n, 6) for n in range(1, 7)} | {0.0}


def test_answers_of_another_run_give_no_rate(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.jsonl").write_text('{"review": "final-x", "query_id": "q", "passage_id": "p", "answer": "unsure"}\n')
    text = output(capsys, "judged", finished, tmp_path / "a.jsonl")
    assert "no rate" in text
    assert "review final-x is not of this run" in text
    assert "0 of 1 judged candidates are in the run now" in text


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["review", "RUN", "--count", "0"], "--count must be at least 1"),
        (["review", "DATA"], "is not the folder of a finished run"),
        (["judged", "RUN", "EMPTY"], "there is no answer in it"),
    ],
)
def test_mistakes_are_said(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], problem: str
) -> None:
    (tmp_path / "empty.jsonl").touch()
    names = {"RUN": finished, "DATA": tmp_path / "data", "EMPTY": tmp_path / "empty.jsonl"}
    assert main([str(names.get(argument, argument)) for argument in arguments]) == 2
    assert problem in capsys.readouterr().err


def test_one_person_s_answers_to_two_reviews_give_both_their_rates(tmp_path: Path) -> None:
    reviews = [
        Design(f"{of}-1", of, 0, [30], [0.0], [("q", str(n), 0) for n in numbers])
        for of, numbers in (("final", range(6)), ("unfiltered", range(2, 8)))
    ]
    files = []
    for design in reviews:
        said = [
            {"review": design.id, "query_id": q, "passage_id": p, "answer": "not relevant", "annotator": "ada"}
            for q, p, _ in design.items
        ]
        files.append(tmp_path / f"{design.id}.jsonl")
        files[-1].write_text("".join(json.dumps(line) + "\n" for line in said))
    assert [rate["judged"] for rate in agreement.rates(answers_of(files), reviews)] == [6, 6]


def test_several_people_are_a_majority_and_their_kappa_is_told() -> None:
    design = Design("final-1", "final", 0, [30], [0.0], [("q", str(n), 0) for n in range(10)])

    def said(name: str, values: list[float]) -> list[Answer]:
        return [Answer(("q", str(n)), value, name, "final-1") for n, value in enumerate(values)]

    answers = said("a", [1, 1, 0, 0, 0.5]) + said("b", [1, 0, 0, 0, 0]) + said("c", [1, 1])
    [rate] = agreement.rates(answers, [design])
    assert (rate["judged"], rate["relevant"], rate["unsure"]) == (5, 2, 0)
    ab, ac, bc = agreement.kappas(answers)
    assert (ab["both"], ab["agree"]) == (5, 0.6)
    assert ab["kappa"] == pytest.approx((0.6 - 0.08 - 0.32) / (1 - 0.4))  # by hand: 2/5 of 1/5, 2/5 of 4/5
    assert ac["kappa"] is None
    assert bc["kappa"] == pytest.approx(0.0)
    assert [one["passage_id"] for one in agreement.conflicts(answers)] == ["1", "4"]
