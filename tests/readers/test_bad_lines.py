"""Lines that cannot be used: each stops the run by default, or is put aside with its reason, and all are counted."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hardneg.cli import main
from hardneg.job.run_folder import Job

MakeJob = Callable[..., Path]
GOOD = [{"query": f"where is the town {n}", "positive": f"the town {n} is by the river"} for n in range(4)]
BAD_TEXT = [
    b'{"query": "cut off", "posi\n',
    b'["a list"]\n',
    b'{"query": 3.5, "positive": "x"}\n',
    b'{"query": "no positive"}\n',
    b'{"query": "  ", "positive": "empty query"}\n',
    b'{"query": "latin \xe9", "positive": "x"}\n',
    b'{"query": "half \\ud800", "positive": "x"}\n',
    b'{"query": "deep", "positive": ' + b"[" * 100_000 + b"]" * 100_000 + b"}\n",
    b"\x00\x00\n",
]


def aside(tmp_path: Path, name: str = "job") -> list[dict[str, Any]]:
    file = tmp_path / "runs" / name / "bad_lines.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def queries(path: Path) -> list[str]:
    return [query for batch in Job.read(path).finished().batches for query in batch.queries]


def test_lines_of_a_training_file(make_job: MakeJob, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = [json.dumps(record).encode() + b"\n" for record in GOOD]
    file = tmp_path / "pairs.jsonl"
    file.write_bytes(b"".join([*good[:2], *BAD_TEXT, *good[2:]]))
    data = {"kind": "jsonl", "path": "pairs.jsonl"}
    assert main(["run", str(make_job(changes={"data": data}))]) == 2
    assert "pairs.jsonl:3: broken JSON at column 22" in capsys.readouterr().err
    path = make_job(changes={"data": data | {"bad_lines": "skip"}})
    assert main(["run", str(path)]) == 0
    assert f"{len(BAD_TEXT)} lines of pairs.jsonl cannot be used and are left out" in " ".join(
        capsys.readouterr().out.split()
    )
    found = aside(tmp_path)
    assert [(line["file"], line["line"]) for line in found] == [(str(file), n) for n in range(3, 3 + len(BAD_TEXT))]
    assert [line["reason"][:20] for line in found[:4]] == [
        "broken JSON at colum", "expected a JSON obje", "`query` must be a st", "no positive: expecte",
    ]  # fmt: skip
    read = json.loads((tmp_path / "runs/job/report.json").read_text())["read"]
    assert read["bad_lines"] == {"pairs.jsonl": len(BAD_TEXT)}
    assert read["examples"] + read["skipped"]["line that cannot be used"] == len(file.read_bytes().splitlines())
    skipped = queries(path)
    file.write_bytes(b"".join(good))
    assert main(["run", str(path)]) == 0
    assert queries(path) == skipped == [record["query"] for record in GOOD]
    assert aside(tmp_path) == []


def test_lines_of_a_beir_folder(make_job: MakeJob, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = make_job(changes={"data.bad_lines": "skip"})
    assert main(["run", str(path)]) == 0
    whole = queries(path)
    assert aside(tmp_path) == []
    data = tmp_path / "data"
    bad = {
        "corpus.jsonl": ['{"_id": "lost", "text"', '{"text": "no id"}'],
        "queries.jsonl": ['{"_id": "q9"}', '{"_id": "q1-0", "text": "there already"}', '{"_id": "w", "text": " "}'],
        "qrels/train.tsv": ["q1-0\tlost\t1", "nobody\tcat\t1", "q1-0\tcat\tmany", "q1-0\tcat\t0", "w\tcat\t1"],
    }
    reasons = []
    for name, lines in bad.items():
        with (data / name).open("a") as file:
            file.write("".join(line + "\n" for line in lines))
    assert main(["run", str(path)]) == 0
    assert queries(path) == whole
    found = aside(tmp_path)
    reasons = [(Path(line["file"]).name, line["reason"]) for line in found]
    assert [name for name, _ in reasons] == ["corpus.jsonl"] * 2 + ["train.tsv"] * 4 + ["queries.jsonl"] * 3
    told = " ".join(reason for _, reason in reasons)
    for words in ("is not in corpus.jsonl", "is not in queries.jsonl", "whole number", "two grades", "already appears"):
        assert words in told
    read = json.loads((tmp_path / "runs/job/report.json").read_text())["read"]
    lines_in = {name: len((data / name).read_text().splitlines()) for name in bad}
    assert read["passages"] + read["bad_lines"]["corpus.jsonl"] == lines_in["corpus.jsonl"]
    left_out = sum(count for reason, count in read["skipped"].items() if reason.startswith("query"))
    assert read["examples"] + left_out + read["bad_lines"]["queries.jsonl"] == lines_in["queries.jsonl"]
    judgments = sum(count for reason, count in read["skipped"].items() if reason.startswith("judgment"))
    assert judgments == 1, "of the query of white space"
    header, positives = 1, json.loads((tmp_path / "runs/job/report.json").read_text())["counts"]["positives"]
    assert header + positives + judgments + read["bad_lines"]["train.tsv"] == lines_in["qrels/train.tsv"]


def test_lines_of_a_table_and_rows_of_a_parquet_file(make_job: MakeJob, tmp_path: Path) -> None:
    rows = [f"{record['query']},{record['positive']}" for record in GOOD]
    (tmp_path / "pairs.csv").write_text(
        "\n".join(["query,positive", *rows[:2], "one", "a,b,c", "x" * 200_000 + ",y", *rows[2:]])
    )
    table = pa.table(
        {"query": [*(record["query"] for record in GOOD), " "], "positive": [*(r["positive"] for r in GOOD), "x"]}
    )
    pq.write_table(table, tmp_path / "pairs.parquet")
    for kind, lines in (("csv", [4, 5, 6]), ("parquet", [5])):
        path = make_job(kind, {"data": {"kind": kind, "path": f"pairs.{kind}", "bad_lines": "skip"}})
        assert main(["run", str(path)]) == 0
        assert [line["line"] for line in aside(tmp_path, kind)] == lines
        assert queries(path) == [record["query"] for record in GOOD]


def test_lines_of_ms_marco(make_job: MakeJob, tmp_path: Path) -> None:
    files = {
        "collection": "d1\tthe town is by the river\nonly one column\nd2\ta dog barked\nd3\tcats purr\n",
        "queries": "q1\twhere is the town\nq2\t \nq1\tagain\nq3\twhat barks\n",
        "qrels": "q1 0 d1 1\nq3 0 d2 1\nq3 0 lost 1\nq7 0 d1 1\nq3 0 d2\n",
    }
    for name, text in files.items():
        (tmp_path / f"{name}.tsv").write_text(text)
    data = {"kind": "msmarco", "bad_lines": "skip"} | {name: f"{name}.tsv" for name in files}
    path = make_job(changes={"data": data})
    assert main(["run", str(path)]) == 0
    assert queries(path) == ["where is the town", "what barks"]
    found = [(Path(line["file"]).stem, line["line"]) for line in aside(tmp_path)]
    assert found == [("collection", 2), ("qrels", 3), ("qrels", 4), ("qrels", 5), ("queries", 2), ("queries", 3)]
