"""MS MARCO's three files."""

from pathlib import Path

import pytest

from hardneg.cache.folders import Cache
from hardneg.data import corpus
from hardneg.data.records import Example
from hardneg.errors import DataError
from hardneg.readers.msmarco import MSMARCO


def read(folder: Path, collection: str, queries: str, qrels: str) -> list[Example | str | None]:
    folder.mkdir(exist_ok=True)
    for name, text in (("c.tsv", collection), ("q.tsv", queries), ("r.tsv", qrels)):
        (folder / name).write_text(text)
    reader = MSMARCO(collection=folder / "c.tsv", queries=folder / "q.tsv", qrels=folder / "r.tsv")
    built = corpus.build(Cache(folder / "cache"), reader.passages())
    return [found.item or found.skipped for found in reader.examples(built.corpus, built.empty)]


def test_judged_queries(tmp_path: Path) -> None:
    found = read(tmp_path, "1\tone\n2\ttwo\n", "7\tseven\n8\teight\n9\tnine\n", "7\t0\t2\t1\n7 0 1 1\n8\t0\t1\t0\n")
    assert found == [
        Example("7", "seven", ("2", "1")),
        "query without a positive",
        "query without a judgment in this split",
        "judgment below `min_grade`",
    ]


def test_the_collection_of_documents_has_titles(tmp_path: Path) -> None:
    read(tmp_path, "D1\thttp://x\tTitle\tbody\n", "7\tseven\n", "7 0 D1 1\n")
    reader = MSMARCO(collection=tmp_path / "c.tsv", queries=tmp_path / "q.tsv", qrels=tmp_path / "r.tsv")
    [passage] = [found.item for found in reader.passages()]
    assert passage is not None
    assert passage.contents == "Title body"


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (("1 one\n", "7\tx\n", "7 0 1 1\n"), r"c.tsv:1: expected 2 or 4 columns by tabs, found 1"),
        (("1\tone\n", "7\t \n", "7 0 1 1\n"), r"q.tsv:1: the text of query `7` is empty"),
        (("1\tone\n", "7\tx\n7\ty\n", "7 0 1 1\n"), r"q.tsv:2: query id `7` already appears on line 1"),
        (("1\tone\n", "7\tx\n", "7 0 2 1\n"), r"r.tsv:1: passage id `2` is not in the collection"),
        (("1\tone\n", "7\tx\n", "7 0 1 1\n9 0 1 1\n"), r"r.tsv:2: query id `9` is not in q.tsv"),
        (("1\tone\n", "7\tx\n", "7 1 1\n"), r"r.tsv:1: expected query id, 0, passage id and grade"),
    ],
)
def test_errors_name_the_line(tmp_path: Path, files: tuple[str, str, str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(tmp_path, *files)


def test_every_judgment_is_counted_once(tmp_path: Path) -> None:
    files = {
        "c.tsv": "1\tone\n2\t \n3\tthree\n",
        "q.tsv": "7\tseven\n8\t \n",
        "r.tsv": "7 0 1 1\n7 0 1 1\n7 0 2 1\n7 0 3 0\n8 0 1 1\n8 0 3 0\n9 0 1 1\n9 0 3 1\n7 0 lost 1\n",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    c, q, r = (tmp_path / name for name in files)
    reader = MSMARCO(collection=c, queries=q, qrels=r, bad_lines="skip")
    built = corpus.build(Cache(tmp_path / "cache"), reader.passages())
    found = list(reader.examples(built.corpus, built.empty))
    assert [read.item.positives for read in found if read.item is not None] == [("1",)]
    assert {read.skipped: read.count for read in found if read.file == str(r) and read.problem is None} == {
        "judgment below `min_grade`": 2,
        "judgment that is there already": 1,
        "judgment of a passage without text": 1,
        "judgment of a query that cannot be used": 1,
    }
    assert sorted(read.line for read in found if read.file == str(r) and read.problem is not None) == [7, 8, 9]
