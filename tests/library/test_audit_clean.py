"""The cleaned file: what is relabelled, which bytes stay, and that nothing takes the place of the input."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from training_files import lines_of, write

import hardneg
from hardneg.auditing.rewriting import rewrite
from hardneg.errors import DataError, PartError

KNOWN = [
    {"query": "q", "pos": ["the answer", "another answer"], "pos_scores": [0.9, 0.8], "neg": ["rain", "snow"], "neg_scores": [0.2, 0.1]},
    {"query": "Q ", "pos": ["one more answer"], "pos_scores": [0.7], "neg": ["The answer", "hail"], "neg_scores": [0.6, 0.1]},
]  # fmt: skip


def test_relabelled_negatives_are_positives_with_their_scores(tmp_path: Path) -> None:
    path, out = tmp_path / "train.jsonl", tmp_path / "clean.jsonl"
    write(path, KNOWN)
    report = hardneg.audit(path, clean=out, relabel=True)
    expected = {"query": "Q ", "pos": ["one more answer", "The answer"], "pos_scores": [0.7, 0.6], "neg": ["hail"], "neg_scores": [0.1]}  # fmt: skip
    assert lines_of(out) == [KNOWN[0], expected]
    assert (report["clean"]["relabelled"], report["clean"]["passages_removed"]) == (1, 0)
    [entry] = lines_of(Path(f"{out}.removed.jsonl"))
    assert (entry["line"], entry["removed"], entry["text"]) == (2, "relabelled", "The answer")
    assert entry["reasons"] == [{"kind": "known_positive", "reason": "a positive of the same query in line 1"}]


def test_a_label_is_turned_and_what_has_no_room_is_dropped(tmp_path: Path) -> None:
    listed = [
        {"anchor": "q", "positive": ["yes", "rain", "snow"], "labels": [1, 0, 0]},
        {"anchor": "q", "positive": ["also", "yes", "hail"], "labels": [1, 0, 0]},
    ]
    path, out = tmp_path / "train.jsonl", tmp_path / "clean.jsonl"
    write(path, listed)
    hardneg.audit(path, clean=out, relabel=True)
    assert lines_of(out) == [listed[0], listed[1] | {"labels": [1, 1, 0]}]
    triplets = [
        {"anchor": "q", "positive": "yes", "negative": "rain"},
        {"anchor": "q", "positive": "also", "negative": "yes"},
    ]
    write(path, triplets)
    report = hardneg.audit(path, clean=out, relabel=True)
    assert lines_of(out) == triplets[:1]
    assert (report["clean"]["rows_removed"], report["clean"]["relabelled"]) == (1, 0)
    pairs = [
        {"sentence1": "a query", "passage": "yes", "label": 1},
        {"sentence1": "a query", "passage": "YES", "label": 0},
        {"sentence1": "a query", "passage": "rain", "label": 0},
    ]
    write(path, pairs)
    report = hardneg.audit(path, clean=out)
    assert lines_of(out) == [pairs[0], pairs[2]]
    assert {name for name, found in report["findings"].items() if found["count"]} == {"known_positive"}


def test_bytes_of_lines_left_alone_whatever_they_are(tmp_path: Path) -> None:
    """A byte order mark, blank lines, other line endings, odd spacing, escapes, no last line feed, broken lines."""
    first = b'\xef\xbb\xbf{ "query":"a","pos" : ["\\u00e9 one"], "neg": ["n  1" ], "w": 1.50e-7 }\r\n'
    broken = b'{"query": "b", "pos": ["p"], \r\n'
    bytes_ = b'{"query": "c", "pos": ["p"], "neg": ["\xff"]}\n'
    changed = '{"query":"é","pos":["p four"],"neg":["P Four","n 4"]}\r\n'.encode()
    last = '{"query": "ü", "pos": ["p 5"], "neg": ["n 5"]}'.encode()
    path, out = tmp_path / "train.jsonl", tmp_path / "clean.jsonl"
    path.write_bytes(first + b"\n" + broken + bytes_ + b"  \r\n" + changed + last)
    report = hardneg.audit(path, clean=out)
    assert out.read_bytes() == first + b"\n" + b"  \r\n" + changed.replace(b'"P Four",', b"") + last
    found = report["findings"]["unreadable"]
    assert [(case["line"], case["reason"][:11]) for case in found["cases"]] == [(3, "broken JSON"), (4, "byte 39 of ")]
    raw = [entry["raw"] for entry in lines_of(Path(f"{out}.removed.jsonl")) if "raw" in entry]
    assert raw[0] == broken.decode().strip("\r\n")
    assert (report["rows"], report["clean"]["rows"]) == (5, 3)
    kept = hardneg.audit(path, clean=out, keep=["unreadable", "same_as_positive"])
    assert out.read_bytes() == path.read_bytes()
    assert kept["clean"]["rows_changed"] == kept["clean"]["rows_removed"] == 0


def test_what_parquet_holds_beside_stays_as_it_is(tmp_path: Path) -> None:
    text = pa.array([[{"id": "1", "text": t}] for t in ("a b", "c d", "e f")])
    table = pa.table(
        {
            "query": ["q1", "q2", "q3"],
            "positives": text,
            "negatives": pa.array([[{"id": "7", "text": "n"}], [{"id": "8", "text": "C D"}, {"id": "9", "text": "m"}], [{"id": "6", "text": "o"}]]),
            "neg_scores": pa.array([[0.1], [0.2, 0.3], [0.4]], pa.list_(pa.float32())),
            "at": pa.array([1, 2, 3], pa.timestamp("ns")),
            "kind": pa.array(["x", "y", None]).dictionary_encode(),
            "half": pa.array(np.array([1.5, 2.5, 3.5], np.float16)),
        },
        metadata={"made": "by hand"},
    )  # fmt: skip
    path, out = tmp_path / "train.parquet", tmp_path / "clean.parquet"
    pq.write_table(table, path)
    report = hardneg.audit(path, clean=out)
    new, old = pq.read_table(out), pq.read_table(path)
    assert new.schema.equals(old.schema, check_metadata=True)
    assert new.drop_columns(["negatives", "neg_scores"]).equals(old.drop_columns(["negatives", "neg_scores"]))
    assert new["negatives"].to_pylist()[1] == [{"id": "9", "text": "m"}]
    assert new["neg_scores"].to_pylist()[1] == pytest.approx([0.3])
    assert report["findings"]["reused_id"]["count"] == 3


def test_nothing_takes_the_place_of_the_input(tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    write(path, KNOWN)
    before = path.read_bytes()
    link = tmp_path / "link.jsonl"
    link.symlink_to(path)
    other = tmp_path / "a.jsonl.removed.jsonl"
    other.write_bytes(before)
    for file, options in (
        (path, {"clean": path}),
        (path, {"clean": link}),
        (other, {"clean": tmp_path / "a.jsonl"}),
    ):
        with pytest.raises(DataError, match="this is the file to be audited"):
            hardneg.audit(file, **options)
    with pytest.raises(DataError, match=r"let its name end in \.jsonl"):
        hardneg.audit(path, clean=tmp_path / "clean.parquet")
    (tmp_path / "run.trec").write_text("q Q0 d 1 0.5 tag\n")
    with pytest.raises(DataError, match="a TREC run holds ids and no texts"):
        hardneg.audit(tmp_path / "run.trec")
    (tmp_path / "none.jsonl").write_text('{"a": 1}\n')
    with pytest.raises(DataError, match=r"none\.jsonl:1: the key `query` is missing"):
        hardneg.audit(tmp_path / "none.jsonl")
    for options, said in (
        ({"also": ["shor_text"]}, "no kind of finding `shor_text`: did you mean `short_text`"),
        ({"also": ["short_row"], "keep": ["short_row"]}, "named in both"),
        ({"relabel": True}, "give `clean` too"),
        ({"short": "pad"}, "`repeat` or `drop`"),
    ):
        with pytest.raises(PartError, match=said):
            hardneg.audit(path, **options)
    assert path.read_bytes() == before
    write(tmp_path / "set", KNOWN)
    for clean, said in ((tmp_path / "set" / "in", "lies in it"), (tmp_path, "the folder to be audited lies in it")):
        with pytest.raises(DataError, match=said):
            hardneg.audit(tmp_path / "set", clean=clean)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep")
    with pytest.raises(DataError, match="no folder saved by `datasets`"):
        hardneg.audit(tmp_path / "set", clean=tmp_path / "mine")
    assert (tmp_path / "mine" / "notes.txt").read_text() == "keep"


def strict(text: str) -> None:
    raise AssertionError(f"{text} is no JSON")


def test_the_list_of_what_went_is_json_that_any_reader_takes(tmp_path: Path) -> None:
    path, out = tmp_path / "train.jsonl", tmp_path / "clean.jsonl"
    path.write_text(
        '{"anchor": "q", "positive": "yes", "negative": "rain", "score": NaN, "more": {"at": [1, -Infinity]}}\n'
        '{"anchor": "r", "positive": "also", "negative": "hail", "score": 0.5}\n'
    )
    hardneg.audit(path, clean=out, output=tmp_path / "found")
    [line] = Path(f"{out}.removed.jsonl").read_text().splitlines()
    entry = json.loads(line, parse_constant=strict)
    assert (entry["record"]["score"], entry["record"]["more"]) == ("nan", {"at": [1, "-inf"]})
    for line in (tmp_path / "found" / "findings.jsonl").read_text().splitlines():
        json.loads(line, parse_constant=strict)


def test_of_equal_rows_one_with_finite_scores_stays(tmp_path: Path) -> None:
    path, out = tmp_path / "train.jsonl", tmp_path / "clean.jsonl"
    row = {"anchor": "q", "positive": "yes", "negative": "rain", "score": 0.5}
    other = {"anchor": "r", "positive": "also", "negative": "hail", "score": 0.5}
    bad = json.dumps(row | {"score": float("nan")}) + "\n"
    good = json.dumps(row) + "\n" + json.dumps(other) + "\n"
    for text in (bad + good, bad + bad + good, bad + good + bad + json.dumps(row) + "\n"):
        path.write_text(text)
        hardneg.audit(path, clean=out)
        assert lines_of(out) == [row, other]
    path.write_text(bad + bad)
    report = hardneg.audit(path, clean=out)
    assert report["findings"]["duplicate_row"]["count"] == 1
    assert lines_of(out) == []


@pytest.mark.parametrize("name", ["corpus.jsonl", "qrels/dev.tsv"])
def test_nothing_takes_the_place_of_an_evaluation_set(tmp_path: Path, name: str) -> None:
    known = tmp_path / "known"
    (known / "qrels").mkdir(parents=True)
    write(known / "queries.jsonl", [{"_id": "q", "text": "a question"}])
    write(known / "corpus.jsonl", [{"_id": "d", "title": "", "text": "an answer"}])
    (known / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq\td\t1\n")
    rows = [{"anchor": "q", "positive": "yes", "negative": "rain"}]
    path = tmp_path / f"train{Path(name).suffix}"
    path.write_text("anchor\tpositive\tnegative\nq\tyes\train\n") if path.suffix == ".tsv" else write(path, rows)
    before = {file: file.read_bytes() for file in known.rglob("*") if file.is_file()}
    (tmp_path / "link").symlink_to(known)
    for options in ({"clean": known / name}, {"clean": tmp_path / "link" / name}, {"output": known}):
        with pytest.raises(DataError, match=r"this is the folder of an evaluation set, or lies in it"):
            hardneg.audit(path, against=[known], **options)
    assert {file: file.read_bytes() for file in known.rglob("*") if file.is_file()} == before
    hardneg.audit(path, against=[known], clean=tmp_path / f"clean{path.suffix}", output=tmp_path / "found")


def test_a_file_that_changes_while_it_is_cleaned_gives_no_clean_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, out = tmp_path / "train.jsonl", tmp_path / "clean.jsonl"
    write(path, KNOWN)
    out.write_text("the old one")

    def changed(*arguments: Any) -> None:
        with path.open("a") as stream:
            stream.write('{"query": "q"')
        rewrite(*arguments)

    monkeypatch.setattr("hardneg.library.audit.rewrite", changed)
    with pytest.raises(DataError, match="changed while it was read"):
        hardneg.audit(path, clean=out)
    assert out.read_text() == "the old one"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["clean.jsonl", "train.jsonl"]


def test_a_disk_that_is_full_leaves_what_was_there(tmp_path: Path) -> None:
    import resource
    import signal

    path, out = tmp_path / "train.jsonl", tmp_path / "clean.jsonl"
    write(path, KNOWN * 2_000)
    out.write_text("the old one")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    old = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
    try:
        with pytest.raises(hardneg.StoreError, match="cannot be written"):
            hardneg.audit(path, clean=out, keep=["duplicate_row"])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, old)
    assert out.read_text() == "the old one"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["clean.jsonl", "train.jsonl"]
