"""Whatever a caller calls a model, as one function from texts to unit vectors."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Callable, Sequence
from dataclasses import field
from typing import Any

import numpy as np

from hardneg.arrays import Float32
from hardneg.errors import ModelError, PartError
from hardneg.kinds import NEUTRAL, part
from hardneg.protocols import Encoder, Role

Encode = Callable[[Sequence[str], Role], Float32]


_NUMBERS: dict[int, tuple[bytes, Any]] = {}
"""What stands for models that cannot be hashed; the model is kept, so that its address is no other's."""


@part
class InMemory:
    """A model that is in memory, as an encoder of a job; it is known by its weights. Not for YAML."""

    model: Any = field(metadata=NEUTRAL)
    query_prompt: str | None = None
    passage_prompt: str | None = None
    batch_size: int = field(default=32, metadata=NEUTRAL)

    def identity(self) -> str:
        """A hash of type and weights."""
        return weights_of(self.model).hex()

    def encode(self, texts: Sequence[str], role: Role) -> Float32:
        """Float32 [len(texts), d], rows of unit length."""
        prompts = {"query_prompt": self.query_prompt, "passage_prompt": self.passage_prompt}
        return encode_with(self.model, batch_size=self.batch_size, **prompts)(texts, role)

    def encode_tokens(self, texts: Sequence[str], role: Role) -> list[Float32]:
        """Not for a model of which only ``encode`` is known."""
        raise PartError("token embeddings need a model by name or folder")


SETTINGS = ("max_seq_length", "truncate_dim", "prompts", "default_prompt_name", "similarity_fn_name")


def weights_of(model: Any) -> bytes:
    """What stands for a model in memory: its type, its settings and its parameters.

    A model without ``state_dict`` cannot be told from another one; it is known as long as this process runs.
    """
    digest = hashlib.sha256(type(model).__qualname__.encode())
    digest.update(repr([getattr(model, name, None) for name in SETTINGS]).encode())
    if not callable(getattr(model, "state_dict", None)):
        digest.update(_NUMBERS.setdefault(id(model), (os.urandom(16), model))[0])
        return digest.digest()
    state = model.state_dict()
    for name, value in sorted(state.items()):
        digest.update(name.encode())
        buffer = io.BytesIO()
        np.save(buffer, numbers(value))
        digest.update(buffer.getbuffer())
    return digest.digest()


def encode_with(
    model: Any, *, query_prompt: str | None = None, passage_prompt: str | None = None, batch_size: int = 32
) -> Encode:
    """Float32 [k, d], rows of unit length, for k texts in a role.

    ``model``: the name or folder of a sentence-transformers model; a `protocols.Encoder`; a ``SentenceTransformer``; or
    anything with ``encode(list of texts)`` that returns an array. The prompts are put before each text; an `Encoder`
    has its own. Raises `PartError` for anything else.
    """
    prompts: dict[Role, str | None] = {"query": query_prompt, "passage": passage_prompt}
    if isinstance(model, (str, os.PathLike)):
        from hardneg.models.sentence_transformers import Encoder as SentenceTransformersEncoder

        model = SentenceTransformersEncoder(
            model=os.fspath(model), query_prompt=query_prompt, passage_prompt=passage_prompt, batch_size=batch_size
        )
    if isinstance(model, Encoder):
        return lambda texts, role: _checked(model.encode(list(texts), role), len(texts))
    if not callable(getattr(model, "encode", None)):
        raise PartError(f"a model is a name, a folder, or has `encode`; this is a {type(model).__name__}")

    def encode(texts: Sequence[str], role: Role) -> Float32:
        special = getattr(model, "encode_query" if role == "query" else "encode_document", None)
        prompt = prompts[role]
        if special is not None and callable(getattr(model, "state_dict", None)):  # a SentenceTransformer
            options: dict[str, Any] = {"batch_size": batch_size, "show_progress_bar": False, "convert_to_numpy": True}
            if prompt is not None:
                options["prompt"] = prompt
            return _checked(special(list(texts), **options), len(texts))
        plain = special or model.encode
        return _checked(plain([(prompt or "") + text for text in texts]), len(texts))

    return encode


def numbers(tensor: Any) -> Float32:
    """A tensor, on whatever device, or an array, as a float32 array in memory."""
    found = tensor.detach().cpu().float().numpy() if hasattr(tensor, "detach") else tensor
    return np.asarray(found, dtype=np.float32)


def _checked(vectors: Any, count: int) -> Float32:
    """As unit vectors; raises `ModelError` for another shape and for what is not finite."""
    array = numbers(vectors)
    if array.ndim != 2 or len(array) != count:
        raise ModelError(f"the model gave an array of shape {list(array.shape)} for {count} texts")
    if not np.isfinite(array).all():
        raise ModelError("the model gave an embedding that is not finite")
    length = np.linalg.norm(array, axis=1, keepdims=True)
    if (length == 0).any():
        raise ModelError("the model gave an embedding of length 0")
    unit: Float32 = array / length
    return unit
