"""What a training file shares with evaluation sets: word for word, and by long runs of words."""

import json
from pathlib import Path

import numpy as np
import pytest

import hardneg
from hardneg.auditing import evaluation
from hardneg.auditing.case import rows
from hardneg.auditing.evaluation import EvaluationSet, Texts, runs_of
from hardneg.auditing.facts import gather
from hardneg.errors import DataError
from hardneg.files.bad_lines import BadLines
from hardneg.files.text_lines import Limits

EACH = 20


def text(rng: np.random.Generator, words: int = 40) -> str:
    return " ".join(f"w{number}" for number in rng.integers(0, 10_000, words))


def beir(folder: Path, *, judged: bool = True) -> tuple[list[str], list[str], list[str]]:
    """A BEIR folder; its queries, its answers, and passages that nobody judged."""
    rng = np.random.default_rng(7)
    queries, answers, others = ([text(rng, n) for _ in range(3 * EACH)] for n in (8, 60, 60))
    folder.mkdir()
    with (folder / "queries.jsonl").open("w") as stream:
        for number, query in enumerate([*queries, "a query to train on"]):
            stream.write(json.dumps({"_id": f"q{number}", "text": query}) + "\n")
    with (folder / "corpus.jsonl").open("w") as stream:
        for number, passage in enumerate([*answers, *others]):
            stream.write(json.dumps({"_id": f"d{number}", "title": "", "text": passage}) + "\n")
    if judged:
        (folder / "qrels").mkdir()
        lines = [f"q{number}\td{number}\t1\n" for number in range(3 * EACH)]
        (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\n" + "".join(lines))
        (folder / "qrels" / "train.tsv").write_text(f"query-id\tcorpus-id\tscore\nq{3 * EACH}\td{3 * EACH}\t1\n")
    return queries, answers, others


def test_planted_overlaps_are_found_and_nothing_else(tmp_path: Path) -> None:
    queries, answers, others = beir(tmp_path / "beir")
    rng = np.random.default_rng(0)
    rows = [{"query": text(rng, 8), "pos": [text(rng), text(rng)], "neg": [text(rng), text(rng)]} for _ in range(200)]
    rows[150]["query"] = "a query to train on"  # of the split `train`
    expected = set()
    for k in range(EACH):
        rows[k]["query"] = f" {queries[k].upper()}"
        expected.add((k + 1, "evaluation_query"))
        rows[EACH + k]["pos"][0] = answers[k] if k % 2 else f"{text(rng)} {' '.join(answers[k].split()[:40])} more"
        expected.add((EACH + k + 1, "evaluation_positive"))
        rows[2 * EACH + k]["neg"][1] = answers[EACH + k] + " and something else"
        expected.add((2 * EACH + k + 1, "evaluation_negative"))
        rows[3 * EACH + k]["neg"][0] = others[k]  # nobody judged it
        rows[4 * EACH + k]["neg"][0] = " ".join(answers[k].split()[:20]) + " " + text(rng, 40)  # 8 of 46 runs
    path, out = tmp_path / "train.jsonl", tmp_path / "clean.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    report = hardneg.audit(path, against=[tmp_path / "beir"], clean=out, output=tmp_path / "found")
    found = [json.loads(line) for line in (tmp_path / "found" / "findings.jsonl").read_text().splitlines()]
    assert {(f["line"], f["kind"]) for f in found} == expected
    [known] = report["against"]
    assert (known["splits"], known["queries"], known["answers"], known["passages"]) == (["test"], 60, 60, 120)
    assert known["equal"] == {"queries": EACH, "positives": EACH // 2, "negatives": EACH}
    left = [json.loads(line) for line in out.read_text().splitlines()]
    assert left[:EACH] == [row | {"pos": row["pos"][1:]} for row in rows[EACH : 2 * EACH]]
    assert left[EACH : 2 * EACH] == [row | {"neg": row["neg"][:1]} for row in rows[2 * EACH : 3 * EACH]]
    assert out.read_bytes().splitlines()[2 * EACH :] == path.read_bytes().splitlines()[3 * EACH :]


def test_without_judgments_everything_counts(tmp_path: Path) -> None:
    _, _, others = beir(tmp_path / "beir", judged=False)
    path = tmp_path / "train.jsonl"
    path.write_text(json.dumps({"query": "a query to train on", "pos": ["other"], "neg": [others[0]]}))
    report = hardneg.audit(path, against=[tmp_path / "beir"])
    assert [name for name, found in report["findings"].items() if found["count"]] == [
        "evaluation_query",
        "evaluation_negative",
    ]
    assert "has no judgments" in report["warnings"][0]
    with pytest.raises(DataError, match="`--against` wants BEIR folders"):
        hardneg.audit(path, against=[tmp_path / "nowhere"])


def test_what_was_found_of_passages_is_held_of_so_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    queries, answers, _ = beir(tmp_path / "beir")
    path = tmp_path / "train.jsonl"
    negatives = [*answers[:5], *queries[:5], *answers[:5]]
    path.write_text(json.dumps({"query": "a query to train on", "pos": ["other"], "neg": negatives}))
    whole = hardneg.audit(path, against=[tmp_path / "beir"])["findings"]
    monkeypatch.setattr(evaluation, "KNOWN", 3)
    assert hardneg.audit(path, against=[tmp_path / "beir"])["findings"] == whole
    assert whole["evaluation_negative"]["count"] == 10
    known, limits = EvaluationSet.read(tmp_path / "beir"), Limits()
    facts = gather(path, limits, BadLines("skip"))
    for number, (row, wrong) in enumerate(rows(path, limits, BadLines("skip"))):
        assert len(list(known.check(facts.case(number, row, wrong)))) == 10
    assert len(known.known) <= 3


def test_runs_are_contained_in_the_shorter_text() -> None:
    rng = np.random.default_rng(1)
    long, short = text(rng, 200), text(rng, 26)
    known = Texts.of({"long": long, "short": short})
    inside = " ".join(long.split()[50:70])
    assert known.like(inside, 0) == ("long", 1.0)
    assert known.like(f"{text(rng, 100)} {short}", 0) == ("short", 1.0)
    half = " ".join([*short.split()[:19], *text(rng, 30).split()])  # 7 of the 14 runs of the shorter one
    assert known.like(half, 0) == ("short", 0.5)
    assert known.like(" ".join([*short.split()[:18], *text(rng, 30).split()]), 0) is None
    assert known.like("too short", 0) is None
    assert len(runs_of(" ".join(["same"] * 40))) == 1
