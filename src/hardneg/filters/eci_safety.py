"""The safety term of ECI as a filter: a negative too near to the positive is taken for an unlabelled positive."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from hardneg import eci
from hardneg.arrays import Float, Int64
from hardneg.bounds import Share
from hardneg.data.batch import Batch
from hardneg.data.candidates import UNJUDGED, Verdicts
from hardneg.errors import PartError
from hardneg.kinds import part

DEFAULT = 0.03
"""The probability of being relevant above which `mine`, `ECIFilter` and the jobs in the docs refuse a candidate."""
RULES: tuple[eci.Rule, ...] = ("margin", "relative", "ceiling", "percentile", "calibrated")


@part
class ECISafety:
    """Drops a candidate whose score is too near to its positives' score s+ (arXiv:2603.20990v1, section 3).

    Exactly one rule, each inclusive and right for negative scores too: ``margin`` m keeps s(q,n) <= s+ - m;
    ``relative`` r keeps s(q,n) <= s+ - |s+| r; ``ceiling`` c keeps s(q,n) <= c; ``percentile`` u keeps a score whose
    position among the scores of all the job's positives is at most u times that of s+; ``calibrated`` t keeps a
    probability of being relevant of at most t and wants a scorer of kind ``false_negative``. ``reference`` makes s+ of
    several positives. ``scorer`` is the name of one of the job's scorers. ``quantiles``: evenly spaced quantiles of the
    positives' scores for ``percentile``; left out, the job's own.
    """

    scorer: str
    margin: float | None = None
    relative: Annotated[float, Field(ge=0, lt=1)] | None = None
    ceiling: float | None = None
    percentile: Share | None = None
    calibrated: Share | None = None
    reference: eci.Reference = "mean"
    quantiles: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        given = [rule for rule in RULES if getattr(self, rule) is not None]
        if len(given) != 1:
            found = f"both {' and '.join(f'`{rule}`' for rule in given)}" if given else "none"
            raise PartError(f"give exactly one of {', '.join(f'`{rule}`' for rule in RULES)}; here is {found}")
        if not np.isfinite(self.threshold):
            raise PartError(f"`{given[0]}` must be a finite number, not {self.threshold!r}")
        if self.quantiles is not None and self.percentile is None:
            raise PartError("`quantiles` belong to `percentile`")
        if self.quantiles is not None and (
            len(self.quantiles) < 2 or not np.isfinite(self.quantiles).all() or (np.diff(self.quantiles) < 0).any()
        ):
            raise PartError("`quantiles` must be two or more finite numbers that do not fall")

    @property
    def rule(self) -> eci.Rule:
        """The rule that is given."""
        return next(rule for rule in RULES if getattr(self, rule) is not None)

    @property
    def threshold(self) -> float:
        """Its threshold."""
        return float(getattr(self, self.rule))

    @property
    def learns(self) -> bool:
        """Whether `learn` is to be called before `judge`."""
        return self.rule == "percentile" and self.quantiles is None

    def learn(self, batches: Iterable[Batch]) -> dict[str, Any]:
        """The quantiles of the scores of all positives."""
        scores = np.concatenate([batch.scores[self.scorer].positives for batch in batches])
        return {"quantiles": eci.quantiles_of(scores).tolist()}

    def judge(self, batch: Batch) -> Verdicts:
        """The value is s(q, n); the limit is the highest that the rule accepts for this example.

        Nothing is said of a candidate without a score.
        """
        scores = batch.scores[self.scorer]
        if self.rule == "calibrated" and ((scores.negatives < 0) | (scores.negatives > 1)).any():
            raise PartError(
                f"`calibrated` needs probabilities, and scorer `{self.scorer}` gives others; use a scorer of kind "
                "`false_negative`"
            )
        owners = batch.owners
        unknown = np.isnan(scores.negatives)
        negatives = np.where(unknown, np.float32(0), scores.negatives)
        found = self.applied(scores.positives, batch.positive_owners, negatives, owners, len(batch))
        broken = np.where(unknown, UNJUDGED, np.where(found.keep, -1, 0)).astype(np.int8)
        return Verdicts((self.rule,), broken, scores.negatives, found.limits[owners].astype(np.float32))

    def applied(
        self, positives: Float, positive_owners: Int64, negatives: Float, owners: Int64, examples: int
    ) -> eci.Judgment:
        """The rule on arrays, as `eci.judge` takes them."""
        return eci.judge(
            self.rule,
            self.threshold,
            positives,
            positive_owners,
            negatives,
            owners,
            examples,
            how=self.reference,
            quantiles=self.quantiles,
        )
