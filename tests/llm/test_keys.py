"""Keys: no form of one gets past the client, and none that stands in a client's fields is taken."""

from __future__ import annotations

import base64
import html
import json
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from asking import client

from hardneg.data.chat import Message, Request, Sampling
from hardneg.errors import PartError
from hardneg.llm.keys import Redaction, in_values
from hardneg.llm.openai import OpenAI
from hardneg.testing import Fault, FaultServer

KEY = "sk-a+b/c=d&e\"0123456789'xyz"
BEARER = f"Authorization: Bearer {KEY}, and so on"
ECHOES = {
    "as it is": KEY,
    "in another case": KEY.upper(),
    "in JSON": json.dumps({"key": KEY}),
    "in JSON, slashes too": json.dumps(KEY).replace("/", "\\/"),
    "as Python shows it": repr([KEY]),
    "in HTML": html.escape(KEY),
    "URL-encoded": quote(KEY),
    "URL-encoded, slashes too": quote(KEY, safe=""),
    "as a form": quote_plus(KEY),
    "URL-encoded twice": quote(quote(KEY, safe=""), safe=""),
    "every sign URL-encoded": "".join(f"%{byte:02X}" for byte in KEY.encode()),
    "every sign escaped": "".join(f"\\u{byte:04x}" for byte in KEY.encode()),
    "hexadecimal": KEY.encode().hex(),
    "base64": base64.b64encode(KEY.encode()).decode(),
    "base64 without padding": base64.urlsafe_b64encode(KEY.encode()).decode().rstrip("="),
    **{f"base64 of the header, moved by {n}": base64.b64encode((" " * n + BEARER).encode()).decode() for n in range(3)},
    "base64, URL-encoded": quote(base64.b64encode(BEARER.encode()).decode(), safe=""),
}


@pytest.mark.parametrize("case", ECHOES)
@pytest.mark.parametrize("where", ["an error", "an answer", "a finish"])
def test_an_echo_of_the_key_does_not_get_past_the_client(
    case: str, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THE_KEY", KEY)
    echo = ECHOES[case]
    fault = {
        "an error": Fault.status(400, message=f"who is <{echo}>?"),
        "an answer": Fault.says(f"who is <{echo}>?"),
        "a finish": Fault.says("well", finish=f"<{echo}>"),
    }[where]
    with FaultServer([fault]) as server:
        [found] = client(server, api_key_env="THE_KEY", attempts=1).complete(
            [Request((Message("user", "hello"),), Sampling(8))]
        )
    told = f"{found.error} {found.text} {found.finish}"
    assert "[key]" in told
    assert "s[key]" not in told.lower(), "its first character is a part of it"
    for piece in (KEY[3:], KEY[3:].upper(), "0123456789", "MTIzNDU2Nzg5", "EyMzQ1Njc4", "xMjM0NTY3OD", "3132333435"):
        assert piece not in told


def test_texts_without_the_key_are_left_as_they_are() -> None:
    for text in ("", "a text", "sk-another", BEARER.replace(KEY, "…")):
        assert Redaction(KEY)(text) == text
    assert Redaction(None)(BEARER) == BEARER


@pytest.mark.parametrize(
    "extra",
    [
        {"api_key": "abc"},
        {"API-Key": "abc"},
        {"x-api-key": "abc"},
        {"extra_headers": {"Authorization": "abc"}},
        {"providers": [{"name": "one", "secret": "abc"}]},
        {"hf_token": "abc"},
        {"pin": {"password": 1234}},
        {"note": "Bearer 0123456789abcdef0123"},
        {"note": "sk-proj-0123456789abcdef0123"},
    ],
    ids=str,
)
def test_a_key_in_a_clients_fields_is_refused(extra: dict[str, Any]) -> None:
    with pytest.raises(PartError, match=r"`extra\..*a key does not belong in a job.*`api_key_env: NAME`") as raised:
        OpenAI(model="any", extra=extra)
    for value in ("abc", "1234", "0123456789"):
        assert value not in str(raised.value)


def test_what_only_sounds_like_a_key_is_taken() -> None:
    fine = {
        "eos_token": "</s>",
        "max_tokens_of_thinking": 5,
        "tokenizer": "a/name",
        "use_auth_token": True,
        "password": "",
        "key": "value",
        "api_key_env": "THE_KEY",
        "tokens_per_minute": 5,
        "model": "sk-learn-embeddings-large-2024-multilingual",
    }
    assert list(in_values(fine)) == []
