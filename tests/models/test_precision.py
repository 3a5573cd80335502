"""Embeddings in half precision: half the bytes, rounded once, and the same wherever they are read from."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from hardneg.arrays import Float32
from hardneg.data.batch import Batch
from hardneg.errors import ModelError
from hardneg.generators.dense import Dense
from hardneg.kinds import part
from hardneg.models import embeddings, matrices
from hardneg.models.embeddings import embed, find_matrix, matrix, row_embeddings
from hardneg.models.indexes import IVF
from hardneg.models.matrices import begun
from hardneg.protocols import Role
from hardneg.testing import HashedWords, check_generator

UNIT = 2.0**-11
"""Half precision has 11 significant bits: what is rounded moves by half of the last one at most."""


@part
class Halved:
    """Hashed words of many dimensions, as a plug-in would have them kept in half precision, which its identity does not
    tell."""

    precision: str = "float16"

    def identity(self) -> str:
        return "halved"

    def encode(self, texts: Sequence[str], role: Role) -> Float32:
        return HashedWords(dimensions=1024).encode(texts, role)


def bytes_of(batch: Batch, pattern: str) -> list[int]:
    return sorted(file.stat().st_size for file in batch.corpus.cache.root.glob(pattern))


@pytest.mark.parametrize("pattern", ["embeddings/*/matrix.npy", "memo/*/*.npy"])
def test_half_the_bytes_on_the_disk(batch_of: Callable[..., Batch], pattern: str) -> None:
    batch, sizes = batch_of(), []
    for precision in ("float32", "float16"):
        encoder = Halved(precision=precision)
        matrix(encoder, batch.corpus)
        embed(encoder, batch.queries, "query", batch.corpus.cache)
        sizes.append(bytes_of(batch, pattern))
    [whole], [half, _] = sizes
    assert half < 0.51 * whole


def test_a_text_has_one_vector_in_the_memo_and_in_the_matrix(batch_of: Callable[..., Batch]) -> None:
    batch, encoder = batch_of(), Halved()
    rows = np.arange(len(batch.corpus))
    fresh = row_embeddings(encoder, batch.corpus, rows)
    kept = row_embeddings(encoder, batch.corpus, rows)
    assert find_matrix(encoder, batch.corpus) is None
    matrix(encoder, batch.corpus)
    mapped = row_embeddings(encoder, batch.corpus, rows)
    assert fresh.dtype == kept.dtype == mapped.dtype == np.float32
    assert fresh.tolist() == kept.tolist() == mapped.tolist()
    assert fresh.tolist() != Halved().encode(batch.corpus.contents(rows), "passage").tolist()


def test_a_matrix_that_was_stopped_goes_on(batch_of: Callable[..., Batch], monkeypatch: pytest.MonkeyPatch) -> None:
    batch, encoder = batch_of(), Halved()
    wanted = row_embeddings(encoder, batch.corpus, np.arange(8))
    for module in (embeddings, matrices):
        monkeypatch.setattr(module, "BLOCK", 3)
    stop = iter([False, False, True])
    real = embeddings.embed
    monkeypatch.setattr(embeddings, "embed", lambda *a, **k: pytest.fail("stopped") if next(stop) else real(*a, **k))
    with pytest.raises(pytest.fail.Exception, match="stopped"):
        matrix(encoder, batch.corpus)
    assert begun(encoder, batch.corpus) == 6
    stop = iter([False])
    assert np.asarray(matrix(encoder, batch.corpus), np.float32).tolist() == wanted.tolist()


@pytest.mark.parametrize("dimensions", [8, 1024])
def test_a_similarity_moves_by_less_than_the_bound(dimensions: int) -> None:
    """|Σ q(1+ε)p(1+δ) − Σ qp| ≤ (2u + u²) Σ|qp| ≤ 2u + u² for unit vectors; numbers too small to be halved add
    2⁻²⁵ √d twice.
    """
    rng = np.random.default_rng(0)
    drawn = rng.standard_normal((2, 200, dimensions)) * 10.0 ** rng.uniform(-6, 0, (2, 200, dimensions))
    left, right = (drawn / np.linalg.norm(drawn, axis=-1, keepdims=True)).astype(np.float32)
    halves = [vectors.astype(np.float16).astype(np.float64) for vectors in (left, right)]
    moved = np.abs((halves[0] * halves[1]).sum(axis=1) - (left.astype(np.float64) * right).sum(axis=1))
    assert 0 < moved.max() <= 2 * UNIT + UNIT**2 + 2**-24 * dimensions**0.5 < 0.001
    lengths = np.linalg.norm(halves[0], axis=1)
    assert np.abs(lengths - 1).max() <= 5e-4


def test_a_precision_that_is_none(batch_of: Callable[..., Batch]) -> None:
    with pytest.raises(ModelError, match="has the precision 'int8'; vectors are kept in `float32` or `float16`"):
        matrix(Halved(precision="int8"), batch_of().corpus)


@pytest.mark.parametrize("search", ["blocks", "faiss", "ivf"])
def test_every_search_computes_with_the_rounded_vectors(batch_of: Callable[..., Batch], search: str) -> None:
    batch, encoder = batch_of(), Halved()
    found = check_generator(Dense(encoder=encoder, depth=4, search=IVF() if search == "ivf" else search), batch)
    queries = embed(encoder, batch.queries, "query", batch.corpus.cache)
    passages = row_embeddings(encoder, batch.corpus, found.rows)
    owners = np.repeat(np.arange(len(batch)), np.diff(found.offsets))
    np.testing.assert_allclose(found.scores, (queries[owners] * passages).sum(axis=1), atol=1e-6)
