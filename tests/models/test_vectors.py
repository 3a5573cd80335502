"""What a plug-in's encoder or reranker may answer: everything else stops the run and names part and text."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hardneg import kinds
from hardneg.arrays import Float32
from hardneg.cache.folders import Cache
from hardneg.cli import main
from hardneg.data.batch import Batch
from hardneg.errors import ModelError
from hardneg.kinds import part
from hardneg.models.embeddings import embed, matrix, score_pairs
from hardneg.models.late_interaction import LateInteraction
from hardneg.pipeline.steps import scored
from hardneg.scorers.bi_encoder import BiEncoder
from hardneg.testing import HashedWords

RAIN = "heavy rain fell on the town"
WRONG = {
    "nan": ("not finite for the passage 'heavy rain fell on the town'", lambda row: row * np.nan),
    "long": ("of length 4, not 1, for the passage 'heavy rain fell on the town'; divide", lambda row: row * 4),
    "short": ("of length 0.98, not 1", lambda row: row * 0.98),
    "zero": ("of length 0, not 1, for the passage 'heavy rain .*leave that text out", lambda row: row * 0),
}


@part
class Faulty:
    """Hashed words, but for one passage."""

    fault: str = "nan"

    def identity(self) -> str:
        return f"faulty {self.fault}"

    def encode(self, texts, role) -> Float32:
        out = HashedWords().encode(texts, role)
        if self.fault == "narrow" and role == "query":
            return HashedWords(dimensions=8).encode(texts, role)
        if self.fault == "fewer":
            return out[:-1]
        if self.fault == "lists":
            return [[1.0], [0.6, 0.8]]  # type: ignore[return-value]
        for row, text in zip(out, texts, strict=True):
            if text == RAIN and self.fault in WRONG:
                row[:] = WRONG[self.fault][1](row)
        return out

    def encode_tokens(self, texts, role) -> list[Float32]:
        return [self.encode([text], role)[: self.fault != "none"] for text in texts]


@pytest.fixture
def plugged(monkeypatch: pytest.MonkeyPatch) -> None:
    """The encoder as the kind ``faulty``, as a plug-in's entry point would make it."""
    monkeypatch.setitem(kinds.BUILT_IN["encoders"], "faulty", f"{__name__}:Faulty")
    kinds.kinds.cache_clear()
    yield
    kinds.kinds.cache_clear()
    kinds.load.cache_clear()


@pytest.mark.parametrize("fault", [*WRONG, "narrow", "fewer", "lists"])
def test_a_job_stops_at_a_wrong_vector_and_names_part_and_text(
    make_job: Callable[..., Path], capsys: pytest.CaptureFixture[str], fault: str, plugged: None
) -> None:
    encoder = {"kind": "faulty", "fault": fault}
    changes = {"generators.semantic.encoder": encoder, "scorers.target.encoder": encoder}
    assert main(["run", str(make_job(changes=changes))]) == 1
    [said] = capsys.readouterr().err.splitlines()
    assert said.startswith("hardneg: `faulty` gave ")


@pytest.mark.parametrize("fault", WRONG)
def test_the_text_of_a_wrong_vector_is_named(batch_of: Callable[..., Batch], fault: str) -> None:
    batch = batch_of()
    with pytest.raises(ModelError, match=WRONG[fault][0]):
        matrix(Faulty(fault=fault), batch.corpus)


def test_the_rounding_of_half_precision_is_no_fault(tmp_path: Path) -> None:
    class Half(HashedWords):
        def encode(self, texts, role):
            return super().encode(texts, role).astype(np.float16)

    assert embed(Half(), [RAIN, "the cat"], "passage", Cache(tmp_path)).dtype == np.float32


def test_one_width_holds_for_both_roles_and_for_later_runs(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    embed(Faulty(fault="narrow"), [RAIN], "passage", cache)
    with pytest.raises(ModelError, match="a vector of 8 numbers for the query 'rain', and of 64 before"):
        embed(Faulty(fault="narrow"), ["rain"], "query", cache)

    class Shrunk(Faulty):
        def encode(self, texts, role):
            return HashedWords(dimensions=8).encode(texts, role)

    with pytest.raises(ModelError, match="of 8 numbers for the passage 'the cat', and of 64 before"):
        embed(Shrunk(fault="narrow"), [RAIN, "the cat"], "passage", Cache(tmp_path))


@pytest.mark.parametrize(
    ("fault", "message"),
    [("nan", "not finite for the passage"), ("long", "of length 4, not 1"), ("none", r"token vectors of shape \[0, 64\]"), ("narrow", "of 8")],
)  # fmt: skip
def test_token_vectors_are_held_to_the_same(fault: str, message: str) -> None:
    model = LateInteraction(encoder=Faulty(fault=fault))
    with pytest.raises(ModelError, match=message):
        model.predict(["rain", "cat"], [RAIN, "the cat"])


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ([0.5, np.nan], "not finite for the query 'q2' and the passage 'p2'"),
        ([0.5], r"shape \[1\] for 2 pairs"),
        ([[0.5], [0.1]], r"shape \[2, 1\] for 2 pairs"),
        ("high", "no array of numbers"),
    ],
)
def test_a_wrong_score_of_a_pair_is_never_kept(tmp_path: Path, answer: object, message: str) -> None:
    class Reranker:
        def identity(self) -> str:
            return "a reranker"

        def predict(self, queries, passages):
            return answer

    with pytest.raises(ModelError, match=message):
        score_pairs(Reranker(), ["q1", "q2"], ["p1", "p2"], Cache(tmp_path))
    assert not list(tmp_path.glob("memo/*/*.npy"))


def test_a_scorer_that_calls_inner_products_cosines_is_refused(batch_of: Callable[..., Batch]) -> None:
    class Inner(BiEncoder):
        def score(self, batch):
            found = super().score(batch)
            return replace(found, positives=found.positives * 16)

    with pytest.raises(ModelError, match=r"scorer `target` gave \d+\.?\d* as a cosine, for query `q1`"):
        scored("target", Inner(encoder=HashedWords()), batch_of())
