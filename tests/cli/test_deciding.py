"""What a user decides by: the first lines, judgments, a query seen whole, a threshold that is applied."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from asking import said
from support import WORDS

from hardneg.cli import main
from hardneg.testing import FaultServer

MakeJob = Callable[..., Path]
DOUBT = {"scorers.doubt": {"kind": "false_negative", "encoder": WORDS}}
BY_RANKS = DOUBT | {"filters.safe": {"kind": "eci_safety", "scorer": "doubt", "calibrated": 0.9}}


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")


def output(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    assert main([str(a) for a in arguments]) == 0
    return capsys.readouterr().out


def test_the_first_line_counts_and_estimates(make_job: MakeJob, capsys) -> None:
    path = make_job(changes=BY_RANKS)
    first = output(capsys, "run", path).splitlines()[0]
    report = json.loads((path.parent / "runs/job/report.json").read_text())
    share = report["false"]["sets"]["final"]["after"]["estimated"]
    counts = report["counts"]
    assert 0 < share["low"] < share["value"] < share["high"] < 1
    assert first.startswith(f"{counts['chosen']} negatives for {counts['examples']} queries (")
    assert f"estimated false: {share['value']:.1%} ({100 * share['low']:.1f} to {100 * share['high']:.1f})" in first


def test_without_an_estimate_the_first_line_says_how_to_get_one(make_job: MakeJob, capsys) -> None:
    assert "add a scorer of kind `false_negative`" in output(capsys, "run", make_job()).splitlines()[0]


def test_judged_shares_are_those_of_the_judgments(make_job: MakeJob, capsys) -> None:
    path = make_job(changes=BY_RANKS)
    output(capsys, "run", path)
    chosen = [json.loads(line) for line in (path.parent / "runs/job/provenance.jsonl").read_text().splitlines()]
    victim = next(line for line in chosen if line["negatives"])
    false = victim["negatives"][0]["id"]
    qrels = path.parent / "more.tsv"
    qrels.write_text(f"query-id\tcorpus-id\tscore\n{victim['query_id']}\t{false}\t1\n")
    lines = output(capsys, "run", path, "--qrels", qrels).splitlines()
    total = sum(len(line["negatives"]) for line in chosen)
    assert lines[1].startswith(f"by the judgments {1 / total:.1%} are false")


def test_tune_writes_what_it_suggests_and_nothing_else(make_job: MakeJob, capsys) -> None:
    path = make_job(changes=BY_RANKS)
    path.write_text("# my job\n" + path.read_text())
    output(capsys, "run", path)
    before = path.read_text()
    found = json.loads(output(capsys, "tune", path, "--filter", "safe", "--false-negatives", "0.1", "--json"))
    threshold = found["suggestion"]["threshold"]
    assert found["suggestion"]["chosen_false"] <= 0.1
    looser = [row for row in found["rows"] if row["threshold"] > threshold]
    assert all(row["chosen_false"] > 0.1 for row in looser)
    output(capsys, "tune", path, "--filter", "safe", "--false-negatives", "0.1", "--apply")
    after = path.read_text()
    changed = [(a, b) for a, b in zip(before.splitlines(), after.splitlines(), strict=True) if a != b]
    assert len(changed) == 1
    assert "calibrated" in changed[0][1]
    assert after.startswith("# my job\n")
    report = output(capsys, "run", path)
    assert report
    share = json.loads((path.parent / "runs/job/report.json").read_text())["false"]["sets"]["final"]["after"]
    assert share["estimated"]["value"] <= 0.11


def test_show_prints_a_query_whole(make_job: MakeJob, capsys) -> None:
    path = make_job(changes=BY_RANKS)
    output(capsys, "run", path)
    [line] = [
        json.loads(line)
        for line in (path.parent / "runs/job/exports/all/train.jsonl").read_text().splitlines()
        if json.loads(line)["query_id"] == "q1-0"
    ]
    shown = output(capsys, "show", path, "--query", "q1-0")
    for passage in (*line["positives"], *line["negatives"], *line["dropped"]):
        assert passage["id"] in shown
        assert passage["text"] in " ".join(shown.split())
    assert main(["show", str(path), "--query", "nobody"]) == 2
    assert "nobody" in capsys.readouterr().err


def test_check_finds_a_folder_that_cannot_be_written(make_job: MakeJob, capsys, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    path = make_job(output=tmp_path / "file" / "run")
    assert main(["check", str(path)]) == 2
    assert str(tmp_path / "file") in capsys.readouterr().err


def test_paths_are_relative_to_the_job_and_expanded(make_job: MakeJob, capsys, tmp_path, monkeypatch) -> None:
    path = make_job(changes={"data.path": "$WHERE/data", "output": "~/out"})
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.setenv("WHERE", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path / "elsewhere"))
    monkeypatch.chdir(tmp_path / "elsewhere")
    output(capsys, "run", path)
    assert (tmp_path / "elsewhere" / "out" / "report.json").is_file()


@pytest.mark.usefixtures("fresh_answers")
def test_a_judge_on_a_sample_fits_the_level(make_job: MakeJob, capsys) -> None:
    def every_candidate_is_relevant(body) -> str:
        count = said(body).count("<candidate ")
        return json.dumps({"grades": [{"candidate": n, "grade": 3} for n in range(1, count + 1)]})

    with FaultServer(answer=every_candidate_is_relevant) as server:
        client = {"kind": "openai", "model": "any", "base_url": server.url}
        judge = {"kind": "llm_judge", "client": client, "sample": 8, "scorer": "doubt"}
        path = make_job(changes=BY_RANKS | {"scorers.opinion": judge})
        output(capsys, "run", path)
        shown = sum(said(body).count("<candidate ") for body in server.bodies)
        assert 2 <= shown <= 16, "about eight"
        before = len(server.bodies)
        found = json.loads(output(capsys, "tune", path, "--filter", "safe", "--judge", "opinion", "--json"))
        output(capsys, "tune", path, "--filter", "safe", "--judge", "opinion", "--apply")
        output(capsys, "run", path)
        assert len(server.bodies) == before, "the grades are stored, and a fitted level draws the same sample"
    assert found["level"]["spread"] < 1.5
    assert f"level: {found['level']['value']:.2f}" in path.read_text()
    assert f"spread: {found['level']['spread']:.2f}" in path.read_text()
    assert main(["tune", str(path), "--filter", "safe", "--judge", "target"]) == 2
    assert "--judge names a scorer of kind `llm_judge`" in capsys.readouterr().err
