"""Whatever bytes the files hold: examples, or a `DataError` that names the file."""

from __future__ import annotations

import gzip
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from fuzzing import damaged, refused, tried
from hypothesis import given
from hypothesis import strategies as st

from hardneg.cache.folders import Cache
from hardneg.data import corpus
from hardneg.errors import DataError
from hardneg.files.bad_lines import BadLines, Rule
from hardneg.files.text_lines import lines
from hardneg.protocols import Reader
from hardneg.readers.beir import BEIR
from hardneg.readers.msmarco import MSMARCO
from hardneg.readers.training_file import TrainingFile

CORPUS = (
    b'{"_id": "d1", "text": "a cat", "title": ""}\n{"_id": 2, "text": "a dog \\u00e9"}\n{"_id": "d3", "text": " "}\n'
)
QUERIES = b'{"_id": "q1", "text": "which animal"}\n{"_id": "q2", "text": "who barks"}\n'
HEADER = b"query-id\tcorpus-id\tscore\n"
QRELS = b"q1\td1\t1\nq2\t2\t1\nq1\t2\t0\n"
COLLECTION = b"d1\ta cat\nd2\thttp://x\ttitle\ta dog\n"
TOPICS = b"q1\twhich animal\nq2\twho barks\n"
TREC = b"q1 0 d1 1\nq2 0 d2 1\nq1 0 d2 0\n"
ROWS = (
    b'{"query": "which animal", "positive": "a cat", "negative": "rain"}\n'
    b'{"query": "who barks", "pos": ["a dog"], "neg": ["a", "b"], "pos_scores": [1.5], "neg_scores": [0.1, 2]}\n'
    b'{"query_id": "q3", "query": "x", "positive_passages": [{"docid": "7", "title": "t", "text": "u", "score": 3}]}\n'
    b'{"query": "y", "positives": ["p", "q"], "labels": [1, 0]}\n{"query": "z", "positive": "p", "label": 0}\n'
    b'{"query": "w", "positives": ["p", "q"], "scores": [0.9, 0.1], "positive_ids": ["a", null]}\n'
)
CSV = b'query,positive,negative_1\nwhich animal,a cat,"rain, ""heavy"""\nwho barks,a dog,\n'
HURTS = (
    b"\x00", b"\xff", b"\xef\xbb\xbf", b"\r", b"\n", b"\r\n", b"\t", b'"', b"{", b"[", b"}", b"\\ud800", b"\\u0000", b"null",
    b"NaN", b"-1e999", b"9" * 400, b"9" * 5_000, b"true", b'""', b"[]", b"{}", b" ", b"-", "²".encode(), "\u2028".encode(),
    b"1.0", b"_id", b"text", b"query", b"label", b"scores", b'"score": 1', b"\x1f\x8b", b"q1", b"d1", b"x" * 140_000,
)  # fmt: skip


@contextmanager
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def read(reader: Reader, here: Path, judged: Path | None = None, headers: int = 0) -> None:
    """Reads all as a job does. What is wrong must be said with the file, and every line ``judged`` counted once."""
    lost: set[int] = set()
    count = headers
    with refused(DataError, str(here)):
        built = corpus.build(Cache(here / "cache"), (found for found in reader.passages() if found.problem is None))
        for found in reader.examples(built.corpus, built.empty):
            assert found.item is not None or found.skipped
            if found.item is not None:
                count += len(found.item.positives)
            elif found.file == str(judged) and found.problem is None:
                count += found.count
            elif found.file == str(judged):
                lost.add(found.line)
        if judged is not None:
            bad = BadLines("skip")
            whole = sum(1 for _ in lines(judged, bad=bad)) + len(bad.found)
            assert count + len(lost) == whole


def of(good: bytes) -> st.SearchStrategy[bytes]:
    return damaged((good,), HURTS)


rules = st.sampled_from(("error", "skip"))


@tried
@given(st.sampled_from((0, 1, 2)), of(CORPUS), of(QUERIES), of(QRELS), rules)
def test_a_beir_folder(which: int, passages: bytes, queries: bytes, qrels: bytes, rule: Rule) -> None:
    with folder() as here:
        (here / "qrels").mkdir()
        (here / "corpus.jsonl").write_bytes(passages if which == 0 else CORPUS)
        (here / "queries.jsonl").write_bytes(queries if which == 1 else QUERIES)
        (here / "qrels" / "train.tsv").write_bytes(HEADER + (qrels if which == 2 else QRELS))
        read(BEIR(path=here, bad_lines=rule), here, here / "qrels" / "train.tsv", headers=1)


@tried
@given(st.sampled_from((0, 1, 2)), of(COLLECTION), of(TOPICS), of(TREC), rules)
def test_ms_marco(which: int, passages: bytes, queries: bytes, qrels: bytes, rule: Rule) -> None:
    with folder() as here:
        for number, (name, good, bad) in enumerate(
            (("collection", COLLECTION, passages), ("queries", TOPICS, queries), ("qrels", TREC, qrels))
        ):
            (here / name).write_bytes(bad if number == which else good)
        reader = MSMARCO(collection=here / "collection", queries=here / "queries", qrels=here / "qrels", bad_lines=rule)
        read(reader, here, here / "qrels")


@tried
@given(of(ROWS), rules, st.booleans())
def test_a_file_of_json_lines(data: bytes, rule: Rule, beside: bool) -> None:
    with folder() as here:
        (here / "rows.jsonl").write_bytes(data)
        (here / "corpus.jsonl").write_bytes(CORPUS)
        read(
            TrainingFile(path=here / "rows.jsonl", corpus=here / "corpus.jsonl" if beside else None, bad_lines=rule),
            here,
        )


@tried
@given(of(CSV), rules, st.sampled_from(("csv", "tsv")))
def test_a_table(data: bytes, rule: Rule, ending: str) -> None:
    with folder() as here:
        (here / f"rows.{ending}").write_bytes(data.replace(b",", b"\t") if ending == "tsv" else data)
        read(TrainingFile(path=here / f"rows.{ending}", bad_lines=rule), here)


def parquet() -> bytes:
    with folder() as here:
        pq.write_table(pa.table({"query": ["a", "b"], "positive": ["c", "d"]}), here / "good.parquet")
        return (here / "good.parquet").read_bytes()


@tried
@given(damaged((parquet(),), (b"\x00", b"\xff", b"PAR1", b"query")), rules)
def test_a_parquet_file(data: bytes, rule: Rule) -> None:
    with folder() as here:
        (here / "rows.parquet").write_bytes(data)
        read(TrainingFile(path=here / "rows.parquet", bad_lines=rule), here)


@tried
@given(st.data(), st.sampled_from((".gz", ".zst")))
def test_compressed_lines(data: st.DataObject, ending: str) -> None:
    good = gzip.compress(ROWS, mtime=0) if ending == ".gz" else pa.Codec("zstd").compress(ROWS, asbytes=True)
    with folder() as here:
        file = here / f"rows.jsonl{ending}"
        file.write_bytes(data.draw(damaged((good,), HURTS)))
        with refused(DataError, str(file)):
            assert all(number >= 1 for number, _ in lines(file))
