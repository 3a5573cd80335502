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
        (("1\tone\n", "7\tx\n7\ty\n", "7 0 1 1\n"), r"q.tsv:2: query id `7` is there already, in line 1"),
        (("1\tone\n", "7\tx\n", "7 0 2 1\n"), r"r.tsv:1: passage id `2` is not in the collection"),
        (("1\tone\n", "7\tx\n", "7 0 1 1\n9 0 1 1\n"), r"r.tsv:2: query id `9` is not in q.tsv"),
        (("1\tone\n", "7\tx\n", "7 1 1\n"), r"r.tsv:1: expected query id, 0, passage id and grade"),
    ],
)
def test_errors_name_the_line(tmp_path: Path, files: tuple[str, str, str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(tmp_path, *files)
