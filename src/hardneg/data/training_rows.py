"""Training files as people have them, read into one form.

One row is one query with positives and, maybe, negatives. Known are the columns of sentence-transformers (triplets,
n-tuples, labelled pairs and lists), FlagEmbedding (``query``, ``pos``, ``neg``, their scores), Tevatron (``query``,
``positive_passages``, ``negative_passages``) and this package's own ``jsonl`` export.
"""

from __future__ import annotations

import csv
import hashlib
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hardneg.data.corpus import Corpus
from hardneg.data.records import Example, Passage, Read
from hardneg.errors import DataError, MissingExtraError
from hardneg.files.bad_lines import STRICT, BadLines
from hardneg.files.spilled import Spilled
from hardneg.files.text_lines import USUAL, Limits, json_lines, lines, text_of

QUERY = ("query", "anchor", "question", "query_text", "sentence1")
QUERY_ID = ("query_id", "qid", "_id", "id")
POSITIVE = ("positives", "positive", "pos", "positive_passages", "answer", "passage", "document")
NEGATIVE = ("negatives", "negative", "neg", "negative_passages")
PASSAGE_ID = ("_id", "docid", "id", "passage_id", "doc_id", "pid")
NUMBERED = re.compile(r"negative_\d+")


@dataclass(frozen=True, slots=True)
class Text:
    """A passage in a training file: its id and score may be unknown.

    ``column`` says where in the record it is, ``place`` where in the column's list; None: the column holds one text.
    """

    contents: str
    id: str | None = None
    title: str = ""
    text: str = ""
    score: float | None = None
    column: str = ""
    place: int | None = None

    def passage(self) -> Passage:
        """As a passage of a corpus; without an id it is named by a hash of its contents."""
        hashed = "p-" + hashlib.blake2b(self.contents.encode(), digest_size=12).hexdigest()
        return Passage(self.id or hashed, self.text or self.contents, self.title)


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a training file, and where it is."""

    file: str
    line: int
    query: str
    query_id: str | None
    positives: tuple[Text, ...]
    negatives: tuple[Text, ...]


def rows(path: Path, limits: Limits = USUAL, bad: BadLines = STRICT) -> Iterator[Row]:
    """The rows of a training file: JSONL (``.gz`` and ``.zst`` too), Parquet, or a folder saved by ``datasets``."""
    for line, record in records(path, limits, bad):
        with bad:
            yield row(record, path, line)


def records(path: Path, limits: Limits = USUAL, bad: BadLines = STRICT) -> Iterator[tuple[int, dict[str, Any]]]:
    """Line (or row) numbers and records of such a file."""
    if path.is_dir():
        try:
            import datasets
        except ImportError as error:
            raise MissingExtraError("datasets", "datasets", f"reading the folder {path}") from error
        try:
            loaded = datasets.load_from_disk(str(path))
        except (FileNotFoundError, ValueError) as error:
            inside = next(iter(sorted(path.glob("train.*"))), None)
            way = f"name the file in it: {inside}" if inside else str(error)
            raise DataError(f"{path}: not a folder saved by `datasets`; {way}") from error
        if isinstance(loaded, datasets.DatasetDict):
            raise DataError(f"{path}: holds several splits ({', '.join(map(str, loaded))}); name the folder of one")
        yield from ((number, dict(record)) for number, record in enumerate(loaded, 1))
    elif not path.is_file():
        raise DataError(f"{path}: there is no such file")
    elif path.suffix == ".parquet":
        yield from parquet_records(path)
    elif path.name.removesuffix(".gz").removesuffix(".zst").endswith((".csv", ".tsv")):
        yield from table_records(path, limits, bad)
    else:
        yield from json_lines(path, limits, bad)


def table_records(path: Path, limits: Limits = USUAL, bad: BadLines = STRICT) -> Iterator[tuple[int, dict[str, Any]]]:
    """Line numbers and records of a CSV or TSV file with a header. Columns named ``neg`` and the like hold one text.

    Raises `DataError` where the header names none of the columns that are known, or a line has another width.
    """
    delimiter = "\t" if ".tsv" in path.suffixes else ","
    numbers: list[int] = []

    def texts() -> Iterator[str]:
        for number, text in lines(path, limits, bad):
            numbers[:] = [number]
            yield text + "\n"

    table = csv.reader(texts(), delimiter=delimiter)
    try:
        header = [cell.strip() for cell in next(table, [])]
    except csv.Error as error:
        raise DataError(f"{path}:{numbers[-1]}: the header is no line of a table ({error})") from error
    if not set(header) & {*QUERY, *PASSAGE_ID}:
        raise DataError(
            f"{path}:1: the header names no known column; expected one of {', '.join(QUERY)}, found {header!r:.120}"
        )
    while True:
        with bad:
            try:
                cells = next(table, None)
            except csv.Error as error:
                raise DataError.at(path, numbers[-1], f"no line of a table ({error})") from error
            if cells is None:
                return
            if len(cells) != len(header):
                raise DataError.at(path, numbers[-1], f"{len(cells)} columns, where the header has {len(header)}")
            yield numbers[-1], dict(zip(header, cells, strict=True))


def parquet_records(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Row numbers, from 1, and records of a Parquet file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    number = 0
    try:
        for batch in pq.ParquetFile(path).iter_batches():
            for record in batch.to_pylist():
                number += 1
                yield number, record
    except (pa.ArrowException, OSError, ValueError) as error:  # a text that is not UTF-8 is a ValueError
        where = f"damaged behind row {number}" if number else "not a Parquet file, or damaged"
        raise DataError(f"{path}: {where} ({' '.join(str(error).split())})") from error


def row(record: dict[str, Any], path: Path, line: int) -> Row:
    """The meaning of one record. Raises `DataError` when it has no query or no positive column."""
    query = text_of(record, QUERY, path, line)
    query_id = text_of(record, QUERY_ID, path, line, required=False) or None
    key = next((key for key in POSITIVE if record.get(key) is not None), None)
    if key is None:
        raise DataError.at(
            path, line, f"no positive: expected one of {', '.join(POSITIVE)}; the line has: {', '.join(record)}"
        )
    scores = _numbers(record, "pos_scores", path, line)
    found = _texts(record[key], record.get("positive_ids") or record.get("pos_ids"), scores, key, path, line)
    negatives: list[Text] = []
    if "label" in record:
        if record["label"] not in (0, 1):
            raise DataError.at(path, line, f"`label` must be 0 or 1, not {record['label']!r}")
        positives, negatives = (found, []) if record["label"] else ([], found)
    elif "labels" in record:
        labels = record["labels"]
        if not isinstance(labels, list) or len(labels) != len(found):
            raise DataError.at(path, line, f"`labels` must be a list as long as `{key}` ({len(found)})")
        positives = [text for text, label in zip(found, labels, strict=True) if label]
        negatives = [text for text, label in zip(found, labels, strict=True) if not label]
    elif isinstance(record.get("scores"), list) and len(found) > 1 and len(record["scores"]) == len(found):
        # a labelled list with scores in place of labels: the positive is first
        positives, negatives = found[:1], found[1:]
    elif "score" in record and not any(key in record for key in NEGATIVE):
        raise DataError.at(path, line, "a pair with a `score` and no `label`: whether it is a positive cannot be told")
    else:
        positives = found
    for key in NEGATIVE:
        if record.get(key) is not None:
            ids, scores = (
                record.get("negative_ids") or record.get("neg_ids"),
                _numbers(record, "neg_scores", path, line),
            )
            negatives += _texts(record[key], ids, scores, key, path, line)
    for key in filter(NUMBERED.fullmatch, record):
        negatives += _texts(record[key], None, None, key, path, line) if record[key] is not None else []
    return Row(str(path), line, query, query_id, tuple(positives), tuple(negatives))


def _numbers(record: dict[str, Any], key: str, path: Path, line: int) -> list[float] | None:
    values = record.get(key)
    if values is None:
        return None
    if not isinstance(values, list) or not all(map(is_finite, values)):
        raise DataError.at(path, line, f"`{key}` must be a list of finite numbers, not {values!r:.80}")
    return values


def is_finite(value: object) -> bool:
    """Whether a score is a number that fits into a float: JSON has integers of any size."""
    return isinstance(value, (int, float)) and abs(value) <= sys.float_info.max


def _texts(
    value: Any, ids: Sequence[Any] | None, scores: Sequence[float] | None, key: str, path: Path, line: int
) -> list[Text]:
    out = []
    items = value if isinstance(value, list) else [value]
    for what, column in (("ids", ids), ("scores", scores)):
        if column is not None and (not isinstance(column, (list, tuple)) or len(column) != len(items)):
            raise DataError.at(path, line, f"the {what} of `{key}` must be a list as long as `{key}` ({len(items)})")
    for number, item in enumerate(items):
        place = number if isinstance(value, list) else None
        score = scores[number] if scores is not None else None
        if isinstance(item, str):
            identifier = str(ids[number]) if ids and ids[number] is not None else None
            out.append(Text(item.strip(), identifier, text=item, score=score, column=key, place=place))
            continue
        if not isinstance(item, dict):
            raise DataError.at(path, line, f"`{key}` must hold strings or passages, not {type(item).__name__}")
        found = passage(item, path, line, named=False)
        own = item.get("score", score)
        if own is not None and not is_finite(own):
            raise DataError.at(path, line, f"`score` in `{key}` must be a finite number, not {own!r}")
        out.append(Text(found.contents, found.id or None, found.title, found.text, own, key, place))
    return out


def passage(record: dict[str, Any], path: Path, line: int, *, named: bool = True) -> Passage:
    """A passage: an id (if it must be ``named``), ``text``, maybe ``title``."""
    return Passage(
        text_of(record, PASSAGE_ID, path, line, required=named),
        text_of(record, ("text", "contents"), path, line),
        text_of(record, ("title",), path, line, required=False),
    )


def passages(found: Iterable[Row], known: Iterable[Read[Passage]] = ()) -> Iterator[Read[Passage]]:
    """A corpus: the passages of a corpus file, ``known``, then those texts of a training file that it lacks."""
    texts, ids = Spilled("id", "title", "text", "file", "line"), Spilled()
    for row in found:
        for text in (*row.positives, *row.negatives):
            made = text.passage()
            texts.put(_digest(text.contents), "", made.id, made.title, made.text, row.file, row.line)
    for read in known:
        if read.item is not None:
            texts.drop(_digest(read.item.contents))
        yield read
    for _, _, identifier, title, content, file, line in texts:
        if ids.put(identifier) is not None:
            raise DataError.at(file, line, f"passage id `{identifier}` stands for two different texts")
        yield Read(Passage(identifier, content, title), file, line)


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()


def examples(found: Iterable[Row], corpus: Corpus, bad: BadLines = STRICT) -> Iterator[Read[Example]]:
    """One example a query: the rows of one query are put together, as sentence-transformers does."""
    queries, positives = Spilled("query", "file", "line"), Spilled()
    for row in found:
        with bad:
            if not row.query.strip():
                raise DataError.at(row.file, row.line, "the query is empty; delete the line or give it a query")
            key = row.query_id or "q-" + _digest(row.query)
            first = queries.put(key, "", row.query, row.file, row.line)
            if first is not None and first[0] != row.query:
                raise DataError.at(row.file, row.line, f"query id `{key}` stands for another query in line {first[2]}")
            for identifier in corpus.ids(corpus.find([text.contents for text in row.positives if text.contents])):
                positives.put(key, identifier)
    for key, _, query, file, line in queries:
        own = tuple(identifier for (identifier,) in positives.of(key))
        if own:
            yield Read(Example(key, query, own), file, line)
        else:
            yield Read(None, file, line, "query without a positive")
