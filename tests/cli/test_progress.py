"""Progress where stderr is no terminal, and what `check` says of work that was stopped."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from hardneg import progress
from hardneg.cli import main
from hardneg.cli.progress_lines import Lines
from hardneg.errors import ModelError
from hardneg.testing import HashedWords


class Written(threading.Event):
    """A stderr that says when its n-th line is there."""

    def __init__(self, lines: int) -> None:
        super().__init__()
        self.text, self.wanted = "", lines

    def write(self, text: str) -> int:
        self.text += text
        if self.text.count("\n") >= self.wanted:
            self.set()
        return len(text)

    def flush(self) -> None:
        pass


def lines_while(monkeypatch: pytest.MonkeyPatch, work) -> list[str]:
    """What is written while ``work(wait)`` goes on; ``wait()`` returns once there is another line."""
    stderr = Written(1)
    monkeypatch.setattr("sys.stderr", stderr)

    def wait() -> None:
        stderr.clear()
        stderr.wanted = stderr.text.count("\n") + 1
        assert stderr.wait(20)

    with Lines(every=0.01):
        work(wait)
    return stderr.text.splitlines()


def test_the_innermost_work_is_told_of_with_what_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    def work(wait) -> None:
        with progress.task("generate.dense", 60), progress.task("encode corpus", 4_000) as bar:
            wait()
            bar.advance(1_000)
            wait()

    found = lines_while(monkeypatch, work)
    assert found[0].startswith("encode corpus: 0 of 4,000, ")
    assert found[-1].startswith("encode corpus: 1,000 of 4,000, ")
    assert found[-1].endswith(" left")


def test_work_without_a_bar_is_not_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    assert lines_while(monkeypatch, lambda wait: wait())[0].startswith("working, 0:0")


def test_a_stopped_encode_is_shown_as_begun(
    make_job, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("embeddings", "matrices"):
        monkeypatch.setattr(f"hardneg.models.{module}.BLOCK", 3)
    path, encode, calls = make_job(), HashedWords.encode, []

    def stops(self, texts, role):
        calls.append(len(texts))
        if sum(calls) > 6:
            raise ModelError("the machine stops")
        return encode(self, texts, role)

    monkeypatch.setattr(HashedWords, "encode", stops)
    assert main(["run", str(path)]) == 1
    capsys.readouterr()
    assert main(["check", str(path), "--json"]) == 0
    states = {entry["stage"]: entry for entry in json.loads(capsys.readouterr().out)}
    found = states["generate.semantic"]
    assert found["state"] == "begun"
    assert found["why"].endswith("passages are encoded")
    assert int(found["why"].split()[0]) == 6
    assert states["score.target"]["state"] == "begun"
    assert Path(path).exists()
