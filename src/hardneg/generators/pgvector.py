"""Dense retrieval by a PostgreSQL server with pgvector, for those whose passages lie in one already."""

from __future__ import annotations

import atexit
import math
from collections.abc import Sequence
from dataclasses import field
from functools import lru_cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
import tenacity
from typing_extensions import LiteralString

from hardneg.arrays import Float32, offsets_of
from hardneg.bounds import Count
from hardneg.data.batch import Batch
from hardneg.data.candidates import Candidates
from hardneg.data.corpus import Corpus
from hardneg.errors import DataError, MissingExtraError, ModelError, PartError
from hardneg.kinds import NEUTRAL, part
from hardneg.models.embeddings import embed
from hardneg.protocols import AnyEncoder

if TYPE_CHECKING:
    import psycopg
    from psycopg import sql

Rows = list[tuple[Any, ...]]
SAMPLE, ALIKE = 5, 0.98
"""So many passages are encoded again. Their vectors in the table must be as similar as this; half precision is."""
ATTEMPTS = 4
USUAL, DEEPEST = 40, 1000
"""pgvector's usual and highest ``hnsw.ef_search``."""
CONTENT = """
    SELECT extversion, rows, content FROM pg_extension, (
        SELECT count(*) AS rows,
               sum(('x' || substr(md5(decode(md5({id}::text), 'hex') || {send}({embedding})), 1, 15))::bit(60)::bigint)
                   AS content
        FROM {table}
    ) AS whole WHERE extname = 'vector'
"""
KIND = "SELECT format_type(atttypid, NULL) FROM pg_attribute WHERE attrelid = {name}::regclass AND attname = {column}"
NEAREST = """
    SELECT {id}::text, 1 - ({embedding} <=> %(query)s::{kind}) FROM {table}
    WHERE {embedding} IS NOT NULL ORDER BY {embedding} <=> %(query)s::{kind} LIMIT %(depth)s
"""
STORED = (
    "SELECT {id}::text, {embedding}::text FROM {table} WHERE {embedding} IS NOT NULL ORDER BY {id} LIMIT %(sample)s"
)


@part
class PGVector:
    """The passages nearest to the query by cosine similarity, found by a PostgreSQL server with pgvector 0.8 or later.

    ``table`` (or ``schema.table``) has a row per passage: its ``id`` as in the corpus, and its ``embedding``
    (``vector`` or ``halfvec``) under ``encoder``. A few passages are encoded again to see that it is so.
    ``connection`` is libpq's (``host=db dbname=passages``). What it leaves out comes from the environment (``PGHOST``,
    ``PGUSER``, …), and the password only from there (``PGPASSWORD``, ``~/.pgpass``).

    An index of the table is used and searched as deep as ``depth`` needs; what it misses is missed. ``exact: true``
    reads the whole table for every query. To know whether the table has changed, every run reads it once.
    """

    encoder: AnyEncoder
    table: str
    connection: str = field(default="", metadata=NEUTRAL)
    id: str = "id"
    embedding: str = "embedding"
    depth: Count = 50
    exact: bool = False

    def __post_init__(self) -> None:
        if find_spec("psycopg") is None:
            raise MissingExtraError("psycopg", "pgvector", "generator `pgvector`")
        import psycopg
        from psycopg.conninfo import conninfo_to_dict

        try:
            known = conninfo_to_dict(self.connection)
        except psycopg.ProgrammingError as error:
            raise PartError(f"`connection` is none that libpq reads: {_first_line(error)}") from None
        if "password" in known:
            raise PartError("`connection` must have no password; set PGPASSWORD, or write it into ~/.pgpass")

    def identity(self) -> str:
        """The version of pgvector, and a hash of all ids and vectors, in whatever order they lie."""
        [(version, rows, content)] = self._answers(CONTENT, send=f"{self._kind()}_send")[0]
        return f"pgvector {version}, {rows} rows, {content}"

    def generate(self, batch: Batch) -> Candidates:
        """Up to ``depth`` candidates an example, by falling cosine similarity. Of passages that are equally near,
        the server decides which are within the depth; those that it gives go by row.

        Raises `ModelError` when the server does not answer, `PartError` when the table is none or has other vectors,
        and `DataError` for an id that is not in the corpus.
        """
        kind = self._kind()
        _same_vectors(self, batch.corpus)
        queries = embed(self.encoder, batch.queries, "query", batch.corpus.cache)
        offsets, barred = batch.barred()
        depths = self.depth + np.diff(offsets)
        asked = [{"query": _text(vector), "depth": int(deep)} for vector, deep in zip(queries, depths, strict=True)]
        found: list[list[tuple[float, int]]] = []
        for i, answer in enumerate(self._answers(NEAREST, asked, kind=kind)):
            own = set(barred[offsets[i] : offsets[i + 1]].tolist())
            nearest: dict[int, float] = {}
            for name, score in answer:
                row = self.row(batch.corpus, name)
                if row not in own and math.isfinite(score):
                    nearest[row] = max(score, nearest.get(row, score))
            found.append(sorted((-score, row) for row, score in nearest.items())[: self.depth])
        flat = [pair for pairs in found for pair in pairs]
        return Candidates(
            offsets_of([len(pairs) for pairs in found]),
            np.array([row for _, row in flat], np.int64),
            np.array([-score for score, _ in flat], np.float32),
        )

    def row(self, corpus: Corpus, identifier: str) -> int:
        """The row of a passage. Raises `DataError` when the corpus has none such."""
        try:
            return corpus.row(identifier)
        except KeyError:
            raise DataError(f"table {self.table}: passage id `{identifier}` is not in the corpus") from None

    def stored(self) -> Rows:
        """Ids and vectors, as text, of the first few passages."""
        return self._answers(STORED, [{"sample": SAMPLE}])[0]

    def _kind(self) -> str:
        from psycopg import sql

        table = sql.Identifier(*self.table.split(".")).as_string(None)
        [answer] = self._answers(KIND, name=sql.Literal(table), column=sql.Literal(self.embedding))
        kind = answer[0][0] if answer else "missing"
        if kind not in {"vector", "halfvec"}:
            raise PartError(f"table {self.table}: column `{self.embedding}` must be a vector or halfvec; it is {kind}")
        return str(kind)

    def _answers(
        self, template: LiteralString, parameters: Sequence[dict[str, Any]] = ({},), **names: str | sql.Literal
    ) -> list[Rows]:
        """The rows of a query for each set of parameters, tried again when the connection is lost."""
        import psycopg
        from psycopg import sql

        columns = {"id": sql.Identifier(self.id), "embedding": sql.Identifier(self.embedding)}
        more = {key: sql.Identifier(value) if isinstance(value, str) else value for key, value in names.items()}
        query = sql.SQL(template).format(table=sql.Identifier(*self.table.split(".")), **columns, **more)
        trying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(psycopg.OperationalError),
            stop=tenacity.stop_after_attempt(ATTEMPTS),
            wait=tenacity.wait_exponential(max=10),
            after=lambda _: disconnect(),
            reraise=True,
        )
        try:
            return trying(_ask, self.connection, query, parameters, self.depth, self.exact)
        except psycopg.OperationalError as error:
            raise ModelError(f"PostgreSQL gave no answer in {ATTEMPTS} attempts: {_first_line(error)}") from error
        except psycopg.Error as error:
            raise PartError(f"table {self.table}: {_first_line(error)}") from error


