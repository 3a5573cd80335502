"""What is kept of models: a few, and never weights that no longer lie in the folder."""

from __future__ import annotations

import gc
import os
import shutil
import weakref
from pathlib import Path

import numpy as np
import pytest

from hardneg.cache.folders import Cache
from hardneg.models import embeddings, weights
from hardneg.models.in_memory import as_encoder
from hardneg.models.late_interaction import LateInteraction
from hardneg.models.loaded import Loaded
from hardneg.models.sentence_transformers import ENCODERS, Encoder


class Thing:
    """Can be looked at from outside."""


def test_no_more_than_a_few_and_the_last_used_stay() -> None:
    models = Loaded[Thing](2)
    first = models.get("a", "1", Thing)
    models.get("b", "1", Thing)
    assert models.get("a", "1", Thing) is first
    gone = weakref.ref(models.get("b", "1", Thing))
    assert models.get("a", "1", Thing) is first
    models.get("c", "1", Thing)
    gc.collect()
    assert gone() is None
    assert len(models) == 2


def test_the_earlier_weights_go_before_the_others_are_loaded() -> None:
    models = Loaded[Thing](4)
    gone = weakref.ref(models.get("a", "1", Thing))

    def load() -> Thing:
        gc.collect()
        assert gone() is None
        return Thing()

    models.get("a", "2", load)
    assert len(models) == 1


def trained_into(folder: Path, other: str) -> None:
    """Other weights of the same size over these, with the times that the files had: rsync, cp -p, a coarse clock."""
    times = {file: file.stat() for file in folder.rglob("*") if file.is_file()}
    shutil.copytree(other, folder, dirs_exist_ok=True)
    for file, stat in times.items():
        assert file.stat().st_size == stat.st_size
        os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))


@pytest.mark.parametrize("settled", [0, 10**18], ids=["settled", "just written"])
def test_weights_that_bear_the_earlier_time_are_others(
    tiny_encoder: str, other_encoder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settled: int
) -> None:
    monkeypatch.setattr(weights, "SETTLED", settled)
    shutil.copytree(tiny_encoder, tmp_path / "model")
    encoder, cache = Encoder(model=str(tmp_path / "model")), Cache(tmp_path / "cache")
    before = embeddings.embed(encoder, ["the cat"], "query", cache)
    trained_into(tmp_path / "model", other_encoder)
    after = embeddings.embed(encoder, ["the cat"], "query", cache)
    wanted = Encoder(model=other_encoder).encode(["the cat"], "query")
    np.testing.assert_allclose(after, wanted, atol=1e-6)
    assert not np.allclose(before, after, atol=1e-3)


def test_the_tokens_of_late_interaction_are_those_of_the_weights(
    tiny_encoder: str, other_encoder: str, tmp_path: Path
) -> None:
    shutil.copytree(tiny_encoder, tmp_path / "model")
    part = LateInteraction(encoder=Encoder(model=str(tmp_path / "model")))
    pair = ["the cat"], ["a dog barked at the cat"]
    before = part.predict(*pair)
    shutil.copytree(other_encoder, tmp_path / "model", dirs_exist_ok=True)
    after = part.predict(*pair)
    np.testing.assert_allclose(after, LateInteraction(encoder=Encoder(model=other_encoder)).predict(*pair), atol=1e-6)
    assert not np.allclose(before, after, atol=1e-4)


def test_training_in_a_loop_keeps_one_model(tiny_encoder: str, other_encoder: str, tmp_path: Path) -> None:
    ENCODERS.clear()
    encoder = Encoder(model=str(tmp_path / "model"))
    for model in (tiny_encoder, other_encoder) * 2:
        shutil.copytree(model, tmp_path / "model", dirs_exist_ok=True)
        encoder.encode(["the cat"], "query")
        assert len(ENCODERS) == 1


class Plain:
    """A model of which nothing but ``encode`` is known, which can be trained on."""

    def __init__(self) -> None:
        self.direction = 1.0

    def encode(self, texts: list[str]) -> np.ndarray:
        return np.array([[len(text), self.direction] for text in texts], np.float32)


def test_a_model_without_weights_that_was_trained_on_is_another(tmp_path: Path) -> None:
    model, cache = Plain(), Cache(tmp_path)
    before = embeddings.embed(as_encoder(model), ["the cat"], "query", cache)
    assert as_encoder(model).identity() == as_encoder(model).identity()
    model.direction = 9.0
    after = embeddings.embed(as_encoder(model), ["the cat"], "query", cache)
    assert not np.allclose(before, after)
