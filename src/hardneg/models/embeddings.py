"""Embeddings and pair scores, each computed once: the corpus as a matrix on disk, everything else in a memo."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.lib.format import open_memmap

from hardneg import progress
from hardneg.arrays import Float32, Int64, Vectors, taken
from hardneg.cache.folders import Cache
from hardneg.cache.memo import BLOCK, Memo, keys_of
from hardneg.data.batch import Batch
from hardneg.data.corpus import Corpus
from hardneg.files.checksums import digest, signed
from hardneg.files.durable import replacing, sync
from hardneg.files.npy import mapped
from hardneg.kinds import fingerprint
from hardneg.models.matrices import DONE, FILE, GROUP, blocks_done, find_matrix, name_of
from hardneg.models.vectors import encoded, first_width, kept_as, predicted, same_width, told_apart
from hardneg.protocols import Encoder, PairScorer, Role

CANDIDATES_PER_BLOCK = 16_384


def matrix(encoder: Encoder, corpus: Corpus, rows: range | None = None) -> Vectors:
    """The embeddings of consecutive passages, all unless ``rows`` says which: [len(rows), d], memory-mapped, made if
    need be, a block at a time.

    A block has passages of about one length, the longest first, so that a model's batches are full. Stopped in the
    middle, the next call goes on after the last finished block.
    """
    every = range(len(corpus)) if rows is None else rows
    if (found := find_matrix(encoder, corpus, rows)) is not None:
        return found

    def make(folder: Path) -> None:
        order = corpus.by_size(every) - every.start
        path, blocks, kind = folder / FILE, _intact(folder, order), kept_as(encoder)
        with progress.task("encode corpus", len(order)) as bar:
            bar.advance(min(len(blocks) * BLOCK, len(order)))
            for begin in range(len(blocks) * BLOCK, len(order), BLOCK):
                rows = _rows(order, begin // BLOCK)
                texts = corpus.contents(every.start + rows)
                block = embed(encoder, texts, "passage", corpus.cache, keep=False)
                whole = (
                    mapped(path, "r+") if begin else open_memmap(path, "w+", kind, (len(order), block.shape[1]))  # type: ignore[no-untyped-call]
                )
                if not begin and hasattr(os, "posix_fallocate"):  # a full disk is an error here, not a bus error later
                    with path.open("r+b") as file:
                        os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
                whole[rows] = block
                whole.flush()
                sync(path)
                blocks.append(digest(block.astype(kind).tobytes()))
                with replacing(folder / DONE) as file:
                    file.write_text(json.dumps(signed({"blocks": blocks})))
                bar.advance(len(rows))

    return mapped(corpus.cache.made(GROUP, name_of(encoder, corpus, every), make) / FILE)


def _rows(order: Int64, block: int) -> Int64:
    """The rows of a block in the matrix, rising."""
    return np.sort(order[block * BLOCK : (block + 1) * BLOCK])


def _intact(folder: Path, order: Int64) -> list[str]:
    """The checksums of the blocks of an unfinished matrix, up to the first that has changed since it was written."""
    blocks = blocks_done(folder)
    if not blocks:
        return []
    try:
        whole = mapped(folder / FILE)
    except (OSError, ValueError):
        return []
    good = [digest(whole[_rows(order, i)].tobytes()) == found for i, found in enumerate(blocks)]
    return blocks[: good.index(False)] if False in good else blocks


def embed(encoder: Encoder, texts: Sequence[str], role: Role, cache: Cache, *, keep: bool = True) -> Float32:
    """Float32 [len(texts), d]: embeddings of texts, each distinct one encoded once in the life of the cache.

    ``keep=False`` uses what the cache knows and adds nothing to it.
    """
    identity = encoder.identity()
    memo = Memo(cache, fingerprint(["embeddings", *told_apart(encoder), role]), kept_as(encoder))

    def compute(numbers: Int64) -> Float32:
        with progress.task(f"encode {role} texts", len(numbers)) as bar:
            given = taken(texts, numbers)
            vectors = encoded(encoder, given, role)
            width = vectors.shape[1]
            same_width(encoder, width, first_width(cache, identity, width), given[0], role)
            bar.advance(len(numbers))
            return vectors

    return memo.get(keys_of(texts), compute, keep=keep, sizes=[len(text) for text in texts])


def candidate_embeddings(encoder: Encoder, batch: Batch, candidates: Int64) -> Float32:
    """Float32 [len(candidates), d]: embeddings of candidates (numbers within 0..m-1), from the matrix if there."""
    whole = find_matrix(encoder, batch.corpus)
    rows = batch.rows[candidates]
    if whole is None:
        return embed(encoder, batch.contents(candidates), "passage", batch.corpus.cache)
    if (rows >= 0).all():
        return np.asarray(whole[rows], np.float32)
    out = np.asarray(whole[np.maximum(rows, 0)], np.float32)
    new = np.flatnonzero(rows < 0)
    out[new] = embed(encoder, batch.contents(candidates[new]), "passage", batch.corpus.cache)
    return out


def similarities(encoder: Encoder, batch: Batch, vectors: Float32, owners: Int64, candidates: Int64) -> Float32:
    """Float32 [c]: the cosine of ``vectors[owners[j]]`` and candidate ``candidates[j]``, a block at a time."""
    out = np.empty(len(candidates), dtype=np.float32)
    for begin in range(0, len(candidates), CANDIDATES_PER_BLOCK):
        part = slice(begin, begin + CANDIDATES_PER_BLOCK)
        out[part] = dots(vectors[owners[part]], candidate_embeddings(encoder, batch, candidates[part]))
    return out


def dots(left: Float32, right: Float32) -> Float32:
    """Float32 [k]: the dot product of each row of one with the same row of the other."""
    products: Float32 = np.einsum("kd,kd->k", left, right, dtype=np.float32)
    return products


def row_embeddings(encoder: Encoder, corpus: Corpus, rows: Int64) -> Float32:
    """Float32 [len(rows), d]: embeddings of passages of the corpus, from the matrix if there is one."""
    whole = find_matrix(encoder, corpus)
    if whole is not None:
        return np.asarray(whole[rows], np.float32)
    distinct, where = np.unique(rows, return_inverse=True)
    return embed(encoder, corpus.contents(distinct), "passage", corpus.cache)[where]


def score_pairs(model: PairScorer, queries: Sequence[str], passages: Sequence[str], cache: Cache) -> Float32:
    """Float32 [k]: the model's score of every pair, each distinct pair scored once in the life of the cache.

    The longest come first, over all pairs, so that pairs of equally many tokens meet in one batch.
    """
    memo = Memo(cache, fingerprint(["pairs", model.identity()]))

    def compute(numbers: Int64) -> Float32:
        with progress.task("score pairs", len(numbers)) as bar:
            scores = predicted(model, taken(queries, numbers), taken(passages, numbers))
            bar.advance(len(numbers))
            return scores

    sizes = [len(query) + len(passage) for query, passage in zip(queries, passages, strict=True)]
    return memo.get(keys_of(queries, passages), compute, sizes=sizes).reshape(-1)
