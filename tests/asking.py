"""What tests share that ask a language model on a `FaultServer`."""

from __future__ import annotations

import json
from typing import Any

from support import WORDS

from hardneg.llm.openai import OpenAI
from hardneg.testing import FaultServer


def client(server: FaultServer, **fields: Any) -> OpenAI:
    return OpenAI(**{"model": "any", "base_url": server.url, "concurrency": 4, "timeout": 5.0, **fields})


def said(body: dict[str, Any]) -> str:
    """The user's last message."""
    text: str = body["messages"][-1]["content"]
    return text


GRADES = {
    "kind": "relevance",
    "scorer": "judge",
    "max": 3,
    "relabel": True,
    "agree": "target",
    "agree_from": 0.3,
}


def client_at(url: str, **fields: Any) -> dict[str, Any]:
    return {"kind": "openai", "base_url": url, "model": "any", "timeout": 5} | fields


def job_with(client: dict[str, Any], name: str = "job") -> dict[str, Any]:
    """A job in which a language model writes negatives and judges what is near to the margin."""
    return {
        "data": {"kind": "beir", "path": "data"},
        "generators": {
            "lexical": {"kind": "bm25", "depth": 5},
            "written": {"kind": "llm", "per_query": 2, "context": "lexical", "rounds": 1, "client": client},
        },
        "scorers": {
            "target": {"kind": "bi_encoder", "encoder": WORDS},
            "judge": {"kind": "llm_judge", "client": client, "cascade": "safe", "near": 2.0},
        },
        "filters": {
            "quality": {"kind": "text_quality", "length": False, "language": False},
            "safe": {"kind": "eci_safety", "scorer": "target", "margin": 0.0},
            "graded": dict(GRADES),
        },
        "select": {"kind": "top", "scorer": "target", "per_query": 2},
        "eci": {"scorer": "target"},
        "exports": {"split": {"kind": "beir", "split": "relabelled"}, "all": {"kind": "jsonl", "dropped": True}},
        "engine": {"kind": "local", "workers": 2},
        "cache": "cache",
        "output": name,
    }


def answer(body: dict[str, Any]) -> str:
    """Two texts, the second of which an assistant talks; grades 3 for what says `capital`, else 1."""
    said = body["messages"][1]["content"]
    if "<candidate 1" in said:
        count = said.count("<candidate ")
        own = [said.split(f"<candidate {n} ")[1].split("</candidate")[0] for n in range(1, count + 1)]
        return json.dumps(
            {"grades": [{"candidate": n, "grade": 3 if "capital" in t else 1} for n, t in enumerate(own, 1)]}
        )
    number = sum(map(ord, said)) % 1_000
    return json.dumps(
        {"negatives": [f"a small town number {number} in the rain", "As an AI language model I know no towns."]}
    )
