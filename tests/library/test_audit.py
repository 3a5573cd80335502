"""An audit finds what was planted, all of it and nothing else; the cleaned file lacks that and nothing else."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from training_files import (
    EACH,
    EVERYWHERE,
    IN_LISTS,
    WIDTH,
    WORDS,
    Row,
    Texts,
    contents,
    copies_last,
    flag,
    labelled_list,
    lines_of,
    n_tuple,
    planted,
    read,
    read_bytes,
    tell,
    tevatron,
    write,
    write_bytes,
)

import hardneg
from hardneg.testing import HashedWords


def audited(path: Path, tmp_path: Path, **options: Any) -> tuple[dict[str, Any], set[tuple[int, str]]]:
    """The report, and line and kind of every finding."""
    report = hardneg.audit(path, output=tmp_path / "found", **options)
    found = [json.loads(line) for line in (tmp_path / "found" / "findings.jsonl").read_text().splitlines()]
    counts = Counter(finding["kind"] for finding in found)
    assert {name: f["count"] for name, f in report["findings"].items() if f["count"]} == counts
    assert json.loads((tmp_path / "found" / "audit.json").read_text()) == report
    return report, {(finding["line"], finding["kind"]) for finding in found}


@pytest.mark.parametrize(
    ("shape", "ending"), [(flag, ".jsonl"), (tevatron, ".jsonl.gz"), (labelled_list, ".jsonl.zst")]
)
def test_planted_faults_in_lists(tmp_path: Path, shape: Callable[[Row], dict[str, Any]], ending: str) -> None:
    kinds = IN_LISTS if shape is labelled_list else (*IN_LISTS, "nonfinite_score")
    rows = planted(kinds)
    copies_last(rows)
    lines = [json.dumps(shape(row), ensure_ascii=False).encode() + b"\n" for row in rows]
    path, out = tmp_path / f"train{ending}", tmp_path / f"clean{ending}"
    write_bytes(path, b"".join(lines))
    before = path.read_bytes()
    report, found = audited(path, tmp_path, clean=out)
    assert found == tell(rows)
    assert {name: report["findings"][name]["count"] for name in kinds} == dict.fromkeys(kinds, EACH)
    assert all(len(report["findings"][name]["cases"]) == EACH for name in kinds)
    assert path.read_bytes() == before

    cleaned_lines = read_bytes(out).splitlines(keepends=True)
    expected = [line for line, row in zip(lines, rows, strict=True) if not row.row_goes]
    kept = [row for row in rows if not row.row_goes]
    assert len(cleaned_lines) == len(expected)
    for row, line, old in zip(kept, cleaned_lines, expected, strict=True):
        if not row.gone:
            assert line == old  # byte by byte
            continue
        left = Row(
            row.query, row.pos, *([v for k, v in enumerate(own) if k not in row.gone] for own in (row.neg, row.scores))
        )
        assert json.loads(line) == shape(left)
    removed = [json.loads(line) for line in Path(f"{out}.removed.jsonl").read_text().splitlines()]
    assert Counter(r["removed"] for r in removed) == {
        "row": sum(row.row_goes for row in rows), "negative": sum(len(row.gone) for row in rows)
    }  # fmt: skip
    assert {(r["line"], r["reasons"][0]["kind"]) for r in removed} == {
        (line, row.kinds[0]) for line, row in enumerate(rows, 1) if row.row_goes or row.gone
    }
    again, _ = audited(out, tmp_path)
    assert not any(f["count"] for f in again["findings"].values() if f["refused"])


@pytest.mark.parametrize("ending", [".jsonl", ".parquet", ".csv", ""])
def test_planted_faults_in_n_tuples(tmp_path: Path, ending: str) -> None:
    kinds = (*EVERYWHERE, "duplicate_negative", *(() if ending == ".csv" else ("nonfinite_score",)))
    rows = planted(kinds)
    records = [n_tuple(row) | {"extra": f"é {number}"} for number, row in enumerate(rows)]
    if ending == ".csv":
        records = [{key: value for key, value in record.items() if key != "scores"} for record in records]
    path, out = tmp_path / f"train{ending}", tmp_path / f"clean{ending}"
    write(path, records)
    before = contents(path)
    report, found = audited(path, tmp_path, clean=out)
    assert {(line - (ending == ".csv"), kind) for line, kind in found} == tell(rows)
    assert not report["findings"]["duplicate_negative"]["refused"]  # another would be repeated
    assert contents(path) == before
    old, new = read(path), read(out)
    kept = [number for number, row in enumerate(rows) if not row.row_goes]
    assert len(new) == len(kept)
    for number, record in zip(kept, new, strict=True):
        row = rows[number]
        if not row.gone or row.kinds == ["duplicate_negative"]:
            assert repr(record) == repr(old[number])
            continue
        stays = next(k for k in range(WIDTH) if k not in row.gone)
        expected = dict(old[number])
        for k in row.gone:
            expected[f"negative_{k + 1}"] = old[number][f"negative_{stays + 1}"]
        if "scores" in expected:
            expected["scores"] = [
                expected["scores"][0 if k == 0 else (stays + 1 if k - 1 in row.gone else k)] for k in range(WIDTH + 1)
            ]
        assert record == expected
    if ending in (".jsonl", ".csv"):
        untouched = path.read_bytes().splitlines(keepends=True)
        assert set(out.read_bytes().splitlines(keepends=True)[: 1 if ending == ".csv" else 0]) <= set(untouched)
        clean = [k + (ending == ".csv") for k, row in enumerate(rows) if not row.kinds]
        assert {untouched[k] for k in clean} <= set(out.read_bytes().splitlines(keepends=True))
    if ending == ".parquet":
        assert pq.read_schema(out).equals(pq.read_schema(path), check_metadata=True)
        assert pq.ParquetFile(out).metadata.row_group(0).column(0).compression == "ZSTD"
    if not ending:
        import datasets

        assert datasets.load_from_disk(str(out)).features == datasets.load_from_disk(str(path)).features
    dropped = hardneg.audit(path, clean=out, short="drop")
    assert dropped["clean"]["rows"] == sum(not row.kinds or row.kinds[0] in {"short_text", "long_text"} for row in rows)


def test_a_model_finds_likely_answers_and_scores_beside_a_control(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    topics = [" ".join(rng.choice(WORDS, 6, replace=False)) for _ in range(60)]
    rows = []
    for number, topic in enumerate(topics):
        others = [f"about {topics[(number + k) % 60]} and {k}" for k in (1, 2, 3)]
        rows.append({"query": f"what of {topic}", "pos": [f"{topic} is known {number}"], "neg": others})
    for number in range(10):
        rows[number]["neg"][1] = f"it is known that {topics[number]} is so {number}"
    path, out = tmp_path / "train.jsonl", tmp_path / "clean.jsonl"
    write(path, rows)
    report, found = audited(path, tmp_path, model=HashedWords(), clean=out, cache=tmp_path / "cache")
    likely = {line for line, kind in found if kind == "likely_answer"}
    assert likely >= set(range(1, 11))
    cases = report["findings"]["likely_answer"]["cases"]
    assert [case["value"] for case in cases] == sorted((case["value"] for case in cases), reverse=True)
    assert {case["line"] for case in cases[:10]} == set(range(1, 11))
    assert not any("it is known" in text for row in lines_of(out) for text in row["neg"])
    model = report["model"]
    assert (model["name"], model["passages"], set(model["sets"])) == ("HashedWords", 240, {"file", "random"})
    assert model["sets"]["file"]["before"]["size"] == 3
    assert model["false"]["sets"]["file"]["before"]["estimated"]["value"] > 0
    assert any("ranks among so few" in warning for warning in report["warnings"])
    assert set(report["shortcut"]) == {"positives", "negatives", "surface", "geometry"}


def test_positives_of_another_voice_are_a_shortcut(tmp_path: Path) -> None:
    text = Texts()
    rows = [{"query": text(5), "pos": [f"Yes! {text(5)}, OK."], "neg": [text(30), text(30)]} for _ in range(40)]
    path = tmp_path / "train.jsonl"
    write(path, rows)
    report = hardneg.audit(path)
    assert report["shortcut"]["surface"]["auc"] > 0.95
    assert "tells positives from negatives by their surface" in report["warnings"][0]


def test_a_score_that_no_float_holds_is_found(tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    scores = ("1" + "0" * 400, "-1e999", "0.5")
    line = '{{"query": "a query", "pos": ["p one"], "neg": ["n {}", "m"], "neg_scores": [{}, 0]}}\n'
    lines = [line.format(*pair) for pair in enumerate(scores)]
    path.write_text("".join(lines))
    found = hardneg.audit(path)["findings"]["nonfinite_score"]
    assert [(case["line"], case["place"]) for case in found["cases"]] == [(1, 0), (2, 0)]


def test_the_report_has_the_same_keys_whatever_was_found(tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    write(path, [{"query": "q", "pos": ["a b c"], "neg": ["d e f"]}])
    bare = hardneg.audit(path)
    write(tmp_path / "bad.jsonl", [{"query": "q", "pos": ["a b c"], "neg": ["A B c", "d"]}])
    other = hardneg.audit(tmp_path / "bad.jsonl", clean=tmp_path / "clean.jsonl")
    assert bare.keys() == other.keys()
    assert bare["findings"].keys() == other["findings"].keys()
    assert not bare["findings"]["likely_answer"]["checked"]
    json.dumps(other, allow_nan=False)
