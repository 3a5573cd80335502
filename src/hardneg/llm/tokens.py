"""How many tokens a chat is, by a model's own tokenizer."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from hardneg.data.chat import Request
from hardneg.models import weights


def count_tokens(model: str, revision: str | None, request: Request) -> int:
    """Tokens of the chat in the model's template. ``model``: a folder or a name on the hub."""
    chat = [{"role": message.role, "content": message.content} for message in request.messages]
    return len(_tokenizer(model, revision).apply_chat_template(chat, add_generation_prompt=True, return_dict=False))


@lru_cache(maxsize=2)
def _tokenizer(model: str, revision: str | None) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(str(weights.snapshot(model, revision)))
