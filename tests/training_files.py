"""Training files with planted faults, in every format, for the tests of the audit."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from hardneg.data.corpus import content_hash

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
