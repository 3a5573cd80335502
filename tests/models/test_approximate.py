"""Approximate search with the real libraries: built once, mapped, with exact similarities, and measured."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import files_of_at_most, on_linux

from hardneg.arrays import span
from hardneg.data.batch import Batch
from hardneg.errors import MissingExtraError, PartError, StoreError
from hardneg.generators.dense import Dense
from hardneg.models import approximate, indexes
from hardneg.models.approximate import GROUP
from hardneg.models.embeddings import embed, matrix
from hardneg.models.indexes import HNSW, IVF
from hardneg.testing import HashedWords, check_generator, make_batch

ENCODER = HashedWords()
INDEXES = {
    "hnsw of faiss": HNSW(m=8, ef_construction=40),
    "hnsw of usearch": HNSW(library="usearch", m=8, ef_construction=40),
    "ivf": IVF(nlist=12, nprobe=6),
}
EACH = pytest.mark.parametrize("index", INDEXES.values(), ids=INDEXES)
DEPTH = 20


def batch_in(folder: Path) -> Batch:
    """600 passages of 10 subjects, 25 queries; q0 has 70 positives; one passage is there three times."""
    rng = np.random.default_rng(0)
    words = [[f"w{subject}x{i}" for i in range(12)] for subject in range(10)]
    passages = {f"p{i}": " ".join(rng.choice(words[i % 10], 9)) for i in range(600)}
    passages |= {"twin1": passages["p7"], "twin2": passages["p7"].upper()}
    queries = {f"q{i}": " ".join(rng.choice(words[i % 10], 4)) for i in range(25)}
    positives = {name: [f"p{i}"] for i, name in enumerate(queries)} | {"q0": [f"p{i}" for i in range(0, 700, 10)][:60]}
    return make_batch(folder, passages, queries, positives)


@pytest.fixture(scope="module")
def batch(tmp_path_factory: pytest.TempPathFactory) -> Batch:
    return batch_in(tmp_path_factory.mktemp("corpus"))


def dense(index: Any, depth: int = DEPTH) -> Dense:
    return Dense(encoder=ENCODER, depth=depth, search=index)


def folders(batch: Batch) -> list[Path]:
    return sorted(path for path in (batch.corpus.cache.root / GROUP).glob("*") if not path.name.startswith("."))


@EACH
def test_what_is_found_has_its_exact_similarity_and_is_no_positive(batch: Batch, index: Any) -> None:
    found, exact = check_generator(dense(index), batch), check_generator(dense("blocks"), batch)
    queries = embed(ENCODER, batch.queries, "query", batch.corpus.cache)
    passages = np.asarray(matrix(ENCODER, batch.corpus))
    offsets, barred = batch.barred()
    for i in range(len(batch)):
        own = span(found.offsets, i)
        rows, scores = found.rows[own], found.scores[own]
        np.testing.assert_allclose(scores, passages[rows] @ queries[i], atol=1e-6)
        assert not np.isin(rows, barred[span(offsets, i)]).any()
        assert rows[np.lexsort((rows, -scores))].tolist() == rows.tolist(), "best first, ties by row"
        assert len(rows) == DEPTH
        assert np.isin(rows, exact.rows[span(exact.offsets, i)]).mean() >= 0.9


@EACH
def test_what_a_query_finds_does_not_depend_on_what_is_asked_with_it(batch: Batch, index: Any) -> None:
    from hardneg.data.subset import subset

    whole = dense(index).generate(batch)
    some = np.array([0, 3, 24])  # q0 is searched for 64 deeper
    part = dense(index).generate(subset(batch, some))
    for place, i in enumerate(some):
        for column in ("rows", "scores"):
            own, other = (getattr(c, column)[span(c.offsets, j)] for c, j in ((part, place), (whole, i)))
            assert own.tolist() == other.tolist()


@EACH
def test_the_same_corpus_gives_the_same_index_and_it_is_built_once(
    batch: Batch, index: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dense(index).generate(batch)
    other = batch_in(tmp_path)
    dense(index).generate(other)
    [again] = folders(other)
    [first] = [folder for folder in folders(batch) if folder.name == again.name]
    assert (again / indexes.FILE).read_bytes() == (first / indexes.FILE).read_bytes()
    monkeypatch.setattr(type(index), "build", lambda *_: pytest.fail("it is built again"))
    approximate._kept_open.cache_clear()
    dense(replace(index, check=7, **{index.key: 90})).generate(other)  # what decides the search alone


@pytest.mark.parametrize(
    ("index", "changes"),
    [(HNSW(m=8), {"m": 9}), (HNSW(m=8), {"ef_construction": 41}), (HNSW(m=8), {"library": "usearch"}), (IVF(), {"nlist": 3})],
)  # fmt: skip
def test_what_decides_the_index_makes_another(batch: Batch, index: Any, changes: dict[str, Any]) -> None:
    dense(index).generate(batch)
    before = folders(batch)
    dense(replace(index, **changes)).generate(batch)
    assert len(folders(batch)) == len(before) + 1


@on_linux
@EACH
def test_an_index_is_mapped_and_not_read(index: Any, tmp_path: Path) -> None:
    batch = batch_in(tmp_path)
    dense(index).generate(batch)
    [folder] = folders(batch)
    maps = Path("/proc/self/maps").read_text().splitlines()
    assert str(folder / indexes.FILE) in {line.split()[-1] for line in maps}


@EACH
@pytest.mark.parametrize("size", [0.5, 1], ids=["cut in half", "another bit"])
def test_an_index_that_has_changed_is_built_again(
    index: Any, size: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = batch_in(tmp_path)
    found = dense(index).generate(batch)
    [folder] = folders(batch)
    content = (folder / indexes.FILE).read_bytes()
    changed = bytearray(content[: int(len(content) * size)])
    changed[-9] ^= 1
    (folder / indexes.FILE).unlink()
    (folder / indexes.FILE).write_bytes(changed)
    with pytest.warns(UserWarning, match="index has .* it is removed and made again"):
        again = dense(index).generate(batch)
    assert again.rows.tolist() == found.rows.tolist()
    assert (folder / indexes.FILE).read_bytes() == content


@on_linux
@EACH
def test_a_disk_that_does_not_take_the_whole_of_an_index(index: Any, tmp_path: Path) -> None:
    batch = batch_in(tmp_path)
    embed(ENCODER, batch.queries, "query", batch.corpus.cache)
    matrix(ENCODER, batch.corpus)
    with files_of_at_most(50_000), pytest.raises(StoreError, match="the cache folder cannot be written"):
        dense(index).generate(batch)
    assert folders(batch) == []
    assert len(dense(index).generate(batch).rows) == DEPTH * len(batch)


@EACH
def test_what_is_measured_is_the_share_of_the_exact_nearest(batch: Batch, index: Any) -> None:
    part = dense(replace(index, nprobe=1) if isinstance(index, IVF) else index)
    assert part.approximation == (type(index).__name__.lower(), DEPTH, 200, index.key)
    shares = part.recall(batch.corpus, batch.queries, *batch.barred())
    found, exact = part.generate(batch), dense("blocks").generate(batch)
    own = [
        np.isin(exact.rows[span(exact.offsets, i)], found.rows[span(found.offsets, i)]).mean()
        for i in range(len(batch))
    ]
    np.testing.assert_allclose(shares, own, atol=0.051)  # at the end an equal one will do
    assert (shares < 1).any() == isinstance(index, IVF)


def test_nothing_is_measured_of_an_exact_search_or_where_nobody_asks() -> None:
    assert dense("blocks").approximation is None
    assert dense(IVF(check=0)).approximation is None


@EACH
def test_a_corpus_smaller_than_the_depth(index: Any, batch_of: Callable[..., Batch]) -> None:
    batch = batch_of()
    found, exact = (check_generator(dense(search), batch) for search in (index, "blocks"))
    assert found.rows.tolist() == exact.rows.tolist()
    assert dense(index).recall(batch.corpus, batch.queries, *batch.barred()).tolist() == [1, 1, 1]


def test_a_library_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(indexes, "find_spec", lambda _: None)
    with pytest.raises(MissingExtraError, match=r"an index of usearch needs `usearch`.*hardneg\[usearch\]"):
        HNSW(library="usearch")
    with pytest.raises(MissingExtraError, match=r"hardneg\[faiss\]"):
        IVF()


def test_bounds() -> None:
    with pytest.raises(PartError, match="`m` must be at least 2 and at most 512, not 1"):
        HNSW(m=1)
    with pytest.raises(PartError, match="`nprobe` must be at least 1, not 0"):
        IVF(nprobe=0)
