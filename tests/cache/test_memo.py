"""Numbers by content: asked for once."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hardneg.cache import memo
from hardneg.cache.folders import Cache
from hardneg.cache.memo import Memo, keys_of


class Model:
    """Counts what it is asked; the answer to text k is [k, 2 k]."""

    def __init__(self, texts: list[str]) -> None:
        self.texts, self.asked = texts, []

    def __call__(self, numbers: np.ndarray) -> np.ndarray:
        self.asked += [self.texts[i] for i in numbers]
        return np.array([[int(self.texts[i]), 2 * int(self.texts[i])] for i in numbers], np.float32)


def get(cache: Cache, texts: list[str], **options: bool) -> tuple[np.ndarray, list[str]]:
    model = Model(texts)
    return Memo(cache, "name").get(keys_of(texts), model, **options), model.asked


def test_each_distinct_text_is_asked_once_and_never_again(tmp_path: Path) -> None:
    values, asked = get(Cache(tmp_path), ["3", "1", "3"])
    assert values.tolist() == [[3, 6], [1, 2], [3, 6]]
    assert asked == ["3", "1"]
    values, asked = get(Cache(tmp_path), ["1", "2", "3", "2"])
    assert values.tolist() == [[1, 2], [2, 4], [3, 6], [2, 4]]
    assert asked == ["2"]


def test_nothing_is_asked_of_nothing(tmp_path: Path) -> None:
    assert len(get(Cache(tmp_path), [])[0]) == 0


def test_without_keep_nothing_is_stored_and_the_known_is_used(tmp_path: Path) -> None:
    get(Cache(tmp_path), ["1"])
    assert get(Cache(tmp_path), ["1", "2"], keep=False)[1] == ["2"]
    assert get(Cache(tmp_path), ["1", "2"])[1] == ["2"]


def test_names_are_apart(tmp_path: Path) -> None:
    get(Cache(tmp_path), ["1"])
    model = Model(["1"])
    Memo(Cache(tmp_path), "other").get(keys_of(["1"]), model)
    assert model.asked == ["1"]


def test_what_was_finished_before_a_failure_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memo, "BLOCK", 2)
    texts = ["1", "2", "3", "4"]

    class Fails(Model):
        def __call__(self, numbers: np.ndarray) -> np.ndarray:
            if self.asked:
                raise KeyboardInterrupt
            return super().__call__(numbers)

    with pytest.raises(KeyboardInterrupt):
        Memo(Cache(tmp_path), "name").get(keys_of(texts), Fails(texts))
    assert get(Cache(tmp_path), texts)[1] == ["3", "4"]


def test_many_segments_are_put_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memo, "SEGMENTS", 4)
    for number in range(20):
        get(Cache(tmp_path), [str(number)])
    assert len(list((tmp_path / "memo" / "name").glob("*.npy"))) <= 5
    values, asked = get(Cache(tmp_path), [str(number) for number in range(20)])
    assert asked == []
    assert values[:, 0].tolist() == list(range(20))


def test_a_large_segment_is_not_written_anew_with_a_few_small_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memo, "SEGMENTS", 2)
    monkeypatch.setattr(memo, "SMALL", 9)  # bytes: as many as a segment of one row has with its header
    many = [str(number) for number in range(memo.BLOCK)]
    get(Cache(tmp_path), many)
    [large] = (tmp_path / "memo" / "name").glob("*.npy")
    few = [str(number) for number in range(memo.BLOCK, memo.BLOCK + 5)]
    for text in few:
        get(Cache(tmp_path), [text])
    assert large.exists()
    assert len(list(large.parent.iterdir())) <= 4
    values, asked = get(Cache(tmp_path), [*many, *few])
    assert asked == []
    assert values[:, 1].tolist() == [2 * int(text) for text in [*many, *few]]


def test_segments_are_put_together_in_the_order_of_their_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memo, "SEGMENTS", 3)
    monkeypatch.setattr(memo, "BLOCK", 7)
    texts = [str(number) for number in range(28)]
    get(Cache(tmp_path), texts)
    [segment] = (tmp_path / "memo" / "name").glob("*.npy")
    keys = np.load(segment)[["high", "low"]].tolist()
    assert len(keys) == 28
    assert keys == sorted(keys)
    assert memo.whole(segment)


PROCESS = """
import sys, time
from pathlib import Path
import numpy as np
from hardneg.cache import memo
from hardneg.cache.folders import Cache
memo.SEGMENTS = 1
folder, first, last = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
texts = [str(number) for number in range(first, last)]

def compute(numbers):
    (folder / f"computes-{first}").touch()
    while len(list(folder.glob("computes-*"))) < 2:
        time.sleep(0.01)
    return np.array([[int(texts[i])] for i in numbers], np.float32)

memo.Memo(Cache(folder / "cache"), "name").get(memo.keys_of(texts), compute)
"""


def test_what_two_processes_computed_at_the_same_time_is_kept_once(tmp_path: Path) -> None:
    commands = [[sys.executable, "-c", PROCESS, str(tmp_path), *map(str, some)] for some in ((0, 60), (30, 90))]
    processes = [subprocess.Popen(command) for command in commands]
    assert [process.wait(60) for process in processes] == [0, 0]
    [segment] = (tmp_path / "cache" / "memo" / "name").glob("*.npy")
    found = np.load(segment)
    assert sorted(found["value"][:, 0].tolist()) == list(range(90))
    assert memo.whole(segment)
    values, asked = get(Cache(tmp_path / "cache"), [str(number) for number in range(90)])
    assert asked == []
    assert values[:, 0].tolist() == list(range(90))


def test_keys_tell_borders_of_texts_apart() -> None:
    assert not (keys_of(["ab"], ["c"]) == keys_of(["a"], ["bc"])).all()
