"""The index of BM25, built in blocks, against the one that bm25s builds."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import bm25s
import numpy as np
import pytest
import Stemmer
from hypothesis import given, settings
from hypothesis import strategies as st

from hardneg import progress
from hardneg.cache import folders
from hardneg.data.corpus import Corpus
from hardneg.data.scripts import spaced
from hardneg.models import bm25, bm25_build, bm25_words
from hardneg.models.bm25_build import Counts, write
from hardneg.models.bm25_processes import count, count_in_processes
from hardneg.models.bm25_words import Words, counted, stopwords_of
from hardneg.testing import make_batch
from hardneg.testing.faults import some_faults

SETTINGS = {"k1": 1.2, "b": 0.6, "delta": 0.7}
FORMS = ["the", "run", "running", "ran", "Über", "naïve", "x", "東京都", "don't", "a_b", "42", "ΣΊΣΥΦΟΣ", "of"]


def passages(count: int) -> list[str]:
    """Random words, the first most often, with some passages that have none."""
    rng = np.random.default_rng(count)
    forms = [*FORMS, *[f"word{i}" for i in range(200)]]
    shares = 1 / np.arange(1, len(forms) + 1)
    return [" ".join(rng.choice(forms, rng.integers(0, 40), p=shares / shares.sum())) for _ in range(count)]


def counts_of(folder: Path, texts: Sequence[str], block: int) -> Counts:
    folder.mkdir()
    counts = Counts(folder)
    words = Words("english", stopwords_of("english"))
    counts.add(counted(words, texts[i : i + block]) for i in range(0, len(texts), block))
    return counts


@pytest.mark.parametrize("method", get_args(bm25_build.Method))
def test_it_is_that_of_bm25s_to_the_last_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    texts = passages(500)
    monkeypatch.setattr(bm25_build, "ENTRIES", 300)
    counts = counts_of(tmp_path / "index", texts, 70)
    write(tmp_path / "index", counts, counts.statistics(), method, **SETTINGS)
    counts.remove()
    theirs = bm25s.BM25(method=method, **SETTINGS)
    theirs.index(bm25.Settings().tokens(texts), show_progress=False)
    theirs.save(tmp_path / "theirs", show_progress=False)
    assert {file.name for file in (tmp_path / "index").iterdir()} == {f.name for f in (tmp_path / "theirs").iterdir()}
    ours = bm25s.BM25.load(tmp_path / "index", mmap=True)
    told = ("k1", "b", "delta", "method", "idf_method", "dtype", "int_dtype", "backend")
    assert [getattr(ours, name) for name in told] == [getattr(theirs, name) for name in told]
    assert ours.scores["num_docs"] == 500
    assert set(ours.vocab_dict) == set(theirs.vocab_dict)
    for word in set(ours.vocab_dict) - {""}:
        for name in ("data", "indices"):
            one, other = (
                index.scores[name][slice(*index.scores["indptr"][index.vocab_dict[word] :][:2])]
                for index in (ours, theirs)
            )
            assert (one.dtype, one.tobytes()) == (other.dtype, other.tobytes())
        if theirs.nonoccurrence_array is not None:
            assert (
                ours.nonoccurrence_array[ours.vocab_dict[word]] == theirs.nonoccurrence_array[theirs.vocab_dict[word]]
            )


@settings(max_examples=30)
@given(st.lists(st.text() | st.sampled_from(FORMS).map(lambda form: f"{form} {form}"), max_size=5))
def test_words_are_those_of_bm25s(texts: list[str]) -> None:
    for language, stopwords in (("english", "english"), ("none", "none"), ("german", "french")):
        stemmer = None if language == "none" else Stemmer.Stemmer(language)
        theirs = bm25s.tokenize(
            [spaced(text) for text in texts],
            stopwords=[] if stopwords == "none" else stopwords,
            stemmer=stemmer,
            return_ids=False,
            show_progress=False,
        )
        assert bm25.Settings(language, stopwords).tokens(texts) == theirs


def test_counts_that_were_kept_are_those_that_were_made(tmp_path: Path) -> None:
    for texts in (passages(200), ["the of"]):
        counts = counts_of(tmp_path / str(len(texts)), texts, 64)
        counts.save()
        loaded = Counts.load(counts.folder)
        assert (loaded.numbers, loaded.ends, loaded.passages) == (counts.numbers, counts.ends, counts.passages)
        np.testing.assert_array_equal(np.concatenate(loaded.lengths), np.concatenate(counts.lengths))
        assert loaded.statistics()[:2] == counts.statistics()[:2]
        for one, other in zip(loaded.by_words(), counts.by_words(), strict=True) if loaded.numbers else ():
            np.testing.assert_array_equal(one, other)


def test_statistics_of_two_parts_are_those_of_the_whole(tmp_path: Path) -> None:
    texts = passages(120)
    whole, one, other = (
        counts_of(tmp_path / name, some, 64).statistics()
        for name, some in (("whole", texts), ("one", texts[:70]), ("other", texts[70:]))
    )
    known = dict(zip(whole.words.to_pylist(), whole.frequencies.tolist(), strict=True))
    both = one.with_those_of(other)
    assert (both.passages, both.length) == (whole.passages, whole.length)
    assert both.words == one.words
    assert both.frequencies.tolist() == [known[word] for word in one.words.to_pylist()]
    every = one.with_those_of(other, new_words=True)
    assert every.words[: len(one.words)] == one.words
    assert dict(zip(every.words.to_pylist(), every.frequencies.tolist(), strict=True)) == known


def corpus_of(folder: Path, texts: Sequence[str]) -> Corpus:
    named = {f"p{i}": text or "-" for i, text in enumerate(texts)}
    return make_batch(folder, named, {"q": "word1"}, {"q": ["p0"]}).corpus


def contents(index: bm25s.BM25 | None, corpus: Corpus) -> dict[str, bytes]:
    [folder] = (corpus.cache.root / "bm25").glob("[!.]*")
    return {file.name: file.read_bytes() for file in folder.iterdir()}


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="faults are injected into system calls of Linux")
def test_whatever_stops_it_the_next_one_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus = corpus_of(tmp_path / "cache", passages(60))
    monkeypatch.setattr(bm25, "PASSAGES_PER_BLOCK", 25)
    monkeypatch.setattr(folders, "_intact", set())
    there = tmp_path / "cache"

    def build(_: Path) -> None:
        bm25.index(bm25.Settings(), corpus)

    trials = 0
    expected: dict[str, bytes] = {}
    for trial in some_faults(build, there, 16):
        trials += 1
        found = contents(bm25.index(bm25.Settings(), corpus), corpus)
        expected = expected or found
        assert found == expected, trial
    assert trials == 16
    assert not any("counts" in name for name in expected)


def test_processes_make_the_same_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus = corpus_of(tmp_path / "cache", passages(300))
    blocks = [(begin, begin + 30) for begin in range(0, 300, 30)]
    task = "english", stopwords_of("english"), corpus, blocks
    started: list[subprocess.Popen[bytes]] = []
    start = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", lambda *a, **k: started.append(start(*a, **k)) or started[-1])
    alone = list(count(*task))
    others = count_in_processes(*task, 2)
    together = [next(others)]
    started[0].kill()  # what it leaves is counted here
    together += others
    assert all(process.poll() is not None for process in started)
    assert len(started) == 2
    for one, other in zip(alone, together, strict=True):
        for mine, theirs in zip(one, other, strict=True):
            np.testing.assert_array_equal(mine, theirs)
    others = count_in_processes(*task, 2)
    next(others)
    others.close()  # as Ctrl-C does
    assert all(process.poll() is not None for process in started)


class Impatient:
    """Presses Ctrl-C at the first sign of progress."""

    def start(self, title: str, total: int | None) -> int:
        return 0

    def advance(self, task: int, amount: int) -> None:
        raise KeyboardInterrupt

    def stop(self, task: int) -> None: ...

    def note(self, text: str) -> None: ...


def test_stopped_by_ctrl_c_it_is_made_at_the_next_call(tmp_path: Path) -> None:
    corpus = corpus_of(tmp_path / "cache", passages(60))
    with progress.listening(Impatient()), pytest.raises(KeyboardInterrupt):
        bm25.index(bm25.Settings(), corpus)
    assert not list((corpus.cache.root / "bm25").glob("[!.]*"))
    index = bm25.index(bm25.Settings(), corpus)
    assert index is not None
    assert index.scores["num_docs"] == 60


def test_forms_that_are_forgotten_keep_their_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = passages(50)
    expected = bm25.Settings().tokens(texts)
    monkeypatch.setattr(bm25_words, "FORMS", 3)
    assert bm25.Settings().tokens(texts) == expected
