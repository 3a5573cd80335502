"""The safety term of ECI as a filter: a negative too near to the positive is taken for an unlabelled positive."""

from __future__ import annotations

import numpy as np

from hardneg import eci
from hardneg.batch import Batch, Verdicts
from hardneg.errors import PartError
from hardneg.kinds import part


@part
class ECISafety:
    """Drops a candidate whose score is too near to its positives' score s+ (arXiv:2603.20990v1, section 3).

    Exactly one rule, each inclusive and right for negative scores too: ``margin`` m keeps s(q,n) <= s+ - m;
    ``relative`` r keeps s(q,n) <= s+ - |s+| r; ``ceiling`` c keeps s(q,n) <= c. ``reference`` makes s+ of several
    positives. ``scorer`` is the name of one of the job's scorers.
    """

    scorer: str
    margin: float | None = None
    relative: float | None = None
    ceiling: float | None = None
    reference: eci.Reference = "mean"

    def __post_init__(self) -> None:
        given = [rule for rule in ("margin", "relative", "ceiling") if getattr(self, rule) is not None]
        if len(given) != 1:
            found = f"both {' and '.join(f'`{rule}`' for rule in given)}" if given else "none"
            raise PartError(f"give exactly one of `margin`, `relative`, `ceiling`; here is {found}")
        if not np.isfinite(self.threshold):
            raise PartError(f"`{given[0]}` must be a finite number, not {self.threshold!r}")
        if self.relative is not None and not 0 <= self.relative < 1:
            raise PartError(f"`relative` must be at least 0 and below 1, not {self.relative!r}")

    @property
    def rule(self) -> eci.Rule:
        """The rule that is given."""
        return "margin" if self.margin is not None else "relative" if self.relative is not None else "ceiling"

    @property
    def threshold(self) -> float:
        """Its threshold."""
        return float(getattr(self, self.rule))

    def judge(self, batch: Batch) -> Verdicts:
        """The value is s(q, n); the limit is the highest that the rule accepts for this example."""
        scores = batch.scores[self.scorer]
        plus = eci.reference(scores.positives, batch.positive_owners, len(batch), self.reference)
        limit = eci.limits(plus, self.rule, self.threshold)[batch.owners]
        kept = eci.keep(scores.negatives, limit)
        broken = np.where(kept, -1, 0).astype(np.int8)
        return Verdicts((self.rule,), broken, scores.negatives, limit.astype(np.float32))
