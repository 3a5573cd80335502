"""Embeddings, the search for candidates, and new scores for them by a cross-encoder."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from hardneg.arrays import Float32, Int64
from hardneg.compat.pairs import Pairs
from hardneg.files.durable import replacing
from hardneg.files.npy import mapped
from hardneg.models.dense_search import nearest
from hardneg.models.in_memory import numbers, weights_of


def gpus() -> int:
    import faiss

    return int(getattr(faiss, "get_num_gpus", lambda: 0)())


@contextmanager
def pool_of(model: Any, wanted: list[str] | bool) -> Iterator[Any]:
    """The model's processes, stopped whatever happens; None without."""
    if not wanted:
        yield None
        return
    pool = model.start_multi_process_pool(target_devices=None if isinstance(wanted, bool) else wanted)
    try:
        yield pool
    finally:
        model.stop_multi_process_pool(pool)


@dataclass(frozen=True)
class Embedder:
    """Encodes texts, or finds them in the cache folder by the model's weights, the prompt and the texts."""

    model: Any
    pool: Any
    batch_size: int
    folder: Path | None
    say: Callable[..., None]

    def __call__(
        self, role: Literal["query", "document"], texts: list[str], prompt: str | None, prompt_name: str | None
    ) -> Float32:
        encode = self.model.encode_query if role == "query" else self.model.encode_document

        def encoded() -> Float32:
            vectors = encode(
                texts,
                pool=self.pool,
                batch_size=self.batch_size,
                normalize_embeddings=True,
                convert_to_numpy=True,
                show_progress_bar=True,
                prompt_name=prompt_name,
                prompt=prompt,
            )
            found = np.asarray(vectors, dtype=np.float32)
            bad = np.flatnonzero(~np.isfinite(found).all(axis=1))
            if len(bad):
                raise ValueError(f"the model gave an embedding that is not finite, for {texts[int(bad[0])]!r:.80}")
            return found

        if self.folder is None:
            return encoded()
        self.folder.mkdir(parents=True, exist_ok=True)
        digest = hashlib.sha256(repr((role, prompt, prompt_name, texts)).encode())
        digest.update(weights_of(self.model))
        name = "query" if role == "query" else "corpus"
        path = self.folder / f"{name}_embeddings_{digest.hexdigest()}.npy"
        if path.exists():
            try:
                found: Float32 = mapped(path)
            except (OSError, ValueError, EOFError):
                self.say(f"[Cache] {path} is damaged and is made again")
            else:
                self.say(f"[Cache] Loaded {name} embeddings from {path} (shape={found.shape})")
                return found
        made = encoded()
        with replacing(path) as temporary, temporary.open("wb") as file:
            np.save(file, made)
        self.say(f"[Cache] Saved {name} embeddings to {path}")
        return made


def by_model(model: Any, queries: Float32, documents: Float32, depth: int, block: int) -> tuple[Int64, Float32]:
    """The ``depth`` most similar rows of each query by the model's own similarity; -1 where the corpus is too small."""
    rows = np.full((len(queries), depth), -1, dtype=np.int64)
    scores = np.full((len(queries), depth), -np.inf, dtype=np.float32)
    for begin in range(0, len(queries), block):
        found = numbers(model.similarity(queries[begin : begin + block], documents))
        near, values = nearest(found, min(depth, len(documents)))
        rows[begin : begin + block, : near.shape[1]], scores[begin : begin + block, : near.shape[1]] = near, values
    return rows, scores


def by_faiss(_model: Any, queries: Float32, documents: Float32, depth: int, block: int) -> tuple[Int64, Float32]:
    """The same by inner product, with faiss, on the GPUs that there are."""
    import faiss

    index = faiss.IndexFlatIP(documents.shape[1])
    if gpus():
        options = faiss.GpuMultipleClonerOptions()
        options.shard = options.useFloat16 = True
        index = faiss.index_cpu_to_all_gpus(index, co=options)  # type: ignore[assignment]
    index.add(documents)
    parts = [index.search(queries[begin : begin + block], depth) for begin in range(0, len(queries), block)]
    return np.concatenate([rows for _, rows in parts]), np.concatenate([scores for scores, _ in parts])


def rescored(cross_encoder: Any, pairs: Pairs, rows: Int64, pool: Any, batch_size: int) -> tuple[Float32, Float32]:
    """New scores of all candidates and positives, all pairs in one call, so that the model may sort them by length."""
    owners, places = np.nonzero(rows >= 0)
    asked = [
        (pairs.queries[i], pairs.corpus[rows[i, k]]) for i, k in zip(owners.tolist(), places.tolist(), strict=True)
    ]
    asked += [(pairs.queries[i], pairs.corpus[p]) for i, p in zip(pairs.owners.tolist(), pairs.positives, strict=True)]
    found = numbers(
        cross_encoder.predict(asked, batch_size=batch_size, convert_to_tensor=True, pool=pool, show_progress_bar=True)
    ).reshape(-1)
    if len(found) != len(asked):
        raise ValueError("the cross-encoder must give one score a pair")
    if not np.isfinite(found).all():
        raise ValueError("the cross-encoder gave a score that is not finite")
    scores = np.full(rows.shape, -np.inf, dtype=np.float32)
    scores[owners, places] = found[: len(owners)]
    return scores, found[len(owners) :]
