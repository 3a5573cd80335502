"""From pairs to a training set in one call: a job's path without YAML."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from hardneg.cache.folders import Cache
from hardneg.engines.local import Local
from hardneg.errors import DataError, PartError
from hardneg.exports.rows import longest
from hardneg.exports.sentence_transformers import SentenceTransformers
from hardneg.filters.duplicate import Duplicate
from hardneg.filters.eci_safety import ECISafety
from hardneg.generators.bm25 import BM25
from hardneg.generators.dense import Dense
from hardneg.generators.random import Random
from hardneg.models.in_memory import as_encoder
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
    """A training set, and the report of the run, as in a job's ``report.json``.

    >>> Mined(dataset=None, report={"warnings": []}).report["warnings"]
    []
    """

    dataset: Dataset
    report: dict[str, Any]


def mine(
    dataset: Dataset,
    model: Any,
    *,
    corpus: Sequence[str] | None = None,
    query: str | None = None,
    positive: str | None = None,
    depth: int = 50,
    per_query: int = 7,
    calibrated: float | None = 0.5,
    margin: float | None = None,
    generators: Mapping[str, Generator] | None = None,
    filters: Mapping[str, Filter] | None = None,
    output_format: Literal["triplet", "n-tuple", "labeled-pair", "labeled-list"] = "n-tuple",
    scores: bool = False,
    query_prompt: str | None = None,
    passage_prompt: str | None = None,
    batch_size: int = 32,
    cache: str | Path | None = None,
) -> Mined:
    """Hard negatives for a data set of (query, positive) rows; rows with the same query are its positives together.

    ``model``: the encoder that will be trained: a name, a folder, a ``SentenceTransformer``, or anything with
    ``encode``. ``corpus``: where candidates come from; left out, the positives. ``query`` and ``positive`` name the
    columns; left out, the first two. Candidates come from BM25 and from the model, ``depth`` each, unless
    ``generators`` says otherwise; random passages are scored beside them as a control. Refused is what repeats another
    text, what is likelier than ``calibrated`` to be relevant, and what is nearer than ``margin`` to the positive (None
    switches either off); ``filters`` come after these and may read the scores ``target`` and ``doubt``. ``per_query``
    negatives are chosen at most, hardest first; an n-tuple is as wide as the longest set, shorter ones are left out,
    counted in the report and warned about. ``output_format`` and ``scores`` are the export `sentence_transformers`'s.
    ``cache`` keeps embeddings for another call; left out, they are forgotten.

    Raises `DataError` for texts that cannot be mined, `PartError` for arguments that make no sense.

    >>> from datasets import Dataset
    >>> from hardneg.testing import HashedWords
    >>> pairs = Dataset.from_dict({"query": ["red cat", "blue dog"], "passage": ["a red cat", "a blue dog"]})
    >>> found = mine(pairs, HashedWords(), calibrated=None, per_query=1, output_format="triplet")
    >>> found.dataset[0]
    {'anchor': 'red cat', 'positive': 'a red cat', 'negative': 'a blue dog'}
    """
    from datasets import Dataset

    names = list(dataset.column_names)
    for name in (query, positive):
        if name is not None and name not in names:
            raise DataError(f"there is no column `{name}`; the data set has: {', '.join(names)}")
    if len(names) < 2 or (query is not None and query == positive):
        raise DataError("the data set needs two columns, the query and the positive")
    query = query or next(name for name in names if name != positive)
    positive = positive or next(name for name in names if name != query)
    pairs = Pairs(
        queries=tuple(dataset[query]),
        positives=tuple(dataset[positive]),
        corpus=() if corpus is None else tuple(corpus),
    )
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
    )
    export = SentenceTransformers(format=output_format, scores=scores, scorer="target")
    with tempfile.TemporaryDirectory(prefix="hardneg-") as folder:
        result = Pipeline(plan, Memory(), Cache(Path(cache or folder)), Local()).run()
        import pyarrow as pa

        width = longest(result.batches) if output_format == "n-tuple" else 0
        made = [export.table(batch, width) for batch in result.batches]
        short = sum(entry[1] for entry in made)
        report = result.report | {"left out": short}
        if short:
            remark = f"{short} queries are left out: they have fewer than the {max(width, 1)} negatives of the others"
            warnings: list[str] = [*result.report["warnings"]]
            report["warnings"] = [*warnings, f"{remark}; lower `per_query`, raise `depth`, or take triplets"]
        return Mined(Dataset(pa.concat_tables([entry[0] for entry in made])), report)
