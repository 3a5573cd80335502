"""The ECI filter as a stage in other people's code: lists or batches of rows in, safe negatives out."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from hardneg import eci
from hardneg.arrays import Float, Float32, owners_of, span
from hardneg.data.corpus import Corpus
from hardneg.errors import DataError, PartError
from hardneg.filters.eci_safety import DEFAULT, RULES, ECISafety
from hardneg.library import layouts
from hardneg.library.filtered import Filtered
from hardneg.library.probing import probe_of_texts
from hardneg.library.texts import Texts, batch_of, corpus_of, flat_similarities
from hardneg.models.embeddings import dots
from hardneg.models.in_memory import as_encoder
from hardneg.models.vectors import encoded, same_width
from hardneg.probe import ProbeScore
from hardneg.protocols import Encoder
from hardneg.scorers.bi_encoder import BiEncoder
from hardneg.scorers.false_negative import FalseNegative

PAIRS_PER_BLOCK = 65_536
FEWEST = 1_000
"""Distinct passages in a call from which ranks among them say something. With fewer, and no corpus, see `INSTEAD`."""
INSTEAD = 0.05
"""The `margin` that takes the place of ``calibrated`` then."""


@dataclass(frozen=True)
class ECIFilter:
    """Refuses negatives that are probably false, as the filter `eci_safety` of a job does.

    ``model``: the encoder that will be trained: a name, a folder, a ``SentenceTransformer``, or anything with
    ``encode``; None when you give similarities. One rule at most. Without any, ``calibrated`` at its default: refused
    is what is likelier than that to be relevant, told from ranks in ``corpus``, the passages that negatives were taken
    from. Give ``cache`` a folder to keep their embeddings. Without a corpus the texts of each call are ranked among
    themselves, which is less sure. Where there are fewer than 1,000 of them, ``margin: 0.05`` is used instead. You are
    warned of both. ``level``: see the scorer `false_negative`; left out, told from each call.

    ``margin``, ``relative``, ``ceiling`` and ``percentile`` look at similarities alone. ``reference`` makes s+ of
    several positives. ``quantiles`` of the positives' similarities belong to ``percentile``; left out, those of each
    call.

    For `batch`: ``columns`` names the columns (anchor, positive, negatives…) where sentence-transformers' rules do not
    find them; ``on_empty`` says what happens to a row that loses all its negatives: ``drop`` it, ``keep`` it with the
    safest one, or ``error``; ``short`` what happens to an n-tuple that loses some: ``repeat`` the others in turn,
    ``drop`` the row, or ``error``.

    The same input gives the same output. Instances can be pickled with their model and used by several threads.

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
    calibrated: float | None = None
    reference: eci.Reference = "mean"
    quantiles: tuple[float, ...] | None = None
    corpus: Sequence[str] | None = field(default=None, repr=False)
    level: float | None = None
    cache: str | Path | None = None
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
        """The rule as a part. Raises `PartError` where several are given."""
        given = {name: getattr(self, name) for name in RULES if getattr(self, name) is not None}
        return ECISafety(
            scorer="", reference=self.reference, quantiles=self.quantiles, **(given or {"calibrated": DEFAULT})
        )

    @property
    def _encoder(self) -> Encoder:
        return as_encoder(
            self.model,
            query_prompt=self.query_prompt,
            passage_prompt=self.passage_prompt,
            batch_size=self.batch_size,
        )

    @cached_property
    def _corpus(self) -> Corpus:
        return corpus_of(self.corpus or (), None if self.cache is None else Path(self.cache))

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_corpus"}

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
        texts, rule = Texts.of(queries, positives, negatives), self.rule
        if similarities is not None:
            if rule.rule == "calibrated":
                raise PartError(
                    "similarities alone need a rule on similarities: give `margin`, `relative` or `ceiling`"
                )
            plus = flat_similarities(similarities[0], texts.positive_offsets, "positives")
            minus = flat_similarities(similarities[1], texts.offsets, "negatives")
            return _judged(texts, rule, plus, minus)
        if self.model is None:
            raise PartError("give the filter a `model`, or the call `similarities`")
        if rule.rule == "calibrated" and texts.queries:
            if self.corpus is not None or len(set(texts.passages())) >= FEWEST:
                return self._by_ranks(texts, rule)
            warnings.warn(
                f"without a `corpus`, and with fewer than {FEWEST:,} distinct passages, `calibrated` cannot be told; "
                f"`margin={INSTEAD}` is used instead",
                stacklevel=2,
            )
        if rule.rule == "calibrated":
            rule = ECISafety(scorer="", margin=INSTEAD, reference=self.reference)
        return _judged(texts, rule, *self._similarities(texts))

    def _by_ranks(self, texts: Texts, rule: ECISafety) -> Filtered:
        """The verdict by probabilities, as a job comes to it."""
        if self.corpus is None:
            warnings.warn("without a `corpus` the texts of each call are ranked among themselves", stacklevel=3)
        passages = self._corpus if self.corpus is not None else corpus_of(texts.passages(), None)
        batch, encoder = batch_of(texts, passages), self._encoder
        scorer = FalseNegative(encoder=encoder, level=self.level)
        if scorer.learns:
            scorer = replace(scorer, **scorer.learn([batch.without_candidates()]))
        cosines, probabilities = BiEncoder(encoder=encoder).score(batch), scorer.score(batch)
        found = _judged(texts, rule, probabilities.positives, probabilities.negatives)
        plus = eci.reference(cosines.positives, batch.positive_owners, len(batch), self.reference)
        return replace(found, similarities=cosines.negatives, positives=plus, spread=scorer.estimates)

    def probe(
        self,
        queries: Sequence[str],
        positives: Sequence[str],
        sets: Mapping[str, Sequence[Sequence[str]]],
        *,
        shared: bool = True,
        seed: int = 0,
    ) -> dict[str, ProbeScore]:
        """Which of several sets of negatives trains the better retriever: see `hardneg.probe.probe`.

        ``queries`` [n] with a positive each; ``sets``: name -> n lists of negatives. Distractors are the passages of
        ``corpus`` or, without one, all texts given. ``shared``: whether your loss shows a query the negatives of its
        whole batch. Below about 1,000 queries the order says little (docs/explanation/study.md). Raises `DataError` for
        lists that do not fit together, `PartError` without a model and `MissingExtraError` without torch.

        >>> from hardneg.testing import HashedWords
        >>> stage = ECIFilter(HashedWords(), ceiling=0.9)
        >>> queries, positives = [f"word{i}" for i in range(20)], [f"word{i} text" for i in range(20)]
        >>> found = stage.probe(queries, positives, {"next": [[positives[i - 1]] for i in range(20)]})
        >>> found["next"].low <= found["next"].score <= found["next"].high
        True
        """
        if self.model is None:
            raise PartError("give the filter a `model`")
        corpus = None if self.corpus is None else self._corpus
        return probe_of_texts(self._encoder, corpus, queries, positives, sets, shared=shared, seed=seed)

    def _similarities(self, texts: Texts) -> tuple[Float32, Float32]:
        """Cosines of positives and of negatives, every distinct text encoded once."""
        encoder = self._encoder
        numbers: dict[str, int] = {}
        passages = [
            np.fromiter((numbers.setdefault(text, len(numbers)) for own in lists for text in own), np.int64)
            for lists in (texts.positives, texts.negatives)
        ]
        asked: dict[str, int] = {}
        query = np.fromiter(
            (asked.setdefault(text, len(asked)) for text in texts.queries), np.int64, len(texts.queries)
        )
        if not len(query):
            return np.zeros(0, np.float32), np.zeros(0, np.float32)
        q, d = encoded(encoder, list(asked), "query"), encoded(encoder, list(numbers), "passage")
        if len(d):
            same_width(encoder, d.shape[1], q.shape[1], next(iter(numbers)), "passage")
        out = []
        for offsets, which in zip((texts.positive_offsets, texts.offsets), passages, strict=True):
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
                safest = int(np.argmin(found.values[span(found.offsets, i)]))
                keep[i] = np.arange(len(flags)) == safest
        return layout.only(keep, self.short)


def _judged(texts: Texts, rule: ECISafety, plus: Float, minus: Float) -> Filtered:
    if rule.learns:
        rule = replace(rule, quantiles=tuple(eci.quantiles_of(plus).tolist()))
    p_offsets, n_offsets = texts.positive_offsets, texts.offsets
    try:
        found = rule.applied(plus, owners_of(p_offsets), minus, owners_of(n_offsets), len(texts.queries))
    except ValueError as error:
        raise DataError(str(error)) from error
    return Filtered(texts.negatives, rule.rule, found.keep, minus, found.limits, minus, found.plus, n_offsets)
