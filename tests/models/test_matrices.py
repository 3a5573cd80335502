"""Embeddings in pieces on the disk are what one matrix is."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from hardneg.arrays import Float32, Pieces, cut
from hardneg.cache import folders
from hardneg.data.batch import Batch
from hardneg.models import embeddings, ranks
from hardneg.models.embeddings import candidate_embeddings, matrix, row_embeddings
from hardneg.models.matrices import begun, find_matrix
from hardneg.probe import probe
from hardneg.protocols import Role
from hardneg.testing import HashedWords

WORDS = HashedWords(dimensions=16)


@pytest.fixture
def batch(batch_of: Callable[..., Batch]) -> Batch:
    passages = {f"p{i}": f"w{i % 7} w{i % 11} w{i}" for i in range(100)}
    return batch_of(passages, {f"q{i}": f"w{i}" for i in range(5)}, {f"q{i}": [f"p{i}"] for i in range(5)})


def test_rows_are_those_of_one_array() -> None:
    whole = np.random.default_rng(0).random((20, 3), np.float32)
    pieces = Pieces([whole[:8], whole[8:9], whole[9:]])
    assert (len(pieces), pieces.shape, pieces.ndim) == (20, (20, 3), 2)
    for rows in (
        slice(None),
        slice(0, 8),
        slice(2, 5),
        slice(7, 12),
        slice(8, 99),
        slice(4, 4),
        np.array([19, 0, 8, 0]),
    ):
        np.testing.assert_array_equal(pieces[rows], whole[rows])
    assert np.shares_memory(pieces[9:20], whole)
    assert pieces[np.zeros(0, np.int64)].shape == (0, 3)


def test_whoever_needs_the_whole_takes_the_pieces(batch: Batch, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(3):
        matrix(WORDS, batch.corpus, cut(100, number, 3))
    monkeypatch.setattr(HashedWords, "encode", lambda *_: pytest.fail("encoded again"))
    whole = find_matrix(WORDS, batch.corpus)
    assert isinstance(whole, Pieces)
    assert isinstance(find_matrix(WORDS, batch.corpus, range(60, 80)), Pieces)
    assert isinstance(find_matrix(WORDS, batch.corpus, range(70, 80)), np.ndarray)
    monkeypatch.undo()
    wanted = WORDS.encode(batch.corpus.contents(np.arange(100)), "passage")
    np.testing.assert_array_equal(matrix(WORDS, batch.corpus)[:], wanted)
    np.testing.assert_array_equal(matrix(WORDS, batch.corpus, range(60, 80))[:], wanted[60:80])
    rows = np.array([99, 3, 50, 3])
    np.testing.assert_array_equal(row_embeddings(WORDS, batch.corpus, rows), wanted[rows])
    judged = batch.with_rows(np.array([0, 2, 2, 2, 2, 4]), rows)
    np.testing.assert_array_equal(candidate_embeddings(WORDS, judged, np.array([1, 2])), wanted[[3, 50]])
    monkeypatch.setattr(ranks, "ROWS_PER_BLOCK", 30)  # not where the pieces are cut
    texts, owners, inside = WORDS.encode(batch.queries, "query"), np.arange(5), np.ones(5, bool)
    own = np.einsum("kd,kd->k", texts, wanted[:5])
    np.testing.assert_array_equal(
        ranks.dense(texts, whole, owners, own, inside), ranks.dense(texts, wanted, owners, own, inside)
    )
    sets = {"some": [np.array([i + 5, i + 50]) for i in range(5)]}
    one, other = (probe(texts, passages, owners, sets)["some"] for passages in (whole, wanted))
    np.testing.assert_array_equal(one.values, other.values)


def test_a_damaged_piece_is_made_again(batch: Batch, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(3):
        wanted = np.array(matrix(WORDS, batch.corpus, cut(100, number, 3))[:])
    [file] = (batch.corpus.cache.root / "embeddings").glob("*-66-100/matrix.npy")
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    monkeypatch.setattr(folders, "_intact", set())
    with pytest.warns(UserWarning, match="has changed since it was written"):
        assert find_matrix(WORDS, batch.corpus) is None
    np.testing.assert_array_equal(matrix(WORDS, batch.corpus, range(66, 100))[:], wanted)
    assert isinstance(matrix(WORDS, batch.corpus), Pieces)


def test_how_far_a_part_came_is_known(batch: Batch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embeddings, "BLOCK", 16)
    monkeypatch.setattr("hardneg.models.matrices.BLOCK", 16)
    matrix(WORDS, batch.corpus, range(50))
    assert begun(WORDS, batch.corpus) == 50
    left = 2

    class Stopped(HashedWords):
        def encode(self, texts: Sequence[str], role: Role) -> Float32:
            nonlocal left
            left -= 1
            if left < 0:
                raise KeyboardInterrupt
            return super().encode(texts, role)

    with pytest.raises(KeyboardInterrupt):
        matrix(Stopped(dimensions=16), batch.corpus, range(50, 100))
    assert begun(WORDS, batch.corpus) == 82
    np.testing.assert_array_equal(
        matrix(WORDS, batch.corpus, range(50, 100))[:],
        WORDS.encode(batch.corpus.contents(np.arange(50, 100)), "passage"),
    )
