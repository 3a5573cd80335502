"""The command `audit`, on what a real job exports and on files with faults."""

import json
from pathlib import Path

import pytest

from hardneg.cli import main

EXPORTS = {
    "tuples": {"kind": "sentence_transformers", "scores": True},
    "triplets": {"kind": "sentence_transformers", "format": "triplet"},
    "pairs": {"kind": "sentence_transformers", "format": "labeled-pair"},
    "lists": {"kind": "sentence_transformers", "format": "labeled-list"},
    "flag": {"kind": "flagembedding", "scores": True},
    "tevatron": {"kind": "tevatron", "scores": True},
    "all": {"kind": "jsonl", "dropped": True},
    "nested": {"kind": "parquet", "dropped": True},
    "rerank": {"kind": "cross_encoder"},
}


def test_the_exports_of_a_job(make_job, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Nothing but short rows is found in them, and their cleaned copies are the same."""
    assert main(["run", str(make_job(changes={"exports": EXPORTS}))]) == 0
    for name in EXPORTS:
        folder = tmp_path / "runs" / "job" / "exports" / name
        [file] = [f for f in folder.iterdir() if f.name.startswith("train.")]
        out = tmp_path / f"{name}{file.suffix}"
        capsys.readouterr()
        assert main(["audit", str(file), "--clean", str(out), "--json"]) == 0
        report = json.loads(capsys.readouterr().out)
        found = {kind for kind, finding in report["findings"].items() if finding["count"]}
        assert found <= {"short_row", "duplicate_negative"}, (name, found)  # n-tuples repeat what they have
        assert report["rows"] > 1
        if file.suffix == ".jsonl":
            assert out.read_bytes() == file.read_bytes()
        else:
            import pyarrow.parquet as pq

            assert pq.read_table(out).equals(pq.read_table(file), check_metadata=True)
        assert report["clean"] | {"file": "", "removed": ""} == {
            "file": "", "removed": "", "rows": report["rows"], "rows_removed": 0, "rows_changed": 0,
            "passages_removed": 0, "relabelled": 0,
        }  # fmt: skip


ROWS = [
    {"query": "where is rome", "pos": ["rome is in italy"], "neg": ["Rome is in  italy", "paris is in france"]},
    {"query": "where is rome", "pos": ["in the region of lazio"], "neg": ["rome is in italy", "rain fell on the town"]},
]


def test_the_table_and_what_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    path, out = tmp_path / "train.jsonl", tmp_path / "clean.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    assert main(["audit", str(path), "--clean", str(out), "--relabel", "--output", str(tmp_path / "found")]) == 0
    shown = capsys.readouterr().out
    assert "2 rows, 1 queries, 2 positives, 4 negatives (rows by negatives: 2 with 2)" in shown
    assert "line 1: equal to a positive of the row" in shown
    assert "line 2: a positive of the same query in line 1" in shown
    assert "(--against and --model would tell more)" in shown
    assert "1 passages are gone, 1 relabelled" in shown
    assert "they teach the opposite" in shown
    assert json.loads((tmp_path / "found" / "audit.json").read_text())["clean"]["relabelled"] == 1
    assert main(["audit", str(path), "--clean", str(path)]) == 2
    assert "this is the file to be audited" in capsys.readouterr().err
    assert main(["audit", str(path), "--keep", "typo"]) == 2
    assert "no kind of finding `typo`" in capsys.readouterr().err


def test_hostile_texts_are_shown_as_what_they_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "train.jsonl"
    passage = "\x1b[2J [bold]gone[/bold] \u202e </script>"
    path.write_text(json.dumps({"query": "a query", "pos": [{"id": passage, "text": "one"}], "neg": [passage]}) + "\n")
    path.write_text(
        path.read_text() + json.dumps({"query": "another", "pos": [{"id": passage, "text": "two"}], "neg": ["b c d"]})
    )
    assert main(["audit", str(path)]) == 0
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert "\u202e" not in shown
    assert "[bold]" in shown


def test_score_says_where_more_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], tiny_encoder: str, monkeypatch
) -> None:
    monkeypatch.setenv("HARDNEG_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "train.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    assert main(["score", str(path), "--model", tiny_encoder, "--json"]) == 0
    printed = capsys.readouterr()
    assert "`audit FILE --model MODEL` says more" in printed.err
    assert "sets" in json.loads(printed.out)
