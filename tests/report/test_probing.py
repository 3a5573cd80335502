"""The probe over a run's sets: what it says, and when it says nothing."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from support import write_data

from hardneg.cli import main
from hardneg.probe import Difference
from hardneg.report import probing
from hardneg.report.views import Views
from hardneg.testing import HashedWords

MakeJob = Callable[..., Path]


def report_of(path: Path) -> dict:
    assert main(["run", str(path)]) == 0
    return json.loads((path.parent / "runs/job/report.json").read_text())


def test_few_queries_decide_nothing(make_job: MakeJob, capsys: pytest.CaptureFixture[str]) -> None:
    report = report_of(make_job(changes={"eci.probe": True}))
    assert "probe" not in report
    assert report["decision"]["set"] is None
    assert "the probe needs 1,000 queries, these are 3" in " ".join(capsys.readouterr().out.split())


def test_many_queries_get_a_set_to_train_on(make_job: MakeJob, capsys, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(probing, "FEWEST", 50)
    write_data(tmp_path / "data", copies=20)
    report = report_of(make_job(changes={"eci.probe": True}))
    scores = {name: found["score"] for name, found in report["probe"]["sets"].items()}
    assert {"final", "lexical", "semantic", "easy", "unfiltered"} <= scores.keys()
    decision = report["decision"]
    assert decision["set"] in scores.keys() - {"easy"}
    assert decision["line"].startswith(f"train on: {decision['set']}. Next best: {decision['next']} (probe ")
    assert decision["line"] in " ".join(capsys.readouterr().out.split())
    for found in report["probe"]["sets"].values():
        assert found["interval"][0] <= found["score"] <= found["interval"][1]
    assert min(found["below_best"] for found in report["probe"]["sets"].values()) == 0


def test_the_advice_names_its_evidence_and_the_loss_counts(make_job: MakeJob, capsys, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(probing, "FEWEST", 50)
    write_data(tmp_path / "data", copies=20)
    report = report_of(make_job(changes={"eci.probe": True, "eci.loss": "own"}))
    printed = " ".join(capsys.readouterr().out.split())
    assert probing.EVIDENCE in printed
    shared = report_of(make_job(changes={"eci.probe": True}))
    assert shared["probe"] != report["probe"], "the probe trains with the loss that is named"


def test_runs_are_compared_by_the_probe_of_their_final_sets(make_job: MakeJob, capsys, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(probing, "FEWEST", 50)
    write_data(tmp_path / "data", copies=20)
    hard, easy = make_job("hard"), make_job("easy", changes={"select.per_query": 1})
    for path in (hard, easy):
        assert main(["run", str(path)]) == 0
    capsys.readouterr()
    assert main(["compare", str(hard), str(easy), "--probe", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["run"] for row in rows] == [str(hard), str(easy)]
    assert rows[0]["less_than_best"]["value"] == 0
    assert rows[1]["less_than_best"]["value"] < 0
    assert rows[0]["score"] > rows[1]["score"]
    assert main(["compare", str(hard), str(easy)]) == 0, "jobs stand for their output folders"
    write_data(tmp_path / "more", copies=21)
    other = make_job("other", data=tmp_path / "more")
    assert main(["run", str(other)]) == 0
    capsys.readouterr()
    assert main(["compare", str(hard), str(other), "--probe"]) == 2
    assert f"{other}: the queries and positives are not those of the first run" in capsys.readouterr().err
    folders = [str(path.parent / "runs" / path.stem) for path in (hard, easy)]
    assert main(["compare", *folders, "--probe", "--json"]) == 0, "folders stand for their jobs"
    assert [row | {"run": None} for row in json.loads(capsys.readouterr().out)] == [row | {"run": None} for row in rows]
    assert main(["compare", str(tmp_path), "--probe"]) == 2
    assert "is not the folder of a finished run" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("second", "gap", "word"),
    [
        ("lexical", Difference(-0.001, -0.01, 0.01), ", lexical is cheaper to make"),
        ("unfiltered", Difference(-0.001, -0.01, 0.01), ", unfiltered is cheaper to make"),
        ("lexical", Difference(-0.02, -0.03, -0.01), ""),
    ],
)
def test_where_nothing_separates_two_sets_the_cheaper_is_named(second: str, gap: Difference, word: str) -> None:
    found = probing.Probing(HashedWords(), Views(("lexical", "semantic", "easy"), frozenset({"easy"})), "target", 7, 0)
    assert found._cheaper("final", second, gap) == word
