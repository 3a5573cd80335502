"""An encoder made of whatever a caller calls a model: a name, a folder, a loaded model, an object with ``encode``."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Sequence
from dataclasses import field
from typing import Any

import numpy as np

from hardneg.arrays import Float32
from hardneg.bounds import Count
from hardneg.errors import PartError
from hardneg.kinds import NEUTRAL, part
from hardneg.models import steady
from hardneg.models.sentence_transformers import Encoder as SentenceTransformersEncoder
from hardneg.protocols import Encoder, Role

WORDS = ("the", "river", "a model that was trained on gives other embeddings of these words")
"""What a model without weights to look at is asked, to see whether it has changed."""
SETTINGS = ("max_seq_length", "truncate_dim", "prompts", "default_prompt_name", "similarity_fn_name")


def as_encoder(
    model: Any, *, query_prompt: str | None = None, passage_prompt: str | None = None, batch_size: int = 32
) -> Encoder:
    """The encoder that ``model`` is, or that can be made of it.

    ``model``: the name or folder of a sentence-transformers model; a ``SentenceTransformer``; anything with
    ``encode(list of texts)`` that returns an array; or a `protocols.Encoder`, which has prompts of its own. The prompts
    are put before each text. Raises `PartError` for anything else.
    """
    options: dict[str, Any] = {
        "query_prompt": query_prompt,
        "passage_prompt": passage_prompt,
        "batch_size": batch_size,
    }
    if isinstance(model, (str, os.PathLike)):
        return SentenceTransformersEncoder(model=os.fspath(model), **options)
    if isinstance(model, Encoder):
        return model
    if not callable(getattr(model, "encode", None)):
        raise PartError(f"a model is a name, a folder, or has `encode`; this is a {type(model).__name__}")
    return InMemory(model=model, **options)


@part
class InMemory:
    """A model that is in memory, as an encoder of a job. It is known by its weights. Not for YAML."""

    model: Any = field(metadata=NEUTRAL)
    query_prompt: str | None = None
    passage_prompt: str | None = None
    batch_size: Count = field(default=32, metadata=NEUTRAL)
    known: str = field(default="", init=False, repr=False, compare=False, metadata=NEUTRAL)
    """The identity, once it has been computed: a model that is trained on afterwards needs a new `InMemory`."""

    def identity(self) -> str:
        """A hash of type, settings, weights and prompts."""
        if not self.known:
            digest = hashlib.sha256(repr([self.query_prompt, self.passage_prompt]).encode() + weights_of(self.model))
            object.__setattr__(self, "known", digest.hexdigest())
        return self.known

    def encode(self, texts: Sequence[str], role: Role) -> Float32:
        """Float32 [len(texts), d], rows of unit length."""
        special = getattr(self.model, "encode_query" if role == "query" else "encode_document", None)
        prompt = self.query_prompt if role == "query" else self.passage_prompt
        if special is not None and callable(getattr(self.model, "state_dict", None)):  # a SentenceTransformer
            return unit_vectors(steady.encode(self.model, texts, role, prompt, self.batch_size, convert_to_numpy=True))
        plain = special or self.model.encode
        return unit_vectors(plain([(prompt or "") + text for text in texts]))

    def encode_tokens(self, texts: Sequence[str], role: Role) -> list[Float32]:
        """Not for a model of which only ``encode`` is known."""
        raise PartError("token embeddings need a model by name or folder")


def weights_of(model: Any) -> bytes:
    """What stands for a model in memory: its type, its settings and its parameters.

    A model without ``state_dict`` cannot be told from another one. It is known as long as it exists and gives the same
    embeddings of some words.
    """
    digest = hashlib.sha256(type(model).__qualname__.encode())
    digest.update(repr([getattr(model, name, None) for name in SETTINGS]).encode())
    if not callable(getattr(model, "state_dict", None)):
        digest.update(_number_of(model))
        return digest.digest()
    for name, value in sorted(model.state_dict().items()):
        digest.update(name.encode())
        buffer = io.BytesIO()
        np.save(buffer, numbers(value))
        digest.update(buffer.getbuffer())
    return digest.digest()


def _number_of(model: Any) -> bytes:
    """A random number that goes with the object, and with it alone, until it is trained on."""
    seen = hashlib.sha256(np.ascontiguousarray(numbers(model.encode(list(WORDS)))).tobytes()).digest()
    number, before = getattr(model, "_hardneg_identity", (b"", b""))
    if before != seen:
        number = os.urandom(16)
        try:
            model._hardneg_identity = number, seen  # noqa: SLF001
        except AttributeError:  # no room for it: a new number at every look, so nothing of it is reused
            pass
    return number


def numbers(tensor: Any) -> Float32:
    """A tensor, on whatever device, or an array, as a float32 array in memory."""
    found = tensor.detach().cpu().float().numpy() if hasattr(tensor, "detach") else tensor
    return np.asarray(found, dtype=np.float32)


def unit_vectors(vectors: Any) -> Float32:
    """Vectors with unit length; one of length 0 stays."""
    array = numbers(vectors)
    lengths = np.linalg.norm(array, axis=-1, keepdims=True)
    return np.asarray(array / np.where(lengths == 0, 1, lengths), dtype=np.float32)
