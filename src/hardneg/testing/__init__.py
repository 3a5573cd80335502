"""For tests of parts, ours and yours: a small corpus, an encoder without weights, and the contract of every part."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hardneg.arrays import Float32, offsets_of
from hardneg.cache.folders import Cache
from hardneg.data import corpus
from hardneg.data.batch import Batch
from hardneg.data.candidates import Candidates, Scores, Selection, Verdicts
from hardneg.data.merge import merge
from hardneg.data.records import Passage, Read
from hardneg.data.word_weights import words
from hardneg.kinds import part
from hardneg.protocols import Filter, Generator, Role, Scorer, Selector, partitioned

if TYPE_CHECKING:
    from hardneg.testing.fault_server import Fault as Fault
    from hardneg.testing.fault_server import FaultServer as FaultServer
    from hardneg.testing.fault_server import at_random as at_random


TRACE = 0.01


@part
class HashedWords:
    """An encoder that needs no weights: words hashed into ``dimensions`` buckets, counted, normalised.

    A trace of a hash of all words is added, so that texts of different words are never equally near to a third.
    """

    dimensions: int = 64

    def identity(self) -> str:
        """Its only field."""
        return f"hashed words {self.dimensions} with a trace"

    def encode(self, texts: Sequence[str], role: Role) -> Float32:
        """Float32 [len(texts), dimensions], rows of unit length."""
        out = np.empty((len(texts), self.dimensions), dtype=np.float32)
        for row, text in zip(out, texts, strict=True):
            row[:] = np.random.default_rng(_number(" ".join(sorted(words(text))))).random(self.dimensions) * TRACE
            for word in words(text):
                row[_bucket(word, self.dimensions)] += 1
        normalised: Float32 = out / np.linalg.norm(out, axis=1, keepdims=True)
        return normalised

    def encode_tokens(self, texts: Sequence[str], role: Role) -> list[Float32]:
        """One vector a word."""
        return [self.encode(sorted(words(text)) or [""], role) for text in texts]


def _bucket(word: str, dimensions: int) -> int:
    return _number(word) % dimensions


def _number(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=4).digest(), "little")


def make_batch(
    folder: Path, passages: Mapping[str, str], queries: Mapping[str, str], positives: Mapping[str, Sequence[str]]
) -> Batch:
    """A batch without candidates: ``passages`` by id, ``queries`` by id, ids of positives by query id. ``folder`` holds
    the corpus.
    """
    reads = (Read(Passage(name, text), "passages", line) for line, (name, text) in enumerate(passages.items(), 1))
    built = corpus.build(Cache(folder), reads).corpus
    rows = [[built.row(name) for name in positives[query]] for query in queries]
    flat = np.array([row for own in rows for row in own], dtype=np.int64)
    return Batch.of(built, list(queries), list(queries.values()), offsets_of([len(own) for own in rows]), flat)


def check_generator(generator: Generator, batch: Batch) -> Candidates:
    """Asserts the contract of a generator on a batch, and returns its answer: one list an example, rows of the corpus
    or texts, finite scores, no passage twice in a list, and the same answer when asked again or for each part of the
    corpus.
    """
    found = generator.generate(batch)
    assert len(found.offsets) == len(batch) + 1, "one list an example"
    assert found.offsets[0] == 0, "offsets begin at 0"
    assert (np.diff(found.offsets) >= 0).all(), "offsets do not fall"
    assert len(found.rows) == len(found.scores) == found.offsets[-1], "a row and a score a candidate"
    assert np.isfinite(found.scores).all(), "scores are finite"
    assert ((found.rows >= -1) & (found.rows < len(batch.corpus))).all(), "rows are rows of the corpus, or -1"
    for begin, end in zip(found.offsets[:-1], found.offsets[1:], strict=True):
        own = found.rows[begin:end]
        assert len(set(own[own >= 0].tolist())) == (own >= 0).sum(), "no passage twice in a list"
    merged = merge(batch, {"checked": found})  # raises for a candidate that is neither a row nor a text
    again = generator.generate(batch)
    assert again.rows.tolist() == found.rows.tolist(), "the same question has the same answer"
    assert len(merged) == len(batch)
    if partitioned(generator):
        for number in range(generator.parts):
            generator.prepare(batch.corpus, number)
        in_parts = generator.merged(batch, [generator.generate_part(batch, n) for n in range(generator.parts)])
        for name in ("offsets", "rows", "scores"):
            assert getattr(in_parts, name).tolist() == getattr(found, name).tolist(), "parts change nothing"
    return found


def check_scorer(scorer: Scorer, batch: Batch) -> Scores:
    """Asserts the contract of a scorer on a batch with candidates: a finite number a candidate and a positive."""
    scores = scorer.score(batch)
    assert len(scores.negatives) == len(batch.rows), "a score a candidate"
    assert len(scores.positives) == len(batch.positive_rows), "a score a positive"
    assert np.isfinite(scores.negatives).all(), "scores of candidates are finite"
    assert np.isfinite(scores.positives).all(), "scores of positives are finite"
    return scores


def check_filter(judge: Filter, batch: Batch) -> Verdicts:
    """Asserts the contract of a filter: a verdict a candidate, and finite numbers for each dropped one."""
    verdicts = judge.judge(batch)
    assert len(verdicts.broken) == len(verdicts.value) == len(verdicts.limit) == len(batch.rows), (
        "a verdict a candidate"
    )
    assert ((verdicts.broken >= -2) & (verdicts.broken < len(verdicts.rules))).all(), "-1 or the number of a rule"
    assert np.isfinite(verdicts.value[verdicts.dropped]).all(), "a dropped candidate has a value"
    assert np.isfinite(verdicts.limit[verdicts.dropped]).all(), "a dropped candidate has a limit"
    return verdicts


def check_selector(selector: Selector, batch: Batch) -> Selection:
    """Asserts the contract of a selector: at most ``per_query`` an example, each one kept, trainable, its own, once."""
    [selection] = selector.select([batch])
    assert len(selection.offsets) == len(batch) + 1, "one list an example"
    assert (np.diff(selection.offsets) <= selector.per_query).all(), "at most `per_query`"
    assert len(set(selection.chosen.tolist())) == len(selection.chosen), "no candidate twice"
    assert (batch.kept & batch.trainable)[selection.chosen].all(), "nothing dropped, nothing of a control"
    owners = np.repeat(np.arange(len(batch)), np.diff(selection.offsets))
    assert (batch.owners[selection.chosen] == owners).all(), "each example's own candidates"
    return selection


def __getattr__(name: str) -> Any:
    """The fault server's names, loaded on use, so that ``python -m hardneg.testing.fault_server`` loads it once."""
    if name in ("Fault", "FaultServer", "at_random"):
        return getattr(import_module("hardneg.testing.fault_server"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
