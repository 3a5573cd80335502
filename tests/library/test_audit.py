"""An audit finds what was planted, all of it and nothing else; the cleaned file lacks that and nothing else."""

from __future__ import annotations

import csv
import gzip
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
    if "duplicate_row" in kinds:  # the one that comes later is the copy
        assert rows[-1] is not None
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
    passages = [{"docid": f"d{content_hash(text)}", "text": text, "score": s} for text, s in zip(row.neg, row.scores, strict=True)]
    return {"query_id": "q" + row.query, "query": row.query, "positive_passages": [{"title": "", "text": t} for t in row.pos], "negative_passages": passages}


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


@pytest.mark.parametrize("shape", [flag, tevatron, labelled_list])
@pytest.mark.parametrize("ending", [".jsonl", ".jsonl.gz"])
def test_planted_faults_in_lists(tmp_path: Path, shape: Callable[[Row], dict[str, Any]], ending: str) -> None:
    kinds = IN_LISTS if shape is labelled_list else (*IN_LISTS, "nonfinite_score")
    rows = planted(kinds)
    copies_last(rows)
    lines = [json.dumps(shape(row), ensure_ascii=False).encode() + b"\n" for row in rows]
    path, out = tmp_path / f"train{ending}", tmp_path / f"clean{ending}"
    data = b"".join(lines)
    path.write_bytes(gzip.compress(data) if ending.endswith("gz") else data)
    before = path.read_bytes()
    report, found = audited(path, tmp_path, clean=out)
    assert found == tell(rows)
    assert {name: report["findings"][name]["count"] for name in kinds} == dict.fromkeys(kinds, EACH)
    assert all(len(report["findings"][name]["cases"]) == EACH for name in kinds)
    assert path.read_bytes() == before

    cleaned = out.read_bytes()
    cleaned_lines = (gzip.decompress(cleaned) if ending.endswith("gz") else cleaned).splitlines(keepends=True)
    expected = [line for line, row in zip(lines, rows, strict=True) if not row.row_goes]
    kept = [row for row in rows if not row.row_goes]
    assert len(cleaned_lines) == len(expected)
    for row, line, old in zip(kept, cleaned_lines, expected, strict=True):
        if not row.gone:
            assert line == old  # byte by byte
            continue
        left = Row(row.query, row.pos, *([v for k, v in enumerate(own) if k not in row.gone] for own in (row.neg, row.scores)))
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
            expected["scores"] = [expected["scores"][0 if k == 0 else (stays + 1 if k - 1 in row.gone else k)] for k in range(WIDTH + 1)]
        assert record == expected
    if ending in (".jsonl", ".csv"):
        untouched = [line for line in path.read_bytes().splitlines(keepends=True)]
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
