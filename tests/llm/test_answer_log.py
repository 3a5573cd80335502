"""The log of answers: nothing that arrived is lost, nothing that is damaged is believed."""

from __future__ import annotations

import threading
from pathlib import Path
from types import SimpleNamespace

import object_store
import pytest
from support import files_of_at_most, on_linux

from hardneg.cache.folders import Cache
from hardneg.data.chat import Completion
from hardneg.errors import StoreError
from hardneg.llm import answer_log
from hardneg.llm.answer_log import Answers, answers_of, verify
from hardneg.testing import faults
from hardneg.testing.faults import run

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


@pytest.mark.parametrize("more", [1, 40])
def test_a_line_that_the_disk_takes_a_part_of(tmp_path: Path, more: int) -> None:
    log = Answers(tmp_path)
    log.add("01", ONE)
    [file] = tmp_path.glob("*.jsonl")
    with files_of_at_most(file.stat().st_size + more), pytest.raises(StoreError, match="a part of the line only"):
        log.add("02", TWO)
    assert file.stat().st_size > len(Answers(tmp_path)), "a part is there"
    assert (log.get("01"), log.get("02"), len(log)) == (ONE, None, 1)
    log.add("02", TWO)
    log.add("03", ONE)
    for found in (log, Answers(tmp_path)):
        assert (found.get("01"), found.get("02"), found.get("03")) == (ONE, TWO, ONE)
    assert Answers(tmp_path).damaged == 1


@on_linux
@pytest.mark.parametrize(
    ("steps", "left"),
    [(1, ["01"]), (2, ["01"]), (3, ["01", "02", "03"]), (4, ["01", "02", "03"]), (5, ["01", "02", "03", "04"])],
)
def test_what_a_power_cut_takes_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: int, left: list[str]
) -> None:
    """The answers of a second at most: they are forced onto the disk once a second, and at the end."""
    clock = SimpleNamespace(now=100.0, time_ns=lambda: 7, monotonic=lambda: clock.now)
    monkeypatch.setattr(answer_log, "time", clock)

    def add(root: Path) -> None:
        log = Answers(root / "cache" / "answers" / "log")
        for key, later in [("01", 0.0), ("02", answer_log.SYNC), ("03", 0.01), ("04", 0.0)][:steps]:
            clock.now += later
            log.add(key, TWO)
        if steps == 5:
            log.sync()

    assert run(add, tmp_path, faults.POWER, faults.END).status == 0
    log = Answers(tmp_path / "cache" / "answers" / "log")
    assert [key for key in ("01", "02", "03", "04") if log.get(key)] == left


def test_a_lost_answer_is_counted_after_reopening(tmp_path: Path) -> None:
    log = Answers(tmp_path)
    log.lose("01")
    log.lose("01")
    log.add("01", ONE)
    assert (log.lost("01"), log.lost("02")) == (2, 0)
    again = Answers(tmp_path)
    assert (again.lost("01"), again.lost("02"), again.get("01"), len(again)) == (2, 0, ONE, 1)


def test_verify_names_the_line_that_changed_and_passes_over_a_cut_one(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    log = answers_of(cache, "a model")
    log.add("01", ONE)
    log.add("02", TWO)
    [(file, problem)] = verify(cache)
    assert problem is None
    whole = file.read_bytes()
    file.write_bytes(whole[:-3])
    assert [problem for _, problem in verify(cache)] == [None]
    file.write_bytes(whole.replace(b"two", b"tWo"))
    assert [problem for _, problem in verify(cache)] == ["line 2: an answer has changed since it was written"]


def test_answers_of_a_cache_at_a_url_are_there_for_other_machines(
    s3: object_store.Store, tmp_path: Path, fresh_answers: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def log(machine: str) -> Answers:
        answers_of.cache_clear()
        return answers_of(Cache(tmp_path / machine, s3.url), "model")

    one = log("one")
    one.add("01", ONE)
    assert log("two").get("01") is None, "the step goes on"
    one.sync()
    one.add("02", TWO)  # and the process is killed
    two = log("two")
    assert (two.get("01"), two.get("02")) == (ONE, None)
    two.add("03", ONE)
    two.sync()
    again = log("one")
    assert (again.get("01"), again.get("02"), again.get("03")) == (ONE, TWO, ONE)
    monkeypatch.setattr(answer_log, "HAND_ON", 0.0)
    again.add("04", TWO)
    assert [log("three").get(key) for key in ("01", "02", "03", "04")] == [ONE, TWO, ONE, TWO]


def test_an_answer_that_the_url_does_not_take_is_kept(
    s3: object_store.Store, tmp_path: Path, fresh_answers: None
) -> None:
    cache = Cache(tmp_path, s3.url)
    log = answers_of(cache, "model")
    log.add("01", ONE)
    s3.line.cut_after(1)
    with pytest.raises(StoreError, match="run again"):
        log.sync()
    s3.line.mend()
    log.add("02", TWO)
    answers_of.cache_clear()
    assert answers_of(cache, "model").get("01") == ONE
    answers_of.cache_clear()
    other = answers_of(Cache(tmp_path / "other", s3.url), "model")
    assert (other.get("01"), other.get("02")) == (ONE, TWO)
