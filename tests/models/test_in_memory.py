"""Models of callers: whatever they give, it is one encoder, known by its weights, which are read once."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import Dataset
from sentence_transformers import SentenceTransformer
from support import PASSAGES

import hardneg
from hardneg import ECIFilter, PartError
from hardneg.models.in_memory import InMemory, as_encoder
from hardneg.models.sentence_transformers import Encoder
from hardneg.testing import HashedWords


@pytest.fixture
def loaded(tiny_encoder: str) -> SentenceTransformer:
    return SentenceTransformer(tiny_encoder, device="cpu")


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often the weights of a loaded model are read."""
    counted: Counter[str] = Counter()
    real = SentenceTransformer.state_dict

    def state_dict(self: SentenceTransformer, *args: Any, **options: Any) -> Any:
        counted["state_dict"] += 1
        return real(self, *args, **options)

    monkeypatch.setattr(SentenceTransformer, "state_dict", state_dict)
    return counted


def test_a_name_a_folder_a_model_and_an_encoder(tiny_encoder: str, loaded: SentenceTransformer) -> None:
    assert as_encoder(tiny_encoder) == as_encoder(Path(tiny_encoder)) == Encoder(model=tiny_encoder)
    own = HashedWords()
    assert as_encoder(own) is own
    texts = ["the cat", "a dog"]
    in_memory = as_encoder(loaded, query_prompt="cat ")
    wanted = Encoder(model=tiny_encoder, query_prompt="cat ").encode(texts, "query")
    np.testing.assert_allclose(in_memory.encode(texts, "query"), wanted, atol=1e-6)
    assert isinstance(in_memory, InMemory)
    for nothing in (3, object(), None):
        with pytest.raises(PartError, match="a model is a name, a folder, or has `encode`"):
            as_encoder(nothing)


def test_equal_weights_are_one_identity_and_others_another(
    tiny_encoder: str, other_encoder: str, loaded: SentenceTransformer
) -> None:
    again = SentenceTransformer(tiny_encoder, device="cpu")
    other = SentenceTransformer(other_encoder, device="cpu")
    assert as_encoder(loaded).identity() == as_encoder(again).identity() != as_encoder(other).identity()
    assert as_encoder(loaded, query_prompt="q ").identity() != as_encoder(loaded).identity()
    again.max_seq_length = 8
    assert as_encoder(again).identity() != as_encoder(loaded).identity()


def test_a_model_that_was_trained_on_is_another(loaded: SentenceTransformer) -> None:
    import torch

    before = as_encoder(loaded).identity()
    with torch.no_grad():
        next(loaded.parameters()).add_(0.1)
    assert as_encoder(loaded).identity() != before


def test_a_folder_that_was_trained_on_is_another_and_is_loaded_anew(
    tiny_encoder: str, other_encoder: str, tmp_path: Path
) -> None:
    shutil.copytree(tiny_encoder, tmp_path / "model")
    encoder = Encoder(model=str(tmp_path / "model"))
    before, vector = encoder.identity(), encoder.encode(["the cat"], "query")
    assert encoder.identity() == before
    shutil.copytree(other_encoder, tmp_path / "model", dirs_exist_ok=True)  # as a trainer saves over it
    assert encoder.identity() != before
    after = encoder.encode(["the cat"], "query")
    np.testing.assert_allclose(after, Encoder(model=other_encoder).encode(["the cat"], "query"), atol=1e-6)
    assert not np.allclose(vector, after, atol=1e-3)


PAIRS = {"q": ["where did the cat sit", "loyal animals"], "p": [PASSAGES["cat"], PASSAGES["dogs"]]}


def test_mining_reads_the_weights_once(loaded: SentenceTransformer, looks: Counter[str]) -> None:
    options = {"corpus": list(PASSAGES.values()), "per_query": 1, "output_format": "triplet"}
    hardneg.mine(Dataset.from_dict(PAIRS), loaded, calibrated=1.0, **options)
    assert looks["state_dict"] == 1


def test_filtering_reads_the_weights_once_a_call_at_most(loaded: SentenceTransformer, looks: Counter[str]) -> None:
    negatives = [["a dog barked at the cat"], ["heavy rain fell on the town"]]
    by_ranks = ECIFilter(loaded, corpus=tuple(PASSAGES.values()))
    by_ranks(PAIRS["q"], PAIRS["p"], negatives)
    assert looks["state_dict"] == 1
    looks.clear()
    ECIFilter(loaded, margin=0.1)(PAIRS["q"], PAIRS["p"], negatives)
    assert looks["state_dict"] <= 1