def _ask(
    connection: str, query: sql.Composed, parameters: Sequence[dict[str, Any]], depth: int, exact: bool
) -> list[Rows]:
    server = _connected(connection)
    settings = {
        "hnsw.ef_search": str(min(max(depth, USUAL), DEEPEST)),  # the same for all queries, whatever else is asked
        "hnsw.iterative_scan": "strict_order",
        "enable_indexscan": "off" if exact else "on",
    }
    with server.transaction():
        for name, value in settings.items():
            server.execute("SELECT set_config(%s, %s, true)", (name, value))
        with server.pipeline():
            cursors = [server.execute(query, given) for given in parameters]
        return [cursor.fetchall() for cursor in cursors]


OPEN: dict[str, psycopg.Connection[Any]] = {}
"""The connections of this process."""


def _connected(connection: str) -> psycopg.Connection[Any]:
    import psycopg

    if connection not in OPEN:
        OPEN[connection] = psycopg.connect(connection, autocommit=True, connect_timeout=10)
    return OPEN[connection]


@atexit.register
def disconnect() -> None:
    """Closes the connections of this process."""
    while OPEN:
        OPEN.popitem()[1].close()


@lru_cache(maxsize=4)
def _same_vectors(part: PGVector, corpus: Corpus) -> None:
    """Raises `PartError` where the vectors of the table are not the encoder's."""
    stored = part.stored()
    rows = np.array([part.row(corpus, name) for name, _ in stored], np.int64)
    made = embed(part.encoder, corpus.contents(rows), "passage", corpus.cache)
    for (name, text), vector in zip(stored, made, strict=True):
        other = np.array(text.strip("[]").split(","), np.float32)
        if len(other) != len(vector):
            raise PartError(f"table {part.table}: vectors have {len(other)} numbers, and the encoder's {len(vector)}")
        similarity = float(other @ vector / np.linalg.norm(other))
        if not similarity >= ALIKE:
            raise PartError(
                f"table {part.table}: the vector of passage `{name}` is not what `encoder` makes of it (cosine "
                f"similarity {similarity:.2f}); name the encoder and prompts that filled the table"
            )


def _text(vector: Float32) -> str:
    return f"[{','.join(map(repr, vector.tolist()))}]"


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
