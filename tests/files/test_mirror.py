"""Folders whose files are at a URL too, on a real S3 server whose connections are cut."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import object_store
import pytest

from hardneg.errors import StoreError
from hardneg.files.durable import FOLLOWERS, publishing, remove, replacing
from hardneg.files.mirror import MARK, bring, exchange, follow, held, here, names, offer_published, opened


@pytest.fixture(autouse=True)
def nobody_follows() -> Iterator[None]:
    yield
    FOLLOWERS.clear()


def write(file: Path, text: str) -> None:
    with replacing(file) as temporary:
        temporary.write_text(text)


def publish(folder: Path, version: str, count: int) -> dict[str, bytes]:
    """Publishes a folder whose files all hold the version. Returns them."""
    with publishing(folder) as unfinished:
        for name in [*(f"{number}.txt" for number in range(count)), "below/table.txt", MARK]:
            (unfinished / name).parent.mkdir(exist_ok=True)
            (unfinished / name).write_text(version * 500)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_what_is_written_goes_there_and_comes_from_there(s3: object_store.Store, tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    follow(one, s3.url)
    write(one / "stages" / "a" / "part", "content")
    write(one / "report.json", "1")
    follow(two, s3.url)
    opened(two)
    assert [path.name for path in two.iterdir()] == ["report.json"], "what is small comes at once"
    assert names(two / "stages" / "a") == {"part"}
    assert not here(two / "stages" / "a" / "other")
    assert here(two / "stages" / "a" / "part")
    assert (two / "stages" / "a" / "part").read_text() == "content"
    write(two / "report.json", "2")
    opened(one)
    assert (one / "report.json").read_text() == "2"
    remove(one / "stages" / "a" / "part")
    opened(two)
    assert not here(two / "stages" / "a" / "part"), "what is not at the URL does not count"


def test_what_is_held_goes_there_once_at_the_end_or_not_at_all(s3: object_store.Store, tmp_path: Path) -> None:
    follow(tmp_path, s3.url)
    write(tmp_path / "file", "1")

    @held(tmp_path)
    def stopped() -> None:
        write(tmp_path / "lost", "1")
        write(tmp_path / "file" / "below a file", "1")

    with pytest.raises(StoreError, match="below a file"):
        stopped()
    with held(tmp_path):
        write(tmp_path / "first", "1")
        write(tmp_path / "second", "1")
        write(tmp_path / "second", "2")
        remove(tmp_path / "first")
        assert names(tmp_path) == {"file"}
    assert s3.contents("") == {"file": b"1", "second": b"2"}


def test_a_folder_with_its_mark_is_never_of_two_versions(s3: object_store.Store, tmp_path: Path) -> None:
    """Wherever the connection is cut while a folder takes the place of an earlier one with more files."""
    follow(tmp_path, s3.url)
    folder = tmp_path / "exports"
    wholes = [publish(folder, "1", 2)]
    began = s3.line.passed
    wholes.append(publish(folder, "2", 1))
    needed, cuts = s3.line.passed - began, 0
    for part in (1, 3, 5):
        wholes[:] = [publish(folder, "1", 2), wholes[1]]
        s3.line.cut_after(needed * part // 6)
        with pytest.raises(StoreError, match="run again"):
            publish(folder, "2", 1)
        s3.line.mend()
        there = s3.contents("exports")
        assert MARK not in there or there in wholes
        cuts += MARK not in there
        offer_published(folder)
        assert s3.contents("exports") == wholes[1]
    assert cuts > 1, "cut in the middle of it"


def test_of_files_that_grow_the_longer_one_stays(s3: object_store.Store, tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    for folder in (one, two):
        follow(folder, s3.url)
    write(one / "a", "short")
    exchange(two)
    (one / "a").write_text("short and longer")
    (two / "b").write_text("own")
    for folder in (two, one, two):
        exchange(folder)
    for folder in (one, two):
        assert {path.name: path.read_text() for path in folder.iterdir()} == {"a": "short and longer", "b": "own"}


def test_only_what_is_wanted_and_differs_is_fetched(s3: object_store.Store, tmp_path: Path) -> None:
    follow(tmp_path, s3.url)
    for name in ("a", "b", "c"):
        write(tmp_path / name, "there")
    (tmp_path / "a").write_text("here!")
    (tmp_path / "b").write_text("another size")
    (tmp_path / "c").unlink()
    bring(tmp_path, lambda name: name != "c")
    assert [(tmp_path / name).read_text() for name in ("a", "b")] == ["here!", "there"]
    assert not (tmp_path / "c").exists()
    bring(tmp_path, anew=re.compile("a"))
    assert (tmp_path / "a").read_text() == "there"
