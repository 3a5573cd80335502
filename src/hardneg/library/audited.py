"""A training file under a model: the numbers of its negatives, beside those of random ones."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from hardneg.arrays import Float32, Int64, offsets_of
from hardneg.auditing.case import rows
from hardneg.auditing.facts import Facts, Hashes, pair_keys
from hardneg.cache.folders import cache_at
from hardneg.data.batch import Batch
from hardneg.data.candidates import Candidates
from hardneg.data.corpus import Corpus, content_hash
from hardneg.data.records import Example, Passage, Read
from hardneg.engines.local import Local
from hardneg.files.bad_lines import BadLines
from hardneg.files.text_lines import Limits, known_hash
from hardneg.filters.eci_safety import ECISafety
from hardneg.generators.random import Random
from hardneg.kinds import NEUTRAL
from hardneg.pipeline.plan import Plan
from hardneg.pipeline.run import Pipeline
from hardneg.pipeline.store import Folder
from hardneg.protocols import Encoder
from hardneg.scorers.bi_encoder import BiEncoder
from hardneg.scorers.false_negative import FalseNegative
from hardneg.selectors.everything import Everything

SOURCE, CONTROL = "file", "random"


@dataclass(frozen=True, slots=True, eq=False)
class UnderModel:
    """What the model says: ``report``, part of a job's; the probability of each pair (`pair_keys`); the passages."""

    report: dict[str, Any]
    keys: Hashes
    probabilities: Float32
    corpus: Corpus


def under_model(
    path: Path, facts: Facts, encoder: Encoder, calibrated: float, limits: Limits, cache: Path | None
) -> UnderModel:
    """Runs a job over the rows that can be read: queries by their text, passages by theirs, whatever ids they have."""
    plan = Plan(
        reader=Rows(path, limits),
        generators={
            SOURCE: Negatives(path, facts.asked[facts.negative], facts.passages[facts.negative]),
            CONTROL: Random(depth=max(facts.typical(), 1)),
        },
        scorers={"target": BiEncoder(encoder=encoder), "doubt": FalseNegative(encoder=encoder)},
        filters={"doubtful": ECISafety(scorer="doubt", calibrated=calibrated)},
        selector=Everything(),
        target="target",
        controls=(CONTROL,),
        at=(1,),
    )
    with tempfile.TemporaryDirectory(prefix="hardneg-") as folder:
        result = Pipeline(plan, Folder(Path(folder)), cache_at(cache), Local()).run()
        keys, probabilities = [np.zeros(0, np.uint64)], [np.zeros(0, np.float32)]
        for batch in result.batches:
            own = batch.sources[SOURCE].proposed
            keys.append(pair_keys(_hashes(batch)[batch.owners[own]], batch.hashes()[own]))
            probabilities.append(batch.scores["doubt"].negatives[own])
        report = {name: result.report[name] for name in ("metric", "scorer", "controls", "hybrids")}
        sets, shares = (
            {name: found[name] for name in (SOURCE, CONTROL)}
            for found in (result.report["sets"], result.report["false"]["sets"])
        )
        return UnderModel(
            report | {"sets": sets, "false": {"sets": shares}},
            np.concatenate(keys),
            np.concatenate(probabilities),
            result.corpus,
        )


def _hashes(batch: Batch) -> Hashes:
    return np.array([int(name, 16) for name in batch.ids], dtype=np.uint64)


def _name(found: int) -> str:
    return f"{found:016x}"


@dataclass(frozen=True, slots=True)
class Rows:
    """The file as a job's reader. Texts are streamed; hashes of the distinct ones are held."""

    path: Path = field(metadata=NEUTRAL)
    limits: Limits

    def files(self) -> list[Path]:
        """The file, or the files of its folder."""
        return sorted(f for f in self.path.rglob("*") if f.is_file()) if self.path.is_dir() else [self.path]

    def passages(self) -> Iterator[Read[Passage]]:
        """Each distinct text once, in order of first appearance."""
        seen: set[int] = set()
        for row, _ in rows(self.path, self.limits, BadLines("skip")):
            for text in (*row.positives, *row.negatives):
                found = content_hash(text.contents)
                if text.contents and found not in seen:
                    seen.add(found)
                    yield Read(Passage(_name(found), text.text or text.contents, text.title), row.file, row.line)

    def examples(self, corpus: Corpus, empty: frozenset[str]) -> Iterator[Read[Example]]:
        """One example a query, with the positives of all its rows."""
        queries: dict[int, tuple[str, int]] = {}
        positives: dict[int, dict[str, None]] = {}
        for row, _ in rows(self.path, self.limits, BadLines("skip")):
            if row.query.strip():
                query = content_hash(row.query)
                queries.setdefault(query, (row.query, row.line))
                names = (_name(content_hash(text.contents)) for text in row.positives if text.contents)
                positives.setdefault(query, {}).update(dict.fromkeys(names))
        for query, (text, line) in queries.items():
            own = tuple(positives[query])
            item = Example(_name(query), text, own) if own else None
            yield Read(item, str(self.path), line, None if own else "query without a positive")


@dataclass(frozen=True, slots=True, eq=False)
class Negatives:
    """The file's negatives as a job's generator. ``queries``, ``passages`` uint64 [m]: the hashes of each pair."""

    path: Path = field(metadata=NEUTRAL)
    queries: Hashes = field(metadata=NEUTRAL)
    passages: Hashes = field(metadata=NEUTRAL)

    def identity(self) -> str:
        """The content of the file."""
        return ",".join(map(known_hash, Rows(self.path, Limits()).files()))

    def generate(self, batch: Batch) -> Candidates:
        """The negatives of each query, in the order of the file."""
        order = np.argsort(self.queries, kind="stable")
        known, asked = self.queries[order], _hashes(batch)
        begin, end = np.searchsorted(known, asked, "left"), np.searchsorted(known, asked, "right")
        places = [order[b:e] for b, e in zip(begin.tolist(), end.tolist(), strict=True)]
        owners: Int64 = np.repeat(np.arange(len(batch)), end - begin)
        flat = np.concatenate([np.zeros(0, np.int64), *places])
        owners, rows = batch.corpus.rows_with(self.passages[flat], owners)
        offsets = offsets_of(np.bincount(owners, minlength=len(batch)))
        return Candidates(offsets, rows, np.zeros(len(rows), np.float32))
