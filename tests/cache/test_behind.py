"""A cache at a URL: each thing is made on one machine, and fetched whole or not at all by the others."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import object_store
import pytest

from hardneg.cache.folders import Cache, cache_at
from hardneg.errors import StoreError

Made = Callable[[Path], None]


@pytest.fixture
def machine(s3: object_store.Store, tmp_path: Path) -> Callable[[str], Cache]:
    """The cache as another machine has it: its own folder, and the URL of all."""
    return lambda name: Cache(tmp_path / name, s3.url)


def making(content: str) -> Made:
    def make(folder: Path) -> None:
        (folder / "table").write_text(content * 2_000)
        (folder / "below").mkdir(exist_ok=True)
        (folder / "below" / "note").write_text(content)

    return make


def refuse(folder: Path) -> None:
    raise AssertionError("it is there")


def test_one_makes_it_and_the_others_fetch_it(s3: object_store.Store, machine: Callable[[str], Cache]) -> None:
    assert machine("one").find("bm25", "name") is None
    machine("one").made("bm25", "name", making("one"))
    found = machine("two").made("bm25", "name", refuse)
    assert (found / "below" / "note").read_text() == "one"
    assert [path.name for path in (found.parent).iterdir()] == ["name"]
    assert not [name for name in machine("two").root.iterdir() if name.name.startswith(".")]
    with machine("three").workspace("corpus") as folder:
        making("three")(folder)
        published = machine("three").publish(folder, "bm25", "name")
    assert (published / "below" / "note").read_text() == "one", "of two that made it all take the first"
    machine("one").made("fetched", "other", making("fetched"))
    assert not s3.files.find(f"{s3.url}/fetched")


def test_of_two_that_made_it_at_once_all_take_one(machine: Callable[[str], Cache]) -> None:
    def meanwhile(folder: Path) -> None:
        machine("one").made("bm25", "name", making("one"))
        making("two")(folder)

    for name, make in (("two", meanwhile), ("three", refuse), ("one", refuse)):
        assert (machine(name).made("bm25", "name", make) / "below" / "note").read_text() == "one"


@pytest.mark.engines
def test_half_of_it_does_not_count_and_is_put_there_by_the_next_run(
    s3: object_store.Store, machine: Callable[[str], Cache]
) -> None:
    for number, share in enumerate((0.3, 0.7, 0.95)):
        began = s3.line.passed
        machine("whole").made("group", f"whole{number}", making("one"))
        s3.line.cut_after(int((s3.line.passed - began) * share))
        with pytest.raises(StoreError, match=r"^cache: s3://.* broke off .*run again"):
            machine("one").made("group", f"name{number}", making("one"))
        s3.line.mend()
        assert machine("two").find("group", f"name{number}") is None
        machine("one").made("group", f"name{number}", refuse)
        assert machine("two").find("group", f"name{number}") is not None


@pytest.mark.parametrize("lost", [False, True])
def test_what_was_damaged_there_is_made_again(
    s3: object_store.Store, machine: Callable[[str], Cache], lost: bool
) -> None:
    machine("one").made("bm25", "name", making("one"))
    [path] = s3.files.glob(f"{s3.url}/bm25/name/*/table")
    if lost:
        s3.files.rm_file(path)
    else:
        s3.files.pipe_file(path, s3.files.cat_file(path)[:-1] + b"?")
    problem = "table is missing" if lost else "table has changed since it was written"
    with pytest.warns(UserWarning, match=f"{s3.url}/bm25/name: {problem}; it is removed and made again"):
        found = machine("two").made("bm25", "name", making("two"))
    assert (found / "below" / "note").read_text() == "two"
    assert (machine("three").made("bm25", "name", refuse) / "below" / "note").read_text() == "two"


def test_where_it_is_comes_from_the_job_or_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("HARDNEG_CACHE", "s3://bucket/cache/")
    assert cache_at() == Cache(tmp_path / "hardneg", "s3://bucket/cache")
    assert cache_at(tmp_path / "own") == Cache(tmp_path / "own")
    monkeypatch.setenv("HARDNEG_CACHE", str(tmp_path / "set"))
    assert cache_at("gs://bucket/cache") == Cache(tmp_path / "set", "gs://bucket/cache")
