"""The source shortcut: found where there is one, and not where there is none."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from hardneg.arrays import offsets_of
from hardneg.data.batch import Batch
from hardneg.data.candidates import Candidates
from hardneg.data.merge import merge
from hardneg.report.shortcut import Shortcut, surface
from hardneg.testing import HashedWords

WORDS = ["cat", "dog", "rain", "rome", "paris", "town", "mat", "hill", "tree", "stone", "river", "cloud"]


def batch_with(
    batch_of: Callable[..., Batch], written: Callable[[np.random.Generator], str], queries: int = 40
) -> Batch:
    """Queries with five mined and five written negatives each, all of random words."""
    rng = np.random.default_rng(0)

    def text() -> str:
        return " ".join(rng.choice(WORDS, rng.integers(5, 12))) + "."

    passages = {f"d{i}": text() + f" {i}" for i in range(queries * 6)}
    batch = batch_of(
        passages, {f"q{i}": f"query {i}" for i in range(queries)}, {f"q{i}": [f"d{i}"] for i in range(queries)}
    )
    mined = Candidates(offsets_of([5] * queries), np.arange(queries, queries * 6), np.ones(queries * 5, np.float32))
    texts: Sequence[str] = [written(rng) + f" {number}" for number in range(queries * 5)]
    made = Candidates(offsets_of([5] * queries), np.full(queries * 5, -1), np.ones(queries * 5, np.float32), texts)
    return merge(batch, {"mined": mined, "written": made})


def report_of(batch: Batch) -> dict | None:
    shortcut = Shortcut(HashedWords(dimensions=32), 1)
    shortcut.add(batch)
    return shortcut.report()


def test_texts_of_one_kind_cannot_be_told_apart(batch_of: Callable[..., Batch]) -> None:
    found = report_of(batch_with(batch_of, lambda rng: " ".join(rng.choice(WORDS, rng.integers(5, 12))) + "."))
    assert found is not None
    assert (found["generated"], found["mined"]) == (200, 200)
    for view in ("surface", "geometry"):
        assert found[view]["auc"] < 0.7
        assert found[view]["interval"][0] < 0.6


def test_texts_of_another_length_and_voice_can(batch_of: Callable[..., Batch]) -> None:
    found = report_of(batch_with(batch_of, lambda rng: "Here is a PASSAGE: " + ", ".join(rng.choice(WORDS, 25))))
    assert found is not None
    assert found["surface"]["auc"] > 0.95
    assert found["geometry"]["interval"][0] > 0.8


def test_nothing_generated_is_nothing_to_report(batch_of: Callable[..., Batch]) -> None:
    batch = batch_with(batch_of, lambda rng: "x")
    assert report_of(replace(batch, controls=frozenset({"written"}))) is None


def test_generated_texts_of_one_query_are_too_few_to_say(batch_of: Callable[..., Batch]) -> None:
    batch = batch_with(batch_of, lambda rng: "x")
    only = batch.rows.copy()
    written = np.flatnonzero((batch.rows < 0) & (batch.owners > 0))
    only[written] = 0
    assert report_of(replace(batch, rows=only)) is None


def test_surface_of_an_empty_text_is_finite() -> None:
    assert np.isfinite(surface("")).all()
    assert len(surface("")) == len(surface("A text, with 2 sentences. Really!\n"))
