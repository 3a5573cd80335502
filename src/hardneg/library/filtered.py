"""What the library's filter made of some examples."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from hardneg import eci
from hardneg.arrays import Bool, Float, Float64, Int64, owners_of
from hardneg.data.records import Reason
from hardneg.false_negatives import Histogram, Share
from hardneg.pages.notebook import as_pandas, shown
from hardneg.pages.similarity import distributions

if TYPE_CHECKING:
    from pandas import DataFrame

TERMS = ("examples", "size", "positive", "hardness", "safety", "capacity", "efficiency", "eci_v1", "above_positive")
HEADINGS = ("", "negatives", "false, estimated", "hardness", "above s+", "eci_v1")


class Refused(NamedTuple):
    """A refused negative: the number of its example, its place in that example's list, its text, and why."""

    example: int
    place: int
    text: str
    reason: Reason


class Change(NamedTuple):
    """eci_v1 and its terms with 95 % intervals, before and after filtering."""

    before: eci.Report
    after: eci.Report

    def to_pandas(self) -> DataFrame:
        """A row for each moment: the terms, and the bounds of eci_v1. Raises `MissingExtraError` without pandas."""
        columns = {term: [getattr(own, term) for own in self] for term in TERMS}
        bounds = [own.intervals["eci_v1"] for own in self]
        low, high = ([bound[side] for bound in bounds] for side in (0, 1))
        return as_pandas({"moment": self._fields, **columns, "low": low, "high": high})

    def _repr_html_(self) -> str:
        return shown((), HEADINGS, [_cells(name, own, None) for name, own in self._asdict().items()])


class Falsity(NamedTuple):
    """The estimated share of false negatives before and after filtering."""

    before: Share
    after: Share


@dataclass(frozen=True, repr=False)
class Filtered:
    """What a filter made of some examples. Negatives are counted flat, [m], example by example.

    ``keep`` bool [m]; ``values`` [m]: what the rule looked at, a similarity or a probability; ``limits`` float64 [n]:
    the highest value that is accepted; ``similarities`` [m]: s(q, n); ``positives`` float64 [n]: s+; ``offsets`` int64
    [n + 1]; ``spread``: how sure probabilities are.

    >>> from hardneg import ECIFilter
    >>> found = ECIFilter(margin=0.1)(["q"], ["p"], [["near", "far"]], similarities=([0.8], [[0.75, 0.2]]))
    >>> found.kept, [refused.text for refused in found.dropped]
    ([['far']], ['near'])
    >>> found.report.before.size, found.report.after.size
    (2.0, 1.0)
    """

    negatives: Sequence[Sequence[str]] = field(repr=False)
    rule: eci.Rule
    keep: Bool
    values: Float
    limits: Float64
    similarities: Float
    positives: Float64
    offsets: Int64
    spread: float = 0.0

    def __repr__(self) -> str:
        """How many were refused, by which rule."""
        return self._line()

    def _line(self) -> str:
        left = np.bincount(owners_of(self.offsets)[self.keep], minlength=len(self.negatives))
        return (
            f"{left.sum():,} of {len(self.keep):,} negatives kept, the others refused by {self.rule}; "
            f"{(left == 0).sum():,} of {len(self.negatives):,} queries have none left"
        )

    def _repr_html_(self) -> str:
        false = self.false
        moments = [_cells(name, own, false and getattr(false, name)) for name, own in self.report._asdict().items()]
        found = {
            "positives": self.positives,
            "refused": self.similarities[~self.keep],
            "kept": self.similarities[self.keep],
        }
        return shown([self._line()], HEADINGS, moments, distributions(found))

    def to_pandas(self) -> DataFrame:
        """A row for each negative, in the order given: the number of its example, its text, s(q, n), whether it is
        kept, what the rule looked at and the limit. Raises `MissingExtraError` without pandas.
        """
        owners = owners_of(self.offsets)
        return as_pandas(
            {
                "example": owners,
                "negative": [text for own in self.negatives for text in own],
                "similarity": self.similarities,
                "kept": self.keep,
                "value": self.values,
                "limit": self.limits[owners],
            }
        )

    @property
    def kept(self) -> list[list[str]]:
        """The kept negatives of each example, in the order given."""
        flags = iter(self.keep.tolist())
        return [[text for text in own if next(flags)] for own in self.negatives]

    @property
    def dropped(self) -> Iterator[Refused]:
        """Every refused negative with its reason, in the order given."""
        owners = owners_of(self.offsets)
        for j in map(int, np.flatnonzero(~self.keep)):
            example = int(owners[j])
            place: int = j - int(self.offsets[example])
            reason = Reason(self.rule, float(self.values[j]), float(self.limits[example]))
            own: Sequence[str] = self.negatives[example]
            yield Refused(example, place, own[place], reason)

    @cached_property
    def report(self) -> Change:
        """The metric before and after, with intervals by the bootstrap over queries."""
        owners = owners_of(self.offsets)
        return Change(
            eci.score(self.positives, self.similarities, owners),
            eci.score(self.positives, self.similarities[self.keep], owners[self.keep]),
        )

    @cached_property
    def false(self) -> Falsity | None:
        """The estimated false share before and after, with 95 % intervals. None where the rule knows no probability."""
        if self.rule != "calibrated":
            return None
        before, after = Histogram.of(self.values), Histogram.of(self.values[self.keep])
        return Falsity(before.share(self.spread), after.share(self.spread))


def _cells(moment: str, terms: eci.Report, false: Share | None) -> list[str]:
    low, high = terms.intervals["eci_v1"]
    share = f"{false.value:.1%} ({100 * false.low:.1f} to {100 * false.high:.1f})" if false else ""
    numbers = (f"{terms.size:.1f}", share, f"{terms.hardness:.3f}", f"{terms.above_positive:.1%}")
    return [moment, *numbers, f"{terms.eci_v1:.3f} ±{(high - low) / 2:.3f}"]
