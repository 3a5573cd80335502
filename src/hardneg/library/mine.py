"""From pairs to a training set in one call: a job's path without YAML."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from hardneg.cache.folders import Cache
from hardneg.engines.local import Local
from hardneg.errors import DataError, HardnegError, MissingExtraError, PartError
from hardneg.exports.rows import Short, longest
from hardneg.exports.sentence_transformers import SentenceTransformers
from hardneg.filters.duplicate import Duplicate
from hardneg.filters.eci_safety import DEFAULT, ECISafety
from hardneg.generators.bm25 import BM25
from hardneg.generators.dense import Dense
from hardneg.generators.random import Random
from hardneg.models.in_memory import as_encoder
from hardneg.pages.notebook import Report
from hardneg.pipeline.plan import Plan
from hardneg.pipeline.run import Pipeline
from hardneg.pipeline.store import Memory
from hardneg.protocols import Filter, Generator, Scorer
from hardneg.readers.pairs import Pairs
from hardneg.scorers.bi_encoder import BiEncoder
from hardneg.scorers.false_negative import FalseNegative
from hardneg.selectors.top import Top

if TYPE_CHECKING:
    from datasets import Dataset


CONTROL = "random"
"""The easy control's name."""


class Mined(NamedTuple):
    """A training set, and the report of the run, as in a job's ``report.json``. In a notebook, the report's table.

    >>> from hardneg.pages.notebook import Report
    >>> Mined(dataset=None, report=Report(warnings=[])).report["warnings"]
    []
    """

    dataset: Dataset
    report: Report

    def __repr__(self) -> str:
        """The report's first lines, and the shape of the data set."""
        columns = ", ".join(self.dataset.column_names)
        return "\n".join([*self.report.lines, f"{len(self.dataset):,} rows: {columns}"])

    def _repr_html_(self) -> str:
        return self.report._repr_html_()


