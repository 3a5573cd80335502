"""The corpus: by row, by id, by content; built once."""

import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from support import on_linux

from hardneg.cache.folders import Cache
from hardneg.data import corpus
from hardneg.data.records import Passage, Read
from hardneg.errors import DataError, StoreError
from hardneg.testing import faults
from hardneg.testing.faults import every_fault


def reads(*passages: Passage) -> list[Read[Passage]]:
    return [Read(passage, "corpus.jsonl", line) for line, passage in enumerate(passages, 1)]


SOME = (Passage("b", "text of b", "Title"), Passage("a", "text of a"), Passage("ü/..", "ünï"))


def test_passages_by_row_and_by_id(tmp_path: Path) -> None:
    built = corpus.build(Cache(tmp_path), reads(*SOME)).corpus
    assert [built.passage(row) for row in range(len(built))] == list(SOME)
    assert [built.row(passage.id) for passage in SOME] == [0, 1, 2]
    assert built.contents(np.array([2, 0])) == ["ünï", "Title text of b"]
    assert "a" in built
    assert "c" not in built


def test_contents_are_those_of_a_passage(tmp_path: Path) -> None:
    odd = [Passage("1", " spaced ", " t "), Passage("2", "", "only title"), Passage("3", "x\u00a0", "")]
    built = corpus.build(Cache(tmp_path), reads(*odd)).corpus
    assert built.contents(np.arange(3)) == [passage.contents for passage in odd]


def test_of_no_passages_there_are_no_rows(tmp_path: Path) -> None:
    built = corpus.build(Cache(tmp_path), reads()).corpus
    assert len(built) == len(built.column("id", np.zeros(0, np.int64))) == 0


def test_many_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpus, "ROWS_PER_BLOCK", 7)
    many = [Passage(f"p{i}", f"text {i}") for i in range(50)]
    built = corpus.build(Cache(tmp_path), reads(*many)).corpus
    assert built.ids(np.array([49, 0, 13])) == ["p49", "p0", "p13"]
    assert all(built.row(f"p{i}") == i for i in range(50))
    rows = np.random.default_rng(0).integers(0, 50, 200)
    assert built.contents(rows) == [f"text {i}" for i in rows]
    assert built.ids(rows[:0]) == []


def test_what_is_asked_for_is_all_that_is_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpus, "ROWS_PER_BLOCK", 7)
    built = corpus.build(Cache(tmp_path), reads(*(Passage(f"p{i}", f"{i} " * 5_000) for i in range(50)))).corpus
    usual = pa.default_memory_pool()
    pa.set_memory_pool(pool := pa.proxy_memory_pool(usual))
    try:
        assert len(built.column("text", np.array([40, 3]))) == 2
    finally:
        pa.set_memory_pool(usual)
    assert pool.max_memory() < 100_000, "the column has 700,000 bytes"


def test_equal_passages_are_one_folder_and_any_change_another(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    first = corpus.build(cache, reads(*SOME)).corpus.fingerprint
    assert corpus.build(cache, reads(*SOME)).corpus.fingerprint == first
    assert corpus.build(cache, reads(*SOME[::-1])).corpus.fingerprint != first
    moved = Passage("a", "of a", "text")  # the same words, the border elsewhere
    assert corpus.build(cache, reads(SOME[0], moved, SOME[2])).corpus.fingerprint != first


def test_empty_passages_are_left_out_and_counted(tmp_path: Path) -> None:
    built = corpus.build(Cache(tmp_path), reads(Passage("x", "  ", ""), *SOME, Passage("y", "")))
    assert built.skipped == {"passage without text": 2}
    assert built.empty == {"x", "y"}
    assert len(built.corpus) == 3


def test_an_id_that_occurs_twice_is_an_error_that_names_both_lines(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"corpus.jsonl:4: passage id `a` already appears on line 2; ids must be unique"
    ):
        corpus.build(Cache(tmp_path), reads(*SOME, Passage("a", "another")))
    assert not (tmp_path / "corpora").exists()


def test_rows_with_equal_text(tmp_path: Path) -> None:
    built = corpus.build(Cache(tmp_path), reads(*SOME, Passage("c", "TEXT  of A"))).corpus
    assert built.find(["text of a", "Title text of b", "nothing"]).tolist() == [1, 0, -1]
    owners, rows = built.rows_with(np.array([corpus.content_hash("text of A")], np.uint64), np.array([7]))
    assert sorted(zip(owners.tolist(), rows.tolist(), strict=True)) == [(7, 1), (7, 3)]


def test_building_the_same_at_the_same_time_is_safe(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    with ThreadPoolExecutor(8) as pool:
        built = list(pool.map(lambda _: corpus.build(cache, reads(*SOME)).corpus.passage(1), range(16)))
    assert built == [SOME[1]] * 16


def test_a_damaged_corpus_is_named(tmp_path: Path) -> None:
    built = corpus.build(Cache(tmp_path), reads(*SOME)).corpus
    file = built.path / "passages.arrow"
    file.write_bytes(file.read_bytes()[:40])
    with pytest.raises(StoreError, match="delete that folder and run again"):
        corpus.Corpus(built.path, built.cache).passage(0)


def test_a_corpus_goes_to_a_worker_without_its_data(tmp_path: Path) -> None:
    built = corpus.build(Cache(tmp_path), reads(*SOME)).corpus
    built.passage(0)
    sent = pickle.dumps(built)
    assert len(sent) < 1_000
    assert pickle.loads(sent).passage(0) == SOME[0]


def built(folder: Path) -> int:
    """A program: builds a corpus, and says in one line why it cannot."""
    passages = [Passage(f"d{n}", f"text {n}") for n in range(200)]
    try:
        corpus.build(Cache(folder / "cache"), reads(*passages))
    except StoreError as error:
        print(error)
        return 1
    return 0


@on_linux
def test_a_disk_that_takes_a_part_of_an_array_is_named(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    for trial in every_fault(built, tmp_path / "root", [faults.TOO_LARGE]):
        assert trial.status == 1, trial
        assert "the cache folder cannot be written" in trial.output, trial
