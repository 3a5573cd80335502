"""How each retriever ranks the whole corpus for the training queries and for their positives, kept on disk.

BM25 and all-MiniLM-L6-v2 do not depend on the encoder that is trained: they are computed once a collection.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from bench.study.static import Bags, minilm, table
from bench.study.texts import Texts
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


def log_ranks(scores: Floats) -> NDArray[np.float16]:
    """Natural logarithms of the ranks [n, N], from 1; equal scores share their mean rank."""
    out = np.empty(scores.shape, dtype=np.float16)
    for row, values in enumerate(scores):
        order = np.argsort(-values, kind="stable")
        ordered = values[order]
        first = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
        count = np.diff(np.append(first, len(values)))
        out[row, order] = np.log(np.repeat(first + (count + 1) / 2, count))
    return out


def best(scores: Floats, own: Ints, depth: int) -> NDArray[np.int32]:
    """The ``depth`` best rows for every query [n, depth], without its positive ``own``."""
    out = np.empty((len(scores), depth), dtype=np.int32)
    for row in range(len(scores)):
        values = scores[row].copy()
        values[own[row]] = -np.inf
        top = np.argpartition(-values, depth)[:depth]
        out[row] = top[np.argsort(-values[top], kind="stable")]
    return out


@dataclass(eq=False)
class View:
    """One retriever: its best 310 rows for each training query, and log ranks for the query and for its positive."""

    top: NDArray[np.int32]
    for_query: NDArray[np.float16]
    for_positive: NDArray[np.float16]

    @classmethod
    def of(cls, for_query: Floats, for_positive: Floats, own: Ints, depth: int = 310) -> View:
        depth = min(depth, for_query.shape[1] - 2)
        return cls(best(for_query, own, depth), log_ranks(for_query), log_ranks(for_positive))


def kept(path: Path, make: Callable[[], View]) -> View:
    """A view from its file, made when it is not there."""
    if not path.exists():
        view = make()
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, top=view.top, for_query=view.for_query, for_positive=view.for_positive)
    with np.load(path) as found:
        return View(found["top"], found["for_query"], found["for_positive"])


def bm25(texts: Texts) -> View:
    """Okapi BM25 of English stems, by bm25s."""
    import bm25s
    import Stemmer

    stemmer = Stemmer.Stemmer("english")

    def words(some: list[str]) -> list[list[str]]:
        return bm25s.tokenize(some, stopwords="en", stemmer=stemmer, return_ids=False, show_progress=False)

    index = bm25s.BM25()
    index.index(words(texts.passages), show_progress=False)

    def scores(some: list[str]) -> Floats:
        out = np.zeros((len(some), len(texts.passages)), dtype=np.float32)
        for row, query in enumerate(words(some)):
            known = [word for word in query if word in index.vocab_dict]
            if known:
                out[row] = index.get_scores(known)
        return out

    own = texts.positives[texts.train]
    return View.of(scores([texts.queries[i] for i in texts.train]), scores([texts.passages[i] for i in own]), own)


def mini(texts: Texts, embeddings: tuple[Floats, Floats]) -> View:
    """The whole all-MiniLM-L6-v2, an encoder that knows more than those that are trained here."""
    queries, passages = embeddings
    own = texts.positives[texts.train]
    return View.of(queries @ passages.T, passages[own] @ passages.T, own)


def mini_embeddings(texts: Texts, path: Path) -> tuple[Floats, Floats]:
    """MiniLM's unit vectors of the training queries [n, 384] and of the passages [N, 384]."""
    if not path.exists():
        from sentence_transformers import SentenceTransformer

        model = SentenceTransformer(str(minilm()), device="cpu")
        model.max_seq_length = 96
        options = {"normalize_embeddings": True, "batch_size": 64, "show_progress_bar": False}
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(
            path,
            queries=model.encode([texts.queries[i] for i in texts.train], **options),
            passages=model.encode(texts.passages, **options),
        )
    with np.load(path) as found:
        return found["queries"], found["passages"]


def maxsim(bags: Bags, texts: Texts) -> Callable[[int, Ints], Floats]:
    """The MaxSim of a training query (its number) and passages (rows) over word vectors: each piece of the query finds
    its nearest.
    """
    words = table()[bags.vocabulary]
    words = words / np.linalg.norm(words, axis=1, keepdims=True)

    def of(query: int, rows: Ints) -> Floats:
        ids, starts = bags.take(np.append(rows, texts.train[query] + len(texts.passages)))
        own, others = ids[starts[-1] :].numpy(), ids[: starts[-1]].numpy()
        distinct, place = np.unique(others, return_inverse=True)
        near = (words[own] @ words[distinct].T)[:, place]
        return np.maximum.reduceat(near, starts[:-1].numpy(), axis=1).sum(0)

    return of
