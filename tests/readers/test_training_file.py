"""Training files of every known format mean the same."""

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hardneg.cache.folders import Cache
from hardneg.data import corpus
from hardneg.data import training_rows as formats
from hardneg.errors import DataError
from hardneg.files.bad_lines import BadLines
from hardneg.files.text_lines import json_lines
from hardneg.readers.huggingface import HuggingFace
from hardneg.readers.training_file import TrainingFile

QUERY, POSITIVE, FIRST, SECOND = "a query", "the positive", "first negative", "second negative"
FORMATS = {
    "triplet": [
        {"anchor": QUERY, "positive": POSITIVE, "negative": FIRST},
        {"anchor": QUERY, "positive": POSITIVE, "negative": SECOND},
    ],
    "n-tuple": [
        {"anchor": QUERY, "positive": POSITIVE, "negative_1": FIRST, "negative_2": SECOND, "scores": [1, 0, 0]}
    ],
    "labeled-pair": [
        {"anchor": QUERY, "positive": POSITIVE, "label": 1},
        {"anchor": QUERY, "positive": FIRST, "label": 0},
        {"anchor": QUERY, "positive": SECOND, "label": 0},
    ],
    "labeled-list": [{"anchor": QUERY, "positive": [POSITIVE, FIRST, SECOND], "labels": [1, 0, 0]}],
    "labeled-list with scores": [{"anchor": QUERY, "positive": [POSITIVE, FIRST, SECOND], "scores": [0.9, 0.5, 0.4]}],
    "flagembedding": [{"query": QUERY, "pos": [POSITIVE], "neg": [FIRST, SECOND], "neg_scores": [0.5, 0.25]}],
    "tevatron": [
        {
            "query_id": "q",
            "query": QUERY,
            "positive_passages": [{"docid": "1", "title": "the", "text": "positive"}],
            "negative_passages": [{"docid": "2", "title": "", "text": FIRST}, {"docid": "3", "text": SECOND}],
        }
    ],
}


def write(path: Path, rows: list[dict]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def read(reader: object, cache: Path) -> tuple[list, list[str]]:
    built = corpus.build(Cache(cache), reader.passages())
    examples = [found.item for found in reader.examples(built.corpus, built.empty) if found.item]
    texts = [built.corpus.passage(row).contents for row in range(len(built.corpus))]
    return [
        (e.query, [built.corpus.passage(built.corpus.row(p)).contents for p in e.positives]) for e in examples
    ], texts


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_means_the_same(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / "train.jsonl", FORMATS[name])
    examples, texts = read(TrainingFile(path=path), tmp_path / "cache")
    assert examples == [(QUERY, [POSITIVE])]
    assert sorted(texts) == sorted([POSITIVE, FIRST, SECOND])
    assert [text.contents for row in formats.rows(path) for text in row.negatives] == [FIRST, SECOND]


def test_containers_mean_the_same(tmp_path: Path) -> None:
    import datasets

    rows = FORMATS["n-tuple"]
    plain = read(TrainingFile(path=write(tmp_path / "train.jsonl", rows)), tmp_path / "cache")
    (tmp_path / "train.jsonl.gz").write_bytes(gzip.compress((tmp_path / "train.jsonl").read_bytes()))
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "train.parquet")
    datasets.Dataset.from_list(rows).save_to_disk(tmp_path / "saved")
    for name in ("train.jsonl.gz", "train.parquet", "saved"):
        assert read(TrainingFile(path=tmp_path / name), tmp_path / "cache") == plain
    assert read(HuggingFace(path=str(tmp_path / "saved")), tmp_path / "cache") == plain


def test_huggingface_renames_columns_and_takes_a_split(tmp_path: Path) -> None:
    import datasets

    split = datasets.Dataset.from_list([{"frage": QUERY, "antwort": POSITIVE}])
    datasets.DatasetDict({"dev": split}).save_to_disk(tmp_path / "saved")
    reader = HuggingFace(path=str(tmp_path / "saved"), split="dev", columns={"query": "frage", "positive": "antwort"})
    assert read(reader, tmp_path / "cache") == ([(QUERY, [POSITIVE])], [POSITIVE])
    with pytest.raises(DataError, match="no split `train`; there are: dev"):
        HuggingFace(path=str(tmp_path / "saved")).identity()
    with pytest.raises(DataError, match="no column `x`; there are: frage, antwort"):
        read(HuggingFace(path=str(tmp_path / "saved"), split="dev", columns={"query": "x"}), tmp_path / "cache")


def test_a_corpus_file_gets_the_texts_that_it_lacks(tmp_path: Path) -> None:
    path = write(tmp_path / "train.jsonl", [{"query": QUERY, "positive": [POSITIVE, "in the corpus"]}])
    passages = write(
        tmp_path / "corpus.jsonl", [{"_id": "c", "title": "in the", "text": "corpus"}, {"_id": "d", "text": "x"}]
    )
    examples, texts = read(TrainingFile(path=path, corpus=passages), tmp_path / "cache")
    assert texts == ["in the corpus", "x", POSITIVE]
    assert examples == [(QUERY, [POSITIVE, "in the corpus"])]


