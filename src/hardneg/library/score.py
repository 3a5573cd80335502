"""The numbers of a training file that somebody has already."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from hardneg.cache.folders import cache_at
from hardneg.engines.local import Local
from hardneg.filters.eci_safety import ECISafety
from hardneg.generators.file import File
from hardneg.models.in_memory import as_encoder
from hardneg.pages.notebook import Report
from hardneg.pipeline.plan import Plan
from hardneg.pipeline.run import Pipeline
from hardneg.pipeline.store import Folder
from hardneg.readers.training_file import TrainingFile
from hardneg.scorers.bi_encoder import BiEncoder
from hardneg.selectors.everything import Everything


def score(
    file: Path,
    model: Any,
    *,
    margin: float | None = None,
    query_prompt: str | None = None,
    passage_prompt: str | None = None,
    cache: Path | None = None,
) -> Report:
    """The report of a training file, as in a job's ``report.json``; its one source is called ``file``.

    ``file``: any format that the generator ``file`` reads. ``model``: the encoder that will be trained. ``margin`` also
    says what a safety margin would leave. Raises `DataError` for a file that cannot be read.
    """
    encoder = as_encoder(model, query_prompt=query_prompt, passage_prompt=passage_prompt)
    plan = Plan(
        reader=TrainingFile(path=file),
        generators={"file": File(path=file)},
        scorers={"target": BiEncoder(encoder=encoder)},
        filters={} if margin is None else {"safe": ECISafety(scorer="target", margin=margin)},
        selector=Everything(),
        target="target",
        at=(1,),
    )
    with tempfile.TemporaryDirectory(prefix="hardneg-") as folder:
        return Pipeline(plan, Folder(Path(folder)), cache_at(cache), Local()).run().report
