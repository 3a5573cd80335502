"""The probe over the sets of a run, and over the final sets of several: which to train on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from hardneg.arrays import Bool, Int64, offsets_of
from hardneg.data.batch import Batch
from hardneg.data.corpus import Corpus
from hardneg.errors import JobError
from hardneg.models.embeddings import embed, matrix
from hardneg.probe import Difference, ProbeScore, Recipe, difference, probe
from hardneg.protocols import Encoder
from hardneg.report.hardest import hardest
from hardneg.report.views import Views

QUERIES = 2_000
"""The most queries that the probe is trained on and asked about, evenly spaced over the run."""
FEWEST = 1_000
"""With fewer queries the probe's order says nothing (docs/explanation/study.md)."""
UNFILTERED = "unfiltered"
"""The hardest candidates before filtering."""
EVIDENCE = (
    "static encoders, once trained, agreed with the probe's order by 0.75 (Spearman, mean of 11 settings): "
    "docs/explanation/study.md, Agreement with trained nDCG@10"
)
"""What stands behind the advice."""


@dataclass
class Probing:
    """Collects the sets batch by batch, each at equal size: the ``per_query`` hardest of every query.

    ``target``: the scorer by which candidates are hard; ``examples``: how many the run has; ``shared``: whether the
    loss that will be trained with shows a query the negatives of its whole batch.
    """

    encoder: Encoder
    views: Views
    target: str
    per_query: int
    examples: int
    shared: bool = True
    rows: dict[str, list[Int64]] = field(default_factory=dict)
    positives: list[int] = field(default_factory=list)
    queries: list[str] = field(default_factory=list)
    written: list[str] = field(default_factory=list)
    seen: int = 0
    corpus: Corpus | None = None

    def add(self, batch: Batch, members: Bool) -> None:
        """Takes the sampled queries of one batch. ``members``: `Views.members` of it."""
        self.corpus = batch.corpus
        step = max(1, -(-self.examples // QUERIES))
        sampled = np.flatnonzero((self.seen + np.arange(len(batch))) % step == 0)
        self.seen += len(batch)
        if not len(sampled):
            return
        rows = self._rows(batch, sampled)
        for name, mask in self._masks(batch, members):
            own = hardest(batch, mask, self.target, self.per_query)
            ends = offsets_of(np.bincount(batch.owners[own], minlength=len(batch)))
            lists = self.rows.setdefault(name, [])
            lists += [rows[own[ends[i] : ends[i + 1]]] for i in sampled.tolist()]
        self.positives += [int(batch.positive_rows[batch.positive_offsets[i]]) for i in sampled.tolist()]
        self.queries += [batch.queries[int(i)] for i in sampled.tolist()]

    def _masks(self, batch: Batch, members: Bool) -> Iterator[tuple[str, Bool]]:
        for number, (name, moment) in enumerate(self.views.views):
            if moment == "after" and name not in self.views.hybrids:
                yield name, members[:, number]
        yield UNFILTERED, batch.trainable

    def _rows(self, batch: Batch, sampled: Int64) -> Int64:
        """Rows of the corpus; a new text of a ``sampled`` query is one of the rows after it."""
        rows: Int64 = batch.rows.copy()
        new = np.flatnonzero((rows < 0) & np.isin(batch.owners, sampled))
        rows[new] = len(batch.corpus) + len(self.written) + np.arange(len(new))
        self.written += batch.contents(new)
        return rows

    def report(self) -> dict[str, Any]:
        """``probe``: the score of every set; ``decision``: what to train on. With too few queries only the latter."""
        if self.corpus is None:
            return {}
        if len(self.queries) < FEWEST:
            line = f"which set trains best is unknown: the probe needs {FEWEST:,} queries, these are {self.examples:,}"
            return {"decision": {"set": None, "next": None, "line": line, "evidence": None, "easier controls win": []}}
        scores = self.scores(self.rows)
        return {"probe": self._scores(scores), "decision": self._decision(scores)}

    def scores(self, sets: Mapping[str, list[Int64]]) -> dict[str, ProbeScore]:
        """The probe of sets of the sampled queries. New texts are those of ``written``."""
        assert self.corpus is not None, "a batch was added"  # noqa: S101
        return probe(
            embed(self.encoder, self.queries, "query", self.corpus.cache),
            matrix(self.encoder, self.corpus),
            np.array(self.positives),
            sets,
            written=embed(self.encoder, self.written, "passage", self.corpus.cache) if self.written else None,
            recipe=Recipe(shared=self.shared),
        )

    def _scores(self, scores: Mapping[str, ProbeScore]) -> dict[str, Any]:
        best = max(scores, key=lambda name: scores[name].score)
        out: dict[str, Any] = {"queries": len(self.queries), "per_query": self.per_query, "sets": {}}
        for name, found in scores.items():
            lost = difference(found, scores[best])
            out["sets"][name] = {
                "score": found.score,
                "interval": [found.low, found.high],
                "log_likelihood": found.log_likelihood,
                "ndcg": found.ndcg,
                "below_best": -lost.mean,
                "decided": lost.decided,
            }
        return out

    def _decision(self, scores: Mapping[str, ProbeScore]) -> dict[str, Any]:
        """The set to train on: the final one unless another is better for certain."""
        others = [name for name in scores if name != "final" and name not in self.views.controls]
        gains = {name: difference(scores[name], scores["final"]) for name in others}
        better = {name: gain for name, gain in gains.items() if gain.low > 0}
        chosen = max(better, key=lambda name: better[name].mean) if better else "final"
        rivals = {name: difference(scores[name], scores[chosen]) for name in ("final", *others) if name != chosen}
        line = f"train on: {chosen}"
        second = max(rivals, key=lambda name: rivals[name].mean, default=None)
        if second is not None:
            line += (
                f". Next best: {second} ({_in_words(rivals[second])}{self._cheaper(chosen, second, rivals[second])})"
            )
        easy = [name for name in self.views.controls if difference(scores[name], scores[chosen]).low > 0]
        return {"set": chosen, "next": second, "line": line, "evidence": EVIDENCE, "easier controls win": sorted(easy)}

    def _cheaper(self, chosen: str, second: str, gap: Difference) -> str:
        """Where nothing separates two sets, the one that takes fewer generators or no filter."""
        cost = {name: self._cost(name) for name in (chosen, second)}
        if gap.decided or cost[chosen] == cost[second]:
            return ""
        return f", {min(cost, key=lambda name: cost[name])} is cheaper to make"

    def _cost(self, name: str) -> tuple[int, bool]:
        whole = name in ("final", UNFILTERED)
        return (len(self.views.trained) if whole else 1, name != UNFILTERED)


def between(runs: Mapping[str, Probing]) -> dict[str, ProbeScore]:
    """The probe of the final set of each of several runs, as they would be trained on.

    Raises `JobError` where they are not of the same corpus, queries, positives and encoder, or of too few queries.
    """
    first = next(iter(runs.values()))
    sets: dict[str, list[Int64]] = {}
    written: list[str] = []
    for name, other in runs.items():
        _check_alike(name, first, other)
        assert other.corpus is not None, "a batch was added"  # noqa: S101
        new = len(other.corpus)
        sets[name] = [np.where(own >= new, own + len(written), own) for own in other.rows["final"]]
        written += other.written
    if len(first.queries) < FEWEST:
        raise JobError(f"the probe needs {FEWEST:,} queries, these runs have {first.examples:,}")
    return replace(first, written=written).scores(sets)


def _check_alike(name: str, first: Probing, other: Probing) -> None:
    one, two = ((run.corpus.fingerprint if run.corpus is not None else None) for run in (first, other))
    for what, same in (
        ("passages", one == two),
        ("queries and positives", (first.queries, first.positives) == (other.queries, other.positives)),
        ("vectors of the target", first.encoder.identity() == other.encoder.identity()),
    ):
        if not same:
            raise JobError(
                f"{name}: the {what} are not those of the first run; the probe compares sets for the same queries"
            )


def _in_words(gap: Difference) -> str:
    word = "decided" if gap.decided else "not decided"
    return f"probe {gap.mean:+.3f}, {gap.low:+.3f} to {gap.high:+.3f}: {word}"