def test_rows_of_one_query_are_one_example(tmp_path: Path) -> None:
    rows = [{"query": QUERY, "pos": "a"}, {"query": "other", "pos": "b"}, {"query": QUERY, "pos": ["c", "a"]}]
    examples, _ = read(TrainingFile(path=write(tmp_path / "t.jsonl", rows)), tmp_path / "cache")
    assert examples == [(QUERY, ["a", "c"]), ("other", ["b"])]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"positive": "p"}, r"t.jsonl:1: the key `query` is missing; the line has: positive"),
        ({"query": QUERY}, r"t.jsonl:1: no positive: expected one of"),
        ({"query": " ", "positive": "p"}, r"t.jsonl:1: the query is empty"),
        ({"query": QUERY, "pos": [1]}, r"t.jsonl:1: `pos` must hold strings or passages, not int"),
        (
            {"query": QUERY, "pos": ["p"], "neg": ["n"], "neg_scores": [float("nan")]},
            r"t.jsonl:1: `neg_scores` must be .*finite",
        ),
        (
            {"query": QUERY, "pos": ["p"], "neg": ["n"], "neg_scores": [1, 2]},
            r"t.jsonl:1: the scores of `neg` must be a list as",
        ),
        (
            {"query": QUERY, "positive": ["p"], "labels": [1, 0]},
            r"t.jsonl:1: `labels` must be a list as long as `positive`",
        ),
        ({"anchor": QUERY, "positive": "p", "score": 0.5}, r"t.jsonl:1: a pair with a `score` and no `label`"),
        ({"query": QUERY, "positive": "\ud83d"}, r"t.jsonl:1: half of a surrogate pair"),
        ({"query": QUERY, "pos": "p", "pos_scores": [10**400]}, r"t.jsonl:1: `pos_scores` must be a list of finite"),
        ({"query": QUERY, "pos": {"text": "p", "score": -(10**400)}}, r"t.jsonl:1: `score` in `pos` must be a finite"),
        ({"query": QUERY, "positive": "p", "label": 0.5}, r"t.jsonl:1: `label` must be 0 or 1, not 0.5"),
    ],
)
def test_errors_name_the_line(tmp_path: Path, row: dict, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(TrainingFile(path=write(tmp_path / "t.jsonl", [row])), tmp_path / "cache")


def test_contradictory_ids(tmp_path: Path) -> None:
    rows = [{"query_id": "1", "query": "a", "pos": "p"}, {"query_id": "1", "query": "b", "pos": "p"}]
    with pytest.raises(DataError, match=r"t.jsonl:2: query id `1` stands for another query in line 1"):
        read(TrainingFile(path=write(tmp_path / "t.jsonl", rows)), tmp_path / "cache")
    rows = [{"query": "a", "pos": [{"id": "1", "text": "p"}]}, {"query": "b", "pos": [{"id": "1", "text": "r"}]}]
    with pytest.raises(DataError, match=r"t.jsonl:2: passage id `1` stands for two different texts"):
        read(TrainingFile(path=write(tmp_path / "t.jsonl", rows)), tmp_path / "cache")


def test_not_what_it_seems(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no such file"):
        read(TrainingFile(path=tmp_path / "none.jsonl"), tmp_path / "cache")
    (tmp_path / "x.parquet").write_bytes(b"PK\x03\x04 a zip")
    with pytest.raises(DataError, match="not a Parquet file"):
        read(TrainingFile(path=tmp_path / "x.parquet"), tmp_path / "cache")
    (tmp_path / "folder").mkdir()
    with pytest.raises(DataError, match="not a folder saved by `datasets`"):
        read(TrainingFile(path=tmp_path / "folder"), tmp_path / "cache")


def test_half_a_surrogate_pair_too_deep_to_look_at(tmp_path: Path) -> None:
    lines = [f'{{"query": "q", "positive": {"[" * depth}"\\ud800"{"]" * depth}}}' for depth in range(800, 1_000)]
    (tmp_path / "t.jsonl").write_text("\n".join(lines))
    bad = BadLines("skip")
    assert list(json_lines(tmp_path / "t.jsonl", bad=bad)) == []
    assert len(bad.found) == len(lines)


def test_a_header_that_is_no_line_of_a_table(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(b"query\r,positive\na,b\n")
    with pytest.raises(DataError, match=r"t.csv:1: the header is no line of a table"):
        read(TrainingFile(path=tmp_path / "t.csv"), tmp_path / "cache")


def test_a_damaged_parquet_file_is_blamed_and_not_the_cache(tmp_path: Path) -> None:
    file = tmp_path / "t.parquet"
    pq.write_table(pa.table({"query": ["a", "b"], "positive": ["c", "d"]}), file)
    whole = file.read_bytes()
    file.write_bytes(whole[:4] + b"\xff" * 8 + whole[12:])
    with pytest.raises(DataError, match=r"t.parquet: not a Parquet file, or damaged"):
        read(TrainingFile(path=file), tmp_path / "cache")
    pq.write_table(pa.table({"query": pa.array([b"a", b"\xff"]).view(pa.string()), "positive": ["c", "d"]}), file)
    with pytest.raises(DataError, match=r"t.parquet: .*utf-8"):
        read(TrainingFile(path=file), tmp_path / "cache")