def mine(
    dataset: Dataset | Sequence[Mapping[str, str]] | Mapping[str, Sequence[str]],
    model: Any,
    *,
    corpus: Sequence[str] | None = None,
    query: str | None = None,
    positive: str | None = None,
    depth: int = 50,
    per_query: int = 7,
    calibrated: float | None = DEFAULT,
    margin: float | None = None,
    generators: Mapping[str, Generator] | None = None,
    filters: Mapping[str, Filter] | None = None,
    output_format: Literal["triplet", "n-tuple", "labeled-pair", "labeled-list"] = "n-tuple",
    scores: bool = False,
    short: Short = "repeat",
    query_prompt: str | None = None,
    passage_prompt: str | None = None,
    batch_size: int = 32,
    cache: str | Path | None = None,
) -> Mined:
    """Hard negatives for (query, positive) rows; rows with the same query are its positives together.

    ``dataset``: a `datasets.Dataset`, a list of records, or a mapping of columns.

    ``model``: the encoder that will be trained: a name, a folder, a ``SentenceTransformer``, or anything with
    ``encode``. ``corpus``: where candidates come from; left out, the positives. ``query`` and ``positive`` name the
    columns; left out, the first two. Candidates come from BM25 and from the model, ``depth`` each, unless
    ``generators`` says otherwise; random passages are scored beside them as a control. Refused is what repeats another
    text, what is likelier than ``calibrated`` to be relevant, and what is nearer than ``margin`` to the positive (None
    switches either off); ``filters`` come after these and may read the scores ``target`` and ``doubt``. ``per_query``
    negatives are chosen at most, hardest first. ``output_format``, ``scores`` and ``short`` are those of the export
    `sentence_transformers`: an n-tuple is as wide as the longest set, and shorter ones repeat theirs. Where a query has
    too few negatives left, the search goes deeper for it. Queries that stay short are counted and warned about.
    ``cache`` keeps embeddings for another call; left out, they are forgotten.

    Raises `DataError` for texts that cannot be mined, `PartError` for arguments that make no sense, and `HardnegError`
    where no negative is left for any query.

    >>> from datasets import Dataset
    >>> from hardneg.testing import HashedWords
    >>> pairs = Dataset.from_dict({"query": ["red cat", "blue dog"], "passage": ["a red cat", "a blue dog"]})
    >>> found = mine(pairs, HashedWords(), calibrated=None, per_query=1, output_format="triplet")
    >>> found.dataset[0]
    {'anchor': 'red cat', 'positive': 'a red cat', 'negative': 'a blue dog'}
    """
    try:
        import pyarrow as pa
        from datasets import Dataset
    except ImportError as error:
        raise MissingExtraError("datasets", "datasets", "`mine`") from error
    queries, positives = _columns(dataset, query, positive)
    pairs = Pairs(queries=tuple(queries), positives=tuple(positives), corpus=() if corpus is None else tuple(corpus))
    if CONTROL in (generators or {}):
        raise PartError(f"`{CONTROL}` is the name of the control; choose another for your generator")
    encoder = as_encoder(model, query_prompt=query_prompt, passage_prompt=passage_prompt, batch_size=batch_size)
    scorers: dict[str, Scorer] = {"target": BiEncoder(encoder=encoder)}
    checks: dict[str, Filter] = {"repeats": Duplicate()}
    if calibrated is not None:
        scorers["doubt"] = FalseNegative(encoder=encoder)
        checks["doubtful"] = ECISafety(scorer="doubt", calibrated=calibrated)
    if margin is not None:
        checks["near"] = ECISafety(scorer="target", margin=margin)
    found: dict[str, Generator] = dict(
        generators or {"bm25": BM25(depth=depth), "dense": Dense(encoder=encoder, depth=depth)}
    )
    plan = Plan(
        reader=pairs,
        generators=found | {CONTROL: Random(depth=depth)},
        scorers=scorers,
        filters=checks | dict(filters or {}),
        selector=Top(scorer="target", per_query=per_query),
        target="target",
        controls=(CONTROL,),
        deepen=2,
    )
    export = SentenceTransformers(format=output_format, scores=scores, scorer="target", short=short)
    with tempfile.TemporaryDirectory(prefix="hardneg-") as folder:
        result = Pipeline(plan, Memory(), Cache(Path(cache or folder)), Local()).run()
        width = longest(result.batches) if output_format == "n-tuple" else 0
        made = [export.table(batch, width) for batch in result.batches]
        rows = pa.concat_tables([part.rows for part in made])
        left_out, repeated = sum(part.left_out for part in made), sum(part.repeated for part in made)
        problems = [f"{left_out} queries are left out: they have no negative left"] if left_out else []
        if repeated:
            problems.append(f"{repeated} queries repeat their negatives: they have fewer than {width}")
        if not rows.num_rows:
            raise HardnegError("no negative is left for any query; loosen the filters or raise `depth`")
        for problem in problems:
            warnings.warn(f"{problem}; loosen the filters, raise `depth`, or add a generator", stacklevel=2)
        report = result.report | {"left out": left_out, "warnings": [*result.report["warnings"], *problems]}
        return Mined(Dataset(rows), Report(report))


def _columns(dataset: Any, query: str | None, positive: str | None) -> tuple[list[str], list[str]]:
    """The queries and positives of a data set, a list of records, or a mapping of columns."""
    if not hasattr(dataset, "column_names"):
        dataset = _as_dataset(dataset)
    if isinstance(dataset.column_names, Mapping):  # a DatasetDict
        raise DataError(f"the data set has several splits ({', '.join(dataset.column_names)}); name one: data['train']")
    names = list(dataset.column_names)
    for name in (query, positive):
        if name is not None and name not in names:
            raise DataError(f"there is no column `{name}`; the data set has: {', '.join(names)}")
    if len(names) < 2 or (query is not None and query == positive):
        raise DataError("the data set needs two columns, the query and the positive")
    query = query or next(name for name in names if name != positive)
    positive = positive or next(name for name in names if name != query)
    return list(dataset[query]), list(dataset[positive])


def _as_dataset(rows: Any) -> Dataset:
    """A list of records or a mapping of columns as a data set."""
    from datasets import Dataset

    if isinstance(rows, Mapping) and all(isinstance(column, (list, tuple)) for column in rows.values()):
        return Dataset.from_dict(dict(rows))
    if isinstance(rows, Mapping):
        raise DataError(f"this is a mapping with the keys {', '.join(map(str, rows))}; name one split, or give columns")
    if isinstance(rows, (list, tuple)) and rows and all(isinstance(row, Mapping) for row in rows):
        return Dataset.from_list(list(rows))
    raise DataError("expected a `datasets.Dataset`, a list of records, or a mapping of columns")
