"""`ECIFilter` without a rule: probabilities from ranks in a corpus, and what it does without one."""

import warnings

import numpy as np
import pytest

from hardneg import ECIFilter
from hardneg.errors import PartError
from hardneg.testing import HashedWords

WORDS = [f"{colour} {animal} {place}" for colour in ["red", "blue", "green", "white"] for animal in ["cat", "dog", "owl", "fox", "elk"]
         for place in ["forest", "river", "house", "field"]]  # fmt: skip


def passages(count: int) -> list[str]:
    rng = np.random.default_rng(0)
    return [f"{WORDS[i % len(WORDS)]} number {rng.integers(10_000)} {i}" for i in range(count)]


def test_ranks_are_those_in_the_corpus() -> None:
    corpus = passages(1_200)
    stage = ECIFilter(HashedWords(), corpus=corpus, level=4.0)
    queries, positives = ["red cat forest", "blue dog river"], [corpus[0], corpus[25]]
    twin, far = corpus[80], corpus[79]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = stage(queries, positives, [[twin, far], [far]])
    assert [d.reason.rule for d in result.dropped if d.text == twin] == ["calibrated"]
    assert far in result.kept[0]
    again = stage(queries[:1], positives[:1], [[twin, far]])
    assert again.kept[0] == result.kept[0]


def test_few_texts_and_no_corpus_fall_back_and_say_so() -> None:
    stage = ECIFilter(HashedWords())
    with pytest.warns(UserWarning, match="corpus"):
        result = stage(["cat"], ["a cat"], [["cat cat", "rain"]])
    by_margin = ECIFilter(HashedWords(), margin=0.05)(["cat"], ["a cat"], [["cat cat", "rain"]])
    assert result.kept == by_margin.kept
    assert {d.reason.rule for d in result.dropped} <= {"margin"}


def test_similarities_alone_cannot_give_ranks() -> None:
    with pytest.raises(PartError):
        ECIFilter()(["q"], ["p"], [["n"]], similarities=([0.9], [[0.1]]))
