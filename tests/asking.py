"""What tests share that ask a language model on a `FaultServer`."""

from __future__ import annotations

from typing import Any

from hardneg.llm.openai import OpenAI
from hardneg.testing import FaultServer


def client(server: FaultServer, **fields: Any) -> OpenAI:
    return OpenAI(**{"model": "any", "base_url": server.url, "concurrency": 4, "timeout": 5.0, **fields})


def said(body: dict[str, Any]) -> str:
    """The user's last message."""
    text: str = body["messages"][-1]["content"]
    return text
