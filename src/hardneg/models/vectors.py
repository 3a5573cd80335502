"""What encoders and pair scorers answer, checked once, where it enters: no other code asks them directly."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hardneg.arrays import Float32
from hardneg.cache.folders import Cache
from hardneg.errors import ModelError
from hardneg.kinds import fingerprint, kind_of
from hardneg.protocols import Encoder, PairScorer, Role

TOLERANCE = 0.01
"""How far the length of a vector may be from 1: the rounding of half precision is below that."""


def encoded(encoder: Encoder, texts: Sequence[str], role: Role) -> Float32:
    """Float32 [len(texts), d]: what ``encoder`` answers, held against its protocol.

    Raises `ModelError` with the encoder and the first text of which the vector is not finite or not of unit length,
    and for an array of another shape. A vector of another length is refused and not scaled: an encoder that gives one
    may mean another similarity than the cosine.

    Where the encoder's ``precision`` is ``float16``, vectors are rounded here, once: a text's vector is then the same
    wherever it is read from later.
    """
    vectors = _array(encoder, encoder.encode(texts, role))
    if vectors.ndim != 2 or len(vectors) != len(texts):
        raise ModelError(
            f"{_called(encoder)} gave an array of shape {list(vectors.shape)} for {len(texts)} {role} texts; "
            "`encode` returns one row a text"
        )
    _unit(encoder, vectors, texts, role)
    return vectors.astype(kept_as(encoder), copy=False).astype(np.float32, copy=False)


def kept_as(encoder: Encoder) -> np.dtype[Any]:
    """The type in which an encoder's vectors lie on the disk: float32, or what its ``precision`` says.

    Raises `ModelError` for a precision that is neither ``float32`` nor ``float16``.
    """
    precision = getattr(encoder, "precision", "float32")
    if precision not in ("float32", "float16"):
        raise ModelError(
            f"{_called(encoder)} has the precision {precision!r}; vectors are kept in `float32` or `float16`"
        )
    return np.dtype(precision)


def told_apart(encoder: Encoder) -> list[str]:
    """What names an encoder's vectors in the cache: its identity, and their type where that is not float32."""
    kind = kept_as(encoder)
    return [encoder.identity(), *([] if kind == np.float32 else [kind.name])]


def encoded_tokens(encoder: Encoder, texts: Sequence[str], role: Role) -> list[Float32]:
    """A float32 [tokens, d] a text, at least one token each; checked as in `encoded`."""
    found = [_array(encoder, tokens) for tokens in encoder.encode_tokens(texts, role)]
    if len(found) != len(texts):
        raise ModelError(f"{_called(encoder)} gave token vectors of {len(found)} texts for {len(texts)} {role} texts")
    for text, vectors in zip(texts, found, strict=True):
        if vectors.ndim != 2 or not len(vectors):
            raise ModelError(
                f"{_called(encoder)} gave token vectors of shape {list(vectors.shape)} for the {role} {text!r:.80}"
            )
        _unit(encoder, vectors, [text] * len(vectors), role)
    return found


def predicted(model: PairScorer, queries: Sequence[str], passages: Sequence[str]) -> Float32:
    """Float32 [k]: what ``model`` says of the pairs. Raises `ModelError` for another shape and what is not finite."""
    scores = _array(model, model.predict(queries, passages))
    if scores.shape != (len(queries),):
        raise ModelError(
            f"{_called(model)} gave an array of shape {list(scores.shape)} for {len(queries)} pairs; "
            "`predict` returns one number a pair"
        )
    bad = np.flatnonzero(~np.isfinite(scores))
    if len(bad):
        place = int(bad[0])
        raise ModelError(
            f"{_called(model)} gave a score that is not finite for the query {queries[place]!r:.80} and the passage "
            f"{passages[place]!r:.80}"
        )
    return scores


def first_width(cache: Cache, identity: str, width: int) -> int:
    """The width of the first vectors in this cache of the encoder with this ``identity``: ``width`` if there were none.

    It is kept on the disk, so that queries and passages, all workers and all runs are held to one.
    """

    def make(folder: Path) -> None:
        (folder / "width").write_text(str(width))

    return int((cache.made("widths", fingerprint(identity), make) / "width").read_text())


def same_width(encoder: Encoder, found: int, wanted: int, text: str, role: Role) -> None:
    """Raises `ModelError` where a vector has not the width that the encoder's others have."""
    if found != wanted:
        raise ModelError(
            f"{_called(encoder)} gave a vector of {found} numbers for the {role} {text!r:.80}, and of {wanted} before; "
            "an encoder has one width, and another `identity` when its results change"
        )


def _unit(encoder: Encoder, vectors: Float32, texts: Sequence[str], role: Role) -> None:
    lengths = np.sqrt(np.einsum("kd,kd->k", vectors, vectors, dtype=np.float64))
    bad = np.flatnonzero(~(np.abs(lengths - 1) <= TOLERANCE))  # the negation catches what is not a number
    if not len(bad):
        return
    length, text = float(lengths[bad[0]]), texts[int(bad[0])]
    if not np.isfinite(length):
        raise ModelError(f"{_called(encoder)} gave a vector that is not finite for the {role} {text!r:.80}")
    way_out = "leave that text out" if length == 0 else "divide each vector by its length in `encode`"
    raise ModelError(
        f"{_called(encoder)} gave a vector of length {length:.3g}, not 1, for the {role} {text!r:.80}; {way_out}"
    )


def _array(part: object, answer: Any) -> Float32:
    try:
        return np.asarray(answer, dtype=np.float32)
    except (TypeError, ValueError) as error:  # rows of unequal length, or no numbers
        raise ModelError(f"{_called(part)} gave what is no array of numbers ({error})") from error


def _called(part: object) -> str:
    """Who is to blame: the part's kind, and its model where that has a name."""
    model = getattr(part, "model", None)
    own = model if isinstance(model, str) else None if model is None else type(model).__name__
    return f"`{kind_of(part)}`" + (f" (model `{own}`)" if own else "")
