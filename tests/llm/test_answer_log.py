"""The log of answers: nothing that arrived is lost, nothing that is damaged is believed."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from hardneg.data.chat import Completion
from hardneg.errors import StoreError
from hardneg.llm.answer_log import Answers

ONE = Completion("é one", "stop", 10, 3)
TWO = Completion('{"negatives": ["two\n"]}', "length", None, None)


def written(folder: Path) -> Path:
    log = Answers(folder)
    log.add("01", ONE)
    log.add("02", TWO)
    [file] = folder.glob("*.jsonl")
    return file


def test_what_is_added_is_there_at_once_and_after_reopening(tmp_path: Path) -> None:
    log = Answers(tmp_path / "log")
    assert log.get("01") is None
    log.add("01", ONE)
    log.add("02", TWO)
    assert (log.get("01"), log.get("02"), len(log)) == (ONE, TWO, 2)
    again = Answers(tmp_path / "log")
    assert (again.get("01"), again.get("02"), again.damaged) == (ONE, TWO, 0)


def test_a_tail_that_is_cut_off_at_any_byte(tmp_path: Path) -> None:
    whole = written(tmp_path).read_bytes()
    first = whole.index(b"\n") + 1
    for end in range(first, len(whole)):
        folder = tmp_path / f"cut-{end}"
        folder.mkdir()
        (folder / "a.jsonl").write_bytes(whole[:end])
        log = Answers(folder)
        assert (log.get("01"), log.get("02")) == (ONE, None)
        log.add("02", TWO)
        assert Answers(folder).get("02") == TWO


def test_an_answer_that_changed_is_refused_with_its_line(tmp_path: Path) -> None:
    file = written(tmp_path)
    whole = file.read_bytes()
    for place in range(0, whole.index(b"\n"), 7):
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(StoreError, match=rf"{file.name}:1: an answer has changed .* delete that line"):
            Answers(tmp_path)


def test_a_damage_after_opening_is_found_too(tmp_path: Path) -> None:
    file = written(tmp_path)
    log = Answers(tmp_path)
    file.write_bytes(file.read_bytes().replace(b"one", b"oNe"))
    with pytest.raises(StoreError, match="has changed since it was written"):
        log.get("01")


def test_many_threads(tmp_path: Path) -> None:
    log = Answers(tmp_path)

    def add(worker: int) -> None:
        for i in range(50):
            log.add(f"{worker:02d}{i:02d}", Completion(f"text {worker} {i}" * 50))

    threads = [threading.Thread(target=add, args=(worker,)) for worker in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    again = Answers(tmp_path)
    assert (len(again), again.damaged) == (400, 0)
    assert again.get("0307") == Completion("text 3 7" * 50)


def test_a_full_disk(tmp_path: Path) -> None:
    log = Answers(Path("/dev/full") / "log")
    with pytest.raises(StoreError, match="an answer cannot be written"):
        log.add("01", ONE)
