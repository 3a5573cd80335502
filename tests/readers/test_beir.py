"""BEIR folders as people have them, and every way in which one can be wrong."""

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pytest

from hardneg.cache.folders import Cache
from hardneg.data import corpus
from hardneg.data.records import Example
from hardneg.errors import DataError
from hardneg.readers.beir import BEIR

CORPUS = [
    {"_id": "d1", "title": "T", "text": "one"},
    {"_id": "d2", "text": "two"},
    {"_id": "d3", "title": "", "text": " "},
]
QUERIES = [{"_id": "q1", "text": "first"}, {"_id": "q2", "text": "second"}, {"_id": "q3", "text": "third"}]
QRELS = [("q1", "d1", 2), ("q1", "d2", 1), ("q2", "d2", 0)]


def write(folder: Path, passages: list = CORPUS, queries: list = QUERIES, qrels: list = QRELS) -> BEIR:
    (folder / "qrels").mkdir(parents=True)
    (folder / "corpus.jsonl").write_text("".join(json.dumps(p) + "\n" for p in passages))
    (folder / "queries.jsonl").write_text("".join(json.dumps(q) + "\n" for q in queries))
    lines = ["query-id\tcorpus-id\tscore", *("\t".join(map(str, line)) for line in qrels)]
    (folder / "qrels" / "train.tsv").write_text("\n".join(lines) + "\n")
    return BEIR(path=folder)


def read(reader: BEIR, cache: Path) -> tuple[list[Example], dict[str, int]]:
    built = corpus.build(Cache(cache), reader.passages())
    examples, skipped = [], dict(built.skipped)
    for found in reader.examples(built.corpus, built.empty):
        if found.item is not None:
            examples.append(found.item)
        else:
            skipped[found.skipped] = skipped.get(found.skipped, 0) + 1
    return examples, skipped


def test_positives_and_what_is_left_out(tmp_path: Path) -> None:
    examples, skipped = read(write(tmp_path / "data"), tmp_path / "cache")
    assert examples == [Example("q1", "first", ("d1", "d2"))]
    assert skipped == {
        "passage without text": 1,
        "query without a positive": 1,
        "query without a judgment in this split": 1,
        "judgment below `min_grade`": 1,
    }


def test_minimum_grade(tmp_path: Path) -> None:
    write(tmp_path / "data")
    assert read(BEIR(path=tmp_path / "data", min_grade=2), tmp_path / "cache")[0] == [Example("q1", "first", ("d1",))]


def test_a_query_whose_positives_are_empty_is_counted(tmp_path: Path) -> None:
    reader = write(tmp_path / "data", qrels=[*QRELS, ("q3", "d3", 1)])
    assert read(reader, tmp_path / "cache")[1]["query whose positives have no text"] == 1


@pytest.mark.parametrize("ending", [".gz", ".zst"])
def test_compressed(tmp_path: Path, ending: str) -> None:
    plain = read(write(tmp_path / "data"), tmp_path / "cache")
    for file in [*(tmp_path / "data").glob("*.jsonl"), *(tmp_path / "data" / "qrels").glob("*.tsv")]:
        packed = file.with_name(file.name + ending)
        if ending == ".gz":
            packed.write_bytes(gzip.compress(file.read_bytes()))
        else:
            packed.write_bytes(pa.compress(file.read_bytes(), codec="zstd", asbytes=True))
        file.unlink()
    assert read(BEIR(path=tmp_path / "data"), tmp_path / "cache") == plain


def test_byte_order_mark_and_windows_lines(tmp_path: Path) -> None:
    plain = read(write(tmp_path / "data"), tmp_path / "cache")
    for file in [*(tmp_path / "data").glob("*.jsonl"), *(tmp_path / "data" / "qrels").glob("*.tsv")]:
        file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes().replace(b"\n", b"\r\n"))
    assert read(BEIR(path=tmp_path / "data"), tmp_path / "cache") == plain


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"passages": [*CORPUS, CORPUS[0]]}, r"corpus.jsonl:4: passage id `d1` already appears on line 1"),
        ({"queries": [*QUERIES, QUERIES[0]]}, r"queries.jsonl:4: query id `q1` already appears on line 1"),
        (
            {"queries": [{"_id": "q1", "text": " \t"}, *QUERIES[1:]]},
            r"queries.jsonl:1: the text of query `q1` is empty",
        ),
        ({"queries": [{"_id": "q1"}]}, r"queries.jsonl:1: the key `text` is missing; the line has: _id"),
        ({"queries": [{"_id": "q1", "text": ["a"]}]}, r"queries.jsonl:1: `text` must be a string, not list"),
        ({"qrels": [("q9", "d1", 1)]}, r"train.tsv:2: query id `q9` is not in queries.jsonl"),
        ({"qrels": [("q1", "d9", 1)]}, r"train.tsv:2: corpus id `d9` is not in corpus.jsonl"),
        (
            {"qrels": [("q1", "d1", 1), ("q1", "d1", 2)]},
            r"train.tsv:3: passage `d1` has two grades for query `q1`: 1, 2",
        ),
        ({"qrels": [("q1", "d1", "high")]}, r"train.tsv:2: expected query-id, corpus-id and a whole number"),
        ({"qrels": [("q1", "d1")]}, r"train.tsv:2: expected query-id, corpus-id and a whole number"),
    ],
)
def test_errors_name_the_place(tmp_path: Path, change: dict, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(write(tmp_path / "data", **change), tmp_path / "cache")


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        (
            "corpus.jsonl",
            b'{"_id": "d1", "te',
            r"corpus.jsonl:1: broken JSON at column \d+ \(.*\); is the line cut off\?",
        ),
        (
            "corpus.jsonl",
            b'{"_id": "a", "text": "x"}\n{"_id": "\xff"}',
            r"corpus.jsonl:2: byte 10 of the line is not UTF-8",
        ),
        ("corpus.jsonl", b"[1]\n", r"corpus.jsonl:1: expected a JSON object, found list"),
        (
            "corpus.jsonl.gz",
            gzip.compress(b'{"_id": "a", "text": "x"}\n' * 999, mtime=0)[:60],
            r"corpus.jsonl.gz:\d+: .*cannot be read on",
        ),
    ],
)
def test_broken_files(tmp_path: Path, file: str, content: bytes, message: str) -> None:
    write(tmp_path / "data")
    (tmp_path / "data" / "corpus.jsonl").unlink()
    (tmp_path / "data" / file).write_bytes(content)
    with pytest.raises(DataError, match=message):
        read(BEIR(path=tmp_path / "data"), tmp_path / "cache")


def test_missing_files_and_splits(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no such folder"):
        BEIR(path=tmp_path / "nowhere").files()
    write(tmp_path / "data")
    with pytest.raises(DataError, match=r"dev.tsv: there is no such file; the splits here are: train"):
        BEIR(path=tmp_path / "data", split="dev").files()
    (tmp_path / "data" / "queries.jsonl").unlink()
    with pytest.raises(DataError, match=r"queries.jsonl: there is no such file"):
        BEIR(path=tmp_path / "data").files()
