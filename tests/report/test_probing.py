"""The probe over a run's sets: what it says, and when it says nothing."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from support import write_data

from hardneg.cli import main
from hardneg.report import probing

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
