"""What lies in a file or folder that somebody names as data, told by its names and its first records."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from hardneg.data import training_rows as formats
from hardneg.errors import DataError
from hardneg.files.text_lines import COMPRESSION
from hardneg.kinds import listed

FIRST = 100
"""Records that are looked at."""
RUNS = (".run", ".trec", ".txt")
TABLES = (".csv", ".tsv")
FILES = (".jsonl", ".json", ".parquet", *TABLES)
ASIDE = re.compile(r"corpus|queries|(dev|test|valid|eval)", re.IGNORECASE)
"""Names of files of a folder that are no training file."""


@dataclass(frozen=True, slots=True)
class Known:
    """The ``data`` section of a job, with a remark; ``given``: the file with the negatives that are there already."""

    data: dict[str, Any]
    remark: str = ""
    given: Path | None = None


def known(path: Path) -> Known:
    """What ``path`` is. Raises `DataError` that says what to do with anything that no reader knows."""
    if any(folder.name == "qrels" and _is_beir(folder.parent) for folder in (path, path.parent)):
        folder = path.parent if path.name == "qrels" else path.parent.parent
        raise DataError(f"{path}: is a part of a collection; name its folder: {folder}")
    if path.is_dir():
        return _folder(path)
    if not path.is_file():
        raise DataError(
            f"{path}: there is no such file or folder; save a data set of the hub first: "
            "`datasets.load_dataset(NAME, split='train').save_to_disk(FOLDER)`"
        )
    marco = _ms_marco(path.parent)
    parts = [str(value) for value in marco.data.values()] if marco else []
    if str(path) in parts or (_is_beir(path.parent) and path.name.startswith(("corpus.", "queries."))):
        raise DataError(f"{path}: is a part of a collection; name its folder: {path.parent}")
    return _file(path)


def _folder(path: Path) -> Known:
    if _is_beir(path):
        return _beir(path)
    if (found := _ms_marco(path)) is not None:
        return found
    if _there(path / "corpus.jsonl") and _there(path / "queries.jsonl"):
        raise DataError(
            f"{path}: has a corpus and queries and no judgments; write them as qrels/train.tsv, with a header and "
            "query-id, corpus-id and grade by tabs"
        )
    if (path / "dataset_dict.json").exists():
        return _saved(path, sorted(inner.name for inner in path.iterdir() if (inner / "dataset_info.json").exists()))
    if (path / "dataset_info.json").exists():
        return _saved(path, [])
    there = [file for file in sorted(path.iterdir()) if _ending(file) in FILES]
    usable = [file for file in there if not ASIDE.search(file.name)]
    chosen = [file for file in usable if file.name.startswith("train")] or usable
    if len(chosen) == 1:
        return _file(chosen[0])
    raise DataError(
        f"{path}: is none of the folders that are known: BEIR (corpus.jsonl, queries.jsonl, qrels/SPLIT.tsv), saved by "
        "`datasets` (save_to_disk), MS MARCO (collection.tsv, queries.*.tsv, qrels.*.tsv); "
        + (f"name one of its files: {listed(file.name for file in chosen)}" if chosen else "name a training file")
    )


def _is_beir(path: Path) -> bool:
    return all(_there(path / name) for name in ("corpus.jsonl", "queries.jsonl")) and (path / "qrels").is_dir()


def _beir(path: Path) -> Known:
    splits = sorted({file.name.split(".")[0] for file in (path / "qrels").iterdir() if _ending(file) == ".tsv"})
    if not splits:
        raise DataError(f"{path / 'qrels'}: there is no SPLIT.tsv; write train.tsv: query-id, corpus-id, grade by tabs")
    split = "train" if "train" in splits else splits[0]
    others = [name for name in splits if name != split]
    remark = (
        f"Other splits: {', '.join(others)}. `judged: SPLIT` counts false negatives by the judgments of another split."
    )
    if not others:
        remark = "Do not evaluate with queries that you train on." if split != "train" else ""
    return Known({"kind": "beir", "path": str(path), "split": split}, remark)


def _ms_marco(path: Path) -> Known | None:
    parts = {
        key: sorted(file for file in path.glob(f"{key}*.tsv*") if _ending(file) == ".tsv")
        for key in ("collection", "queries", "qrels")
    }
    if not all(parts.values()):
        return None
    chosen = {key: next((file for file in own if "train" in file.name), own[0]) for key, own in parts.items()}
    return Known({"kind": "msmarco"} | {key: str(file) for key, file in chosen.items()})


def _saved(path: Path, splits: list[str]) -> Known:
    """A data set of the library `datasets`. Columns of unknown names are taken by place where there are two texts."""
    split = next((name for name in ("train", *splits) if name in splits), None)
    rows = path / split if split else path
    record, more = _first(rows)
    data: dict[str, Any] = {"kind": "huggingface", "path": str(path)} | ({"split": split} if split else {})
    others = [name for name in splits if name != split]
    remark = f"Other splits: {', '.join(others)}." if others else ""
    try:
        given = rows if any(formats.row(own, rows, number).negatives for number, own in more) else None
    except DataError as error:
        if set(record) & {*formats.QUERY, *formats.POSITIVE} or len(record) != 2 or not _texts(record) == list(record):
            raise _renamed(rows, record, error) from error
        query, positive = record
        return Known(
            data | {"columns": {"query": query, "positive": positive}},
            "The columns are taken by their place: the first is the query.",
        )
    return Known(data, remark, given)


def _file(path: Path) -> Known:
    if _ending(path) in RUNS:
        raise DataError(_candidates(path, "a run with candidates"))
    if _ending(path) not in FILES:
        raise DataError(f"{path}: its ending is none of {', '.join(FILES)}, with or without .gz or .zst; rename it")
    if path.suffix == ".json" and _begins(path, b"["):
        raise DataError(f"{path}: is one JSON array; write a line a record: jq -c '.[]' {path.name} > train.jsonl")
    record, more = _first(path)
    if "candidates" in record:
        raise DataError(_candidates(path, "candidates without positives"))
    try:
        given = path if any(formats.row(own, path, number).negatives for number, own in more) else None
    except DataError as error:
        if not set(record) & {*formats.QUERY} and {"text", "contents"} & set(record):
            raise DataError(
                f"{path}: holds passages and no queries; name the training file, and put this one beside it as "
                "corpus.jsonl: it becomes the `corpus`"
            ) from error
        raise _renamed(path, record, error) from error
    kind = {".parquet": "parquet", ".csv": "csv", ".tsv": "csv"}.get(_ending(path), "jsonl")
    data = {"kind": kind, "path": str(path)}
    if (corpus := _corpus_beside(path)) is not None:
        return Known(data | {"corpus": str(corpus)}, "", given)
    return Known(
        data,
        "The texts of this file are the corpus. `corpus: FILE` names a larger one: JSONL with _id, title and text.",
        given,
    )


def _corpus_beside(path: Path) -> Path | None:
    """A file of passages in the same folder."""
    for file in (path.with_name(name) for name in ("corpus.jsonl", "corpus.parquet")):
        found = _there(file)
        if found is not None and found != path:
            number, record = next(iter(formats.records(found)), (0, {}))
            formats.passage(record, found, number)
            return found
    return None


def _first(path: Path) -> tuple[dict[str, Any], list[tuple[int, dict[str, Any]]]]:
    """The first record, and the first hundred with their numbers. Raises `DataError` where there is none."""
    try:
        found = list(islice(formats.records(path), FIRST))
    except DataError as error:
        if _ending(path) in TABLES and "names no known column" in str(error):
            raise DataError(
                f"{error}; write a header whose columns are called `query` and `positive`, maybe `negative`"
            ) from error
        raise
    if not found:
        raise DataError(f"{path}: is empty")
    return found[0][1], found


def _renamed(path: Path, record: dict[str, Any], error: DataError) -> DataError:
    """The error of an unknown shape, with a line that renames its columns."""
    missing = [
        name for name, known in (("query", formats.QUERY), ("positive", formats.POSITIVE)) if not set(record) & {*known}
    ]
    free = [key for key in _texts(record) if key not in (*formats.QUERY, *formats.POSITIVE, *formats.QUERY_ID)]
    if not missing or len(free) < len(missing):
        return error
    pairs = list(zip(free, missing, strict=False))
    ending = _ending(path)
    if path.is_dir():
        names = ", ".join(f"'{old}': '{new}'" for old, new in pairs)
        how = f"datasets.load_from_disk('{path}').rename_columns({{{names}}}).save_to_disk('pairs')"
    elif ending == ".parquet":
        names = ", ".join(f"'{old}': '{new}'" for old, new in pairs)
        how = f"pandas.read_parquet('{path}').rename(columns={{{names}}}).to_parquet('pairs.parquet')"
    elif ending in TABLES:
        how = "call them so in its first line"
    else:
        names = ", ".join(f"{new}: .{old}" for old, new in pairs)
        how = f"jq -c '. + {{{names}}}' {path.name} > pairs.jsonl"
    return DataError(
        f"{path}: no column is called {' or '.join(f'`{name}`' for name in missing)} or a name that is known; there "
        f"are: {listed(record)}; rename those that are meant, for example: {how}"
    )


def _candidates(path: Path, what: str) -> str:
    return (
        f"{path}: holds {what}; name the data that they are for, and add to the job's generators: "
        f"yours: {{kind: file, path: {path}}}"
    )


def _begins(path: Path, mark: bytes) -> bool:
    with path.open("rb") as stream:
        return stream.read(1 << 10).lstrip().startswith(mark)


def _texts(record: dict[str, Any]) -> list[str]:
    return [key for key, value in record.items() if isinstance(value, str)]


def _ending(path: Path) -> str:
    """The ending of a name, compression aside."""
    return Path(path.stem).suffix if path.suffix in COMPRESSION else path.suffix


def _there(path: Path) -> Path | None:
    """The file, or its compressed form, if one is there."""
    forms: Iterator[Path] = (path.with_name(path.name + ending) for ending in ("", *COMPRESSION))
    return next((form for form in forms if form.is_file()), None)
