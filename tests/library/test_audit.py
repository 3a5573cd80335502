"""An audit finds what was planted, all of it and nothing else; the cleaned file lacks that and nothing else."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import hardneg
from hardneg.data.corpus import content_hash
from hardneg.errors import DataError, PartError
from hardneg.testing import HashedWords

EACH, WIDTH, CLEAN = 20, 4, 60
WORDS = [f"word{number}" for number in range(400)]


@dataclass
class Row:
    """One row, the kinds that are planted in it, and what is to be left of it (None: nothing)."""

    query: str
    pos: list[str]
    neg: list[str]
    scores: list[float]
    kinds: list[str] = field(default_factory=list)
    gone: list[int] = field(default_factory=list)
    """The negatives that go."""
    row_goes: bool = False


class Texts:
    def __init__(self) -> None:
        self.rng, self.made = np.random.default_rng(0), 0

    def __call__(self, length: int = 25) -> str:
        self.made += 1
        return " ".join([*self.rng.choice(WORDS, length), f"text{self.made}"])


def clean_row(text: Texts) -> Row:
    return Row(text(8), [text()], [text() for _ in range(WIDTH)], [0.5] * WIDTH)


def near(text: str) -> str:
    """The text with one more word: of a long one nearly all runs of three words stay."""
    return text + " more"


def planted(kinds: tuple[str, ...]) -> list[Row]:
    """Rows without a fault, and `EACH` rows with each fault, mixed."""
    text = Texts()
    rows = [clean_row(text) for _ in range(CLEAN)]
    for kind in kinds:
        for number in range(EACH):
            row = clean_row(text)
            place = number % WIDTH
            row.kinds = [kind]
            if kind == "same_as_positive":
                row.neg[place] = row.pos[0].upper() + " "
            elif kind == "near_positive":
                row.pos = [text(80)]
                row.neg[place] = near(row.pos[0])
            elif kind == "same_as_query":
                row.neg[place] = row.query.title()
            elif kind == "near_query":
                row.query = text(80)
                row.neg[place] = near(row.query)
            elif kind == "empty_text":
                row.neg[place] = "  "
            elif kind == "nonfinite_score":
                row.scores[place] = (float("nan"), float("inf"), float("-inf"))[number % 3]
            elif kind == "known_positive":
                other = clean_row(text)
                other.query = row.query
                row.neg[place] = other.pos[0]
                rows.append(other)
            elif kind == "duplicate_negative":
                place = 1 + number % (WIDTH - 1)
                row.neg[place] = row.neg[place - 1]
            elif kind == "duplicate_row":
                rows.append(Row(row.query, row.pos, row.neg, row.scores))
            elif kind == "empty_query":
                row.query = " "
            elif kind == "short_text":
                row.neg[place] = "ok"[: number % 2 + 1] + " ."
            elif kind == "long_text":
                row.neg[place] = f"long{number} " + "x" * 32_000
            elif kind == "short_row":
                row.neg, row.scores = row.neg[:-1], row.scores[:-1]
            elif kind == "no_negatives":
                row.neg, row.scores = [], []
            elif kind == "no_positive":
                row.pos = []
            row.row_goes = kind in {"duplicate_row", "empty_query", "no_negatives", "no_positive"}
            if not row.row_goes and kind not in {"short_row", "long_text", "short_text"}:
                row.gone = [place]
            rows.append(row)
    order = np.random.default_rng(1).permutation(len(rows))
    return [rows[int(i)] for i in order]


EVERYWHERE = (
    "same_as_positive", "near_positive", "same_as_query", "near_query", "empty_text", "known_positive",
    "empty_query", "short_text", "long_text",
)  # fmt: skip
IN_LISTS = (*EVERYWHERE, "duplicate_negative", "duplicate_row", "short_row", "no_negatives", "no_positive")


def flag(row: Row) -> dict[str, Any]:
    return {"query": row.query, "pos": row.pos, "neg": row.neg, "neg_scores": row.scores, "type": "normal"}


def tevatron(row: Row) -> dict[str, Any]:
    passages = [
        {"docid": f"d{content_hash(text)}", "text": text, "score": s}
        for text, s in zip(row.neg, row.scores, strict=True)
    ]
    return {
        "query_id": "q" + row.query,
        "query": row.query,
        "positive_passages": [{"title": "", "text": t} for t in row.pos],
        "negative_passages": passages,
    }


def labelled_list(row: Row) -> dict[str, Any]:
    return {"anchor": row.query, "positive": [*row.pos, *row.neg], "labels": [1] * len(row.pos) + [0] * len(row.neg)}


def n_tuple(row: Row) -> dict[str, Any]:
    negatives = {f"negative_{k + 1}": text for k, text in enumerate(row.neg)}
    return {"anchor": row.query, "positive": row.pos[0]} | negatives | {"scores": [0.9, *row.scores]}


def tell(rows: list[Row]) -> set[tuple[int, str]]:
    """Line and kind of everything that is planted."""
    return {(line, kind) for line, row in enumerate(rows, 1) for kind in row.kinds}


def copies_last(rows: list[Row]) -> None:
    """Of two equal rows the later one is the copy."""
    seen: dict[str, Row] = {}
    for row in rows:
        first = seen.setdefault(repr((row.query, row.pos, row.neg)), row)
        if first is not row and first.kinds == ["duplicate_row"]:
            first.kinds, first.row_goes, row.kinds, row.row_goes = [], False, ["duplicate_row"], True


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


def write_bytes(path: Path, data: bytes) -> None:
    with pa.output_stream(str(path)) as stream:  # compressed by the ending
        stream.write(data)


def read_bytes(path: Path) -> bytes:
    with pa.input_stream(str(path)) as stream:
        return stream.read()


def write(path: Path, records: list[dict[str, Any]]) -> None:
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(record) + "\n" for record in records))
    elif path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(records), path, row_group_size=100, compression="zstd")
    elif path.suffix == ".csv":
        text = io.StringIO()
        writer = csv.DictWriter(text, list(records[0]), lineterminator="\r\n", quoting=csv.QUOTE_ALL)
        writer.writeheader()
        writer.writerows(records)
        path.write_bytes(text.getvalue().encode())
    else:
        import datasets

        datasets.Dataset.from_list(records).save_to_disk(str(path))


def contents(path: Path) -> list[bytes]:
    return [file.read_bytes() for file in sorted(path.rglob("*"))] if path.is_dir() else [path.read_bytes()]


def read(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text().splitlines()]
    if path.suffix == ".parquet":
        return pq.read_table(path).to_pylist()
    if path.suffix == ".csv":
        return list(csv.DictReader(io.StringIO(path.read_bytes().decode(), newline="")))
    import datasets

    return [dict(record) for record in datasets.load_from_disk(str(path))]


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


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


def test_the_report_has_the_same_keys_whatever_was_found(tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    write(path, [{"query": "q", "pos": ["a b c"], "neg": ["d e f"]}])
    bare = hardneg.audit(path)
    write(tmp_path / "bad.jsonl", KNOWN)
    other = hardneg.audit(tmp_path / "bad.jsonl", clean=tmp_path / "clean.jsonl")
    assert bare.keys() == other.keys()
    assert bare["findings"].keys() == other["findings"].keys()
    assert not bare["findings"]["likely_answer"]["checked"]
    json.dumps(other, allow_nan=False)
