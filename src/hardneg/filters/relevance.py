"""Candidates that a judge calls relevant, dropped, or made positives where a second signal agrees."""

from __future__ import annotations

from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field

from hardneg.arrays import Bool
from hardneg.data.addressing import addressing_candidates
from hardneg.data.batch import Batch
from hardneg.data.candidates import Verdicts
from hardneg.errors import PartError
from hardneg.kinds import part


@part
class Relevance:
    """Drops candidates that ``scorer``, one of kind ``llm_judge``, grades ``max`` or higher (0 to 3).

    ``relabel``: makes positives of those that are passages of the corpus, where ``agree``, the name of another scorer
    of the job, agrees: it gives the passage ``agree_from`` or more or, left out, as much as the best of the query's
    known positives. Every export then has them there, and the refusal is still recorded. A passage that addresses its
    reader (`data.addressing`), one on which the two do not agree, and a text that a model wrote are dropped and no
    positives. A low grade, or none, takes back no other filter's refusal.
    """

    version: ClassVar[int] = 2

    scorer: str
    max: Annotated[int, Field(ge=1, le=3)] = 2
    relabel: bool = False
    agree: str | None = None
    agree_from: float | None = None

    def __post_init__(self) -> None:
        if self.relabel and self.agree is None:
            raise PartError(
                "`relabel` needs a second signal, since a passage can talk a judge into a grade: name another scorer "
                "of the job by `agree`"
            )
        if not self.relabel and self.agree is not None:
            raise PartError("`agree` belongs to `relabel: true`")
        if self.agree is None and self.agree_from is not None:
            raise PartError("`agree_from` belongs to `agree`")
        if self.agree == self.scorer:
            raise PartError(f"`agree`: `{self.agree}` is the judge itself; name another scorer")
        if self.agree_from is not None and not np.isfinite(self.agree_from):
            raise PartError(f"`agree_from` must be a finite number, not {self.agree_from!r}")

    def judge(self, batch: Batch) -> Verdicts:
        """The value is the grade, the limit ``max``. What the judge alone wants as a positive breaks `unconfirmed`."""
        grades = batch.scores[self.scorer].negatives
        high = grades >= self.max
        wanted = high & (batch.rows >= 0) & self.relabel
        moved = self._confirmed(batch, wanted)
        # another passage with the text of one that becomes a positive is no negative either
        spread = batch.hashes() ^ (batch.owners.astype(np.uint64) << np.uint64(32))
        high |= np.isin(spread, spread[moved])
        broken = np.where(moved, 1, np.where(wanted, 2, np.where(high, 0, -1))).astype(np.int8)
        rules = ("relevant", "relabelled", "unconfirmed")
        return Verdicts(rules, broken, grades, np.full(len(grades), self.max, np.float32))

    def _confirmed(self, batch: Batch, wanted: Bool) -> Bool:
        """Bool [m]: the candidates among ``wanted`` on which the second scorer agrees and that address no reader."""
        out = np.zeros(len(wanted), dtype=bool)
        if self.agree is None:
            return out
        scores = batch.scores[self.agree]
        limits = np.full(len(batch), -np.inf if self.agree_from is None else self.agree_from, np.float32)
        if self.agree_from is None:
            np.maximum.at(limits, batch.positive_owners, scores.positives)
        agreed = np.flatnonzero(wanted & (scores.negatives >= limits[batch.owners]))
        out[agreed] = ~addressing_candidates(batch, agreed)
        return out
