"""Any sentence-transformers model: bi-encoders and cross-encoders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import Field

from hardneg.arrays import Float32
from hardneg.bounds import Count
from hardneg.errors import MissingExtraError, ModelError, PartError
from hardneg.kinds import NEUTRAL, NameOrPath, fingerprint, part
from hardneg.models import steady, weights
from hardneg.models.loaded import Loaded
from hardneg.protocols import Role

if TYPE_CHECKING:
    import sentence_transformers as st


@part
class Encoder:
    """A bi-encoder: a model's name on the hub, or its folder.

    The prompts are put before the text, as the model's card tells (``query_prompt: "query: "`` for E5); left out, the
    model's own are used. Embeddings are normalised: similarities are cosines. Code that comes with a model is not run
    without ``trust_remote_code``, and weights that are not safetensors are not read without ``pickled_weights``.

    ``precision: float16`` keeps embeddings in half the space and computes in float32. Each number is rounded by at most
    2⁻¹¹ of itself, so a similarity moves by at most 2 × 2⁻¹¹, which is 0.001, and by some 0.00001 as a rule.
    """

    model: NameOrPath = field(metadata=NEUTRAL)
    revision: str | None = field(default=None, metadata=NEUTRAL)
    query_prompt: str | None = None
    passage_prompt: str | None = None
    max_seq_length: Annotated[int, Field(ge=3)] | None = None
    precision: Literal["float32", "float16"] = "float32"
    trust_remote_code: bool = False
    pickled_weights: bool = field(default=False, metadata=NEUTRAL)
    device: str | None = field(default=None, metadata=NEUTRAL)
    batch_size: Count = field(default=32, metadata=NEUTRAL)

    def identity(self) -> str:
        """A hash of the weights, the prompts, the length limit, the precision and whether the model's own code runs."""
        return fingerprint(
            [
                "encoder",
                weights.identity(self.model, self.revision),
                self.query_prompt,
                self.passage_prompt,
                self.max_seq_length,
                self.trust_remote_code,
                *([] if self.precision == "float32" else [self.precision]),
            ]
        )

    def encode(self, texts: Sequence[str], role: Role) -> Float32:
        """Float32 [len(texts), d], rows of unit length."""
        return np.asarray(self._run(texts, role, normalize_embeddings=True), dtype=np.float32)

    def encode_tokens(self, texts: Sequence[str], role: Role) -> list[Float32]:
        """A float32 [tokens, d] a text, rows of unit length; padding is left out."""
        out = []
        for tokens in self._run(texts, role, output_value="token_embeddings"):
            vectors = tokens.float().cpu().numpy()
            out.append(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12))
        return out

    def _run(self, texts: Sequence[str], role: Role, **options: Any) -> list[Any]:
        model = ENCODERS.get(self, self.identity(), lambda: _load_encoder(self))
        prompt = self.query_prompt if role == "query" else self.passage_prompt
        return steady.encode(model, texts, role, prompt, self.batch_size, **options)


@part
class CrossEncoder:
    """A cross-encoder: a model's name on the hub, or its folder. Scores are the model's own, after its activation.

    Code that comes with a model is not run without ``trust_remote_code``, and weights that are not safetensors are not
    read without ``pickled_weights``.
    """

    model: NameOrPath = field(metadata=NEUTRAL)
    revision: str | None = field(default=None, metadata=NEUTRAL)
    max_length: int | None = None
    trust_remote_code: bool = False
    pickled_weights: bool = field(default=False, metadata=NEUTRAL)
    device: str | None = field(default=None, metadata=NEUTRAL)
    batch_size: Count = field(default=32, metadata=NEUTRAL)

    def identity(self) -> str:
        """A hash of the weights, the length limit and whether the model's own code runs."""
        known = weights.identity(self.model, self.revision)
        return fingerprint(["cross-encoder", known, self.max_length, self.trust_remote_code])

    def predict(self, queries: Sequence[str], passages: Sequence[str]) -> Float32:
        """Float32 [k]: one score per pair.

        Raises `ModelError` for a model with more than one output.
        """
        if not len(queries):
            return np.zeros(0, dtype=np.float32)
        model = CROSS_ENCODERS.get(self, self.identity(), lambda: _load_cross_encoder(self))
        scores = np.asarray(steady.predict(model, queries, passages, self.batch_size), np.float32)
        if scores.ndim != 1:
            raise ModelError(f"`{self.model}` gives {scores.shape[1]} numbers a pair; a relevance model gives one")
        return scores


ENCODERS: Loaded[st.SentenceTransformer] = Loaded(4)
CROSS_ENCODERS: Loaded[st.CrossEncoder] = Loaded(4)


def _load_encoder(part: Encoder) -> st.SentenceTransformer:
    st = _library()
    model = _load(st.SentenceTransformer, part)
    if part.max_seq_length is not None:
        model.max_seq_length = part.max_seq_length
    return model


def _load_cross_encoder(part: CrossEncoder) -> st.CrossEncoder:
    st = _library()
    folder = weights.snapshot(part.model, part.revision)
    modules = folder / "modules.json"
    if modules.exists() and "Pooling" in modules.read_text(encoding="utf-8"):
        raise ModelError(f"`{part.model}` is a bi-encoder, not a cross-encoder: it would score pairs at random")
    config = folder / "config.json"
    if (
        not modules.exists()
        and config.exists()
        and "ForSequenceClassification" not in config.read_text(encoding="utf-8")
    ):
        raise ModelError(f"`{part.model}` has no classification head: it would score pairs at random")
    return _load(st.CrossEncoder, part, max_length=part.max_length)


def _library() -> Any:
    try:
        import sentence_transformers
    except ImportError as error:
        raise MissingExtraError("sentence-transformers", "st", "a model by name or folder") from error
    if int((found := sentence_transformers.__version__).split(".")[0]) < 6:
        raise PartError(
            f"sentence-transformers {found} runs the code of any model folder; install 6.0 or later: "
            'pip install "hardneg[st]"'
        )
    return sentence_transformers


def _load(kind: Any, part: Encoder | CrossEncoder, **options: Any) -> Any:
    """A model from local files, never running code that comes with it unless the job says so."""
    from transformers.utils import logging

    logging.disable_progress_bar()  # loading takes a moment, and the run has bars of its own
    folder = weights.snapshot(part.model, part.revision)
    if not part.pickled_weights:
        weights.refuse_pickles(folder, part.model)
    try:
        return kind(
            str(folder),
            device=part.device,
            trust_remote_code=part.trust_remote_code,
            local_files_only=True,
            model_kwargs=None if part.pickled_weights else {"use_safetensors": True},
            **options,
        )
    except Exception as error:  # a dozen kinds, by model type
        reason = " ".join(str(error).split())[:300]
        hint = ""
        if "trust_remote_code" in str(error) and not part.trust_remote_code:
            hint = "; it wants to run code of its own: say `trust_remote_code: true` if you trust where it comes from"
        raise ModelError(f"model `{part.model}` cannot be loaded ({type(error).__name__}: {reason}){hint}") from error
