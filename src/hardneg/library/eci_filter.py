"""The ECI filter as a stage in other people's code: lists or batches of rows in, safe negatives out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal, NamedTuple

import numpy as np

from hardneg import eci
from hardneg.arrays import Bool, Float, Float32, Float64, Int64, offsets_of, owners_of, span
from hardneg.data.records import Reason
from hardneg.errors import DataError, PartError
from hardneg.filters.eci_safety import ECISafety
from hardneg.library import layouts
from hardneg.models.embeddings import dots
from hardneg.models.in_memory import as_encoder
from hardneg.protocols import Encoder

PAIRS_PER_BLOCK = 65_536


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


@dataclass(frozen=True)
class Filtered:
    """What a filter made of some examples. Negatives are counted flat, [m], example by example.

    ``keep`` bool [m]; ``similarities`` [m]: s(q, n); ``limits`` float64 [n]: the highest that is accepted;
    ``positives`` float64 [n]: s+; ``offsets`` int64 [n + 1].

    >>> found = ECIFilter(margin=0.1)(["q"], ["p"], [["near", "far"]], similarities=([0.8], [[0.75, 0.2]]))
    >>> found.kept, [refused.text for refused in found.dropped]
    ([['far']], ['near'])
    >>> found.report.before.size, found.report.after.size
    (2.0, 1.0)
    """

    negatives: Sequence[Sequence[str]] = field(repr=False)
    rule: eci.Rule
    keep: Bool
    similarities: Float
    limits: Float64
    positives: Float64
    offsets: Int64

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
            reason = Reason(self.rule, float(self.similarities[j]), float(self.limits[example]))
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


@dataclass(frozen=True)
class ECIFilter:
    """Refuses negatives that are too near to the positive, as the filter `eci_safety` of a job does.

    ``model``: the encoder that will be trained: a name, a folder, a ``SentenceTransformer``, or anything with
    ``encode``; None when you give similarities. Exactly one of ``margin``, ``relative``, ``ceiling`` and
    ``percentile``; ``reference`` makes s+ of several positives. ``quantiles`` of the positives' similarities belong to
    ``percentile``; left out, those of each call.

    For `batch`: ``columns`` names the columns (anchor, positive, negatives…) where sentence-transformers' rules do not
    find them; ``on_empty`` says what happens to a row that loses all its negatives: ``drop`` it, ``keep`` it with the
    safest one, or ``error``; ``short`` what happens to an n-tuple that loses some: ``repeat`` the others in turn,
    ``drop`` the row, or ``error``.

    The same input gives the same output; instances can be pickled (with their model) and used by several threads.
    Distinct texts are encoded once a call; memory holds their embeddings, and one block of pairs.

    >>> from hardneg.testing import HashedWords
    >>> stage = ECIFilter(HashedWords(), ceiling=0.9)
    >>> stage(["cat"], ["a cat"], [["cat cat", "rain"]]).kept
    [['rain']]
    """

    model: Any = field(default=None, repr=False)
    margin: float | None = None
    relative: float | None = None
    ceiling: float | None = None
    percentile: float | None = None
    reference: eci.Reference = "mean"
    quantiles: tuple[float, ...] | None = None
    query_prompt: str | None = None
    passage_prompt: str | None = None
    batch_size: int = 32
    columns: Sequence[str] | None = None
    on_empty: Literal["drop", "keep", "error"] = "drop"
    short: Literal["repeat", "drop", "error"] = "repeat"

    def __post_init__(self) -> None:
        _ = self.rule  # checks the rule and its threshold
        for name, known in (("on_empty", ("drop", "keep", "error")), ("short", ("repeat", "drop", "error"))):
            if getattr(self, name) not in known:
                raise PartError(f"`{name}` must be one of {', '.join(known)}, not {getattr(self, name)!r}")
        if self.model is not None:
            _ = self._encoder

    @property
    def rule(self) -> ECISafety:
        """The rule as a part. Raises `PartError` unless exactly one is given."""
        names = ("margin", "relative", "ceiling", "percentile", "reference", "quantiles")
        return ECISafety(scorer="", **{name: getattr(self, name) for name in names})

    @property
    def _encoder(self) -> Encoder:
        return as_encoder(
            self.model,
            query_prompt=self.query_prompt,
            passage_prompt=self.passage_prompt,
            batch_size=self.batch_size,
        )

    def __call__(
        self,
        queries: Sequence[str],
        positives: Sequence[str] | Sequence[Sequence[str]],
        negatives: Sequence[Sequence[str]],
        *,
        similarities: tuple[Any, Any] | None = None,
    ) -> Filtered:
        """Filters n examples: ``positives`` one text or several each, ``negatives`` a list each.

        ``similarities``, in place of a model: s(q, p) and s(q, n), each as lists of lists or as an array [n] or [n, k].
        Raises `DataError` where lengths differ, an example has no positive, or a similarity is not finite.
        """
        if not len(queries) == len(positives) == len(negatives):
            raise DataError(
                f"{len(queries)} queries, {len(positives)} positives, {len(negatives)} lists of negatives: not as many"
            )
        own = [[entry] if isinstance(entry, str) or entry is None else list(entry) for entry in positives]
        for number, entries in enumerate(own):
            if not entries:
                raise DataError(f"example {number} has no positive")
        for number, texts in enumerate(negatives):
            if isinstance(texts, str):
                raise DataError(f"example {number}: its negatives are a text; give a list of texts")
            if not all(isinstance(text, str) for text in (queries[number], *own[number], *texts)):
                raise DataError(f"example {number} holds something that is no text (None, perhaps)")
        p_offsets, n_offsets = offsets_of(list(map(len, own))), offsets_of(list(map(len, negatives)))
        if similarities is not None:
            plus, minus = _flat(similarities[0], p_offsets, "positives"), _flat(similarities[1], n_offsets, "negatives")
        elif self.model is not None:
            plus, minus = self._similarities(queries, own, negatives, p_offsets, n_offsets)
        else:
            raise PartError("give the filter a `model`, or the call `similarities`")
        return self._judged(negatives, plus, minus, p_offsets, n_offsets)

    def _judged(
        self,
        negatives: Sequence[Sequence[str]],
        plus: Float,
        minus: Float,
        p_offsets: Int64,
        n_offsets: Int64,
    ) -> Filtered:
        rule = self.rule
        if rule.learns:
            rule = replace(rule, quantiles=tuple(eci.quantiles_of(plus).tolist()))
        try:
            found = rule.applied(plus, owners_of(p_offsets), minus, owners_of(n_offsets), len(p_offsets) - 1)
        except ValueError as error:
            raise DataError(str(error)) from error
        return Filtered(negatives, rule.rule, found.keep, minus, found.limits, found.plus, n_offsets)

    def _similarities(
        self,
        queries: Sequence[str],
        positives: Sequence[Sequence[str]],
        negatives: Sequence[Sequence[str]],
        p_offsets: Int64,
        n_offsets: Int64,
    ) -> tuple[Float32, Float32]:
        """Cosines, every distinct text encoded once."""
        encoder = self._encoder
        numbers: dict[str, int] = {}
        passages = [
            np.fromiter((numbers.setdefault(text, len(numbers)) for own in lists for text in own), np.int64)
            for lists in (positives, negatives)
        ]
        asked: dict[str, int] = {}
        query = np.fromiter((asked.setdefault(text, len(asked)) for text in queries), np.int64, len(queries))
        if not len(query):
            return np.zeros(0, np.float32), np.zeros(0, np.float32)
        q, d = encoder.encode(list(asked), "query"), encoder.encode(list(numbers), "passage")
        out = []
        for offsets, which in zip((p_offsets, n_offsets), passages, strict=True):
            owners, found = query[owners_of(offsets)], np.empty(len(which), np.float32)
            for begin in range(0, len(which), PAIRS_PER_BLOCK):
                part = slice(begin, begin + PAIRS_PER_BLOCK)
                found[part] = dots(q[owners[part]], d[which[part]])
            out.append(found)
        return out[0], out[1]

    def batch(self, rows: Mapping[str, Any]) -> dict[str, list[Any]]:
        """Filters a batch of columns: for ``datasets.Dataset.map(batched=True)`` and ``ray.data``'s ``map_batches``.

        Known layouts: triplet, n-tuple, labeled-list; a column ``scores`` goes along with its texts, other columns
        with their row. Raises `DataError` for a layout that is not known.
        """
        if self.rule.learns:
            raise PartError("`percentile` in batches needs `quantiles`: each batch would have its own otherwise")
        layout = layouts.layout(rows, self.columns)
        queries, positives, negatives = layout.examples()
        found = self(queries, positives, negatives)
        keep = [found.keep[span(found.offsets, i)] for i in range(len(queries))]
        for i, flags in enumerate(keep):
            if flags.any():
                continue
            if self.on_empty == "error":
                raise DataError(f"row {i} of the batch has no negative left (query {queries[i]!r:.60})")
            if self.on_empty == "keep" and len(flags):
                safest = int(np.argmin(found.similarities[span(found.offsets, i)]))
                keep[i] = np.arange(len(flags)) == safest
        return layout.only(keep, self.short)


def _flat(values: Any, offsets: Int64, what: str) -> Float:
    """Float64 [m] of an array [n], [n, k] or [m], or of lists, that has the shape of the texts it is about."""
    lengths = np.diff(offsets)
    if isinstance(values, np.ndarray) and values.dtype != object:
        fits = values.size == offsets[-1]
        if values.ndim == 2:
            fits = len(values) == len(lengths) and bool((lengths == values.shape[1]).all())
        if not fits or values.ndim not in (1, 2):
            raise DataError(f"similarities of shape {list(values.shape)} do not have the shape of the {what}")
        return values.astype(np.float64).reshape(-1)
    if len(values) and np.ndim(values[0]):
        if not np.array_equal([len(own) for own in values], lengths):
            raise DataError(f"the similarities of the {what} do not have the shape of the {what}")
        return np.fromiter((value for own in values for value in own), np.float64, int(offsets[-1]))
    flat = np.asarray([value for value in values if np.ndim(value) == 0], dtype=np.float64)
    if len(flat) != offsets[-1]:
        raise DataError(f"there are {len(flat)} similarities for {int(offsets[-1])} {what}")
    return flat
