"""Shards and the documents of stages: whole or not there, believed only as they were written."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pyarrow as pa
import pytest
from support import on_linux

from hardneg.errors import JobError, StoreError
from hardneg.exports.rows import write_lines
from hardneg.pipeline.stage import Stage
from hardneg.pipeline.store import Folder, Memory, Store, damage, read_json, write_json
from hardneg.testing import faults
from hardneg.testing.faults import run, some_faults

STAGE, OTHER = Stage("merge", {"a": 1}), Stage("merge", {"a": 2})
TABLE = pa.table({"number": list(range(100))})


@pytest.fixture(params=["folder", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return Folder(tmp_path) if request.param == "folder" else Memory()


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """A store with two shards of a complete stage."""
    store = Folder(tmp_path)
    for shard in (0, 12):
        store.write(STAGE, shard, TABLE)
    store.complete(STAGE, {"shards": 2})
    return store


def shard_files(store: Folder) -> list[Path]:
    return sorted((store.root / "stages" / STAGE.folder).glob("part-*"))


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def test_what_is_written_is_there_by_stage_and_number(store: Store) -> None:
    for shard in (0, 1, 2):
        store.write(STAGE, shard, TABLE.slice(shard))
    store.write(OTHER, 5, TABLE)
    store.complete(STAGE, {"shards": 3})
    assert (set(store.shards(STAGE)), set(store.shards(OTHER))) == ({0, 1, 2}, {5})
    assert [store.read(STAGE, shard).num_rows for shard in (0, 1, 2)] == [100, 99, 98]
    assert (store.summary(STAGE), store.summary(OTHER)) == ({"shards": 3}, None)


def test_what_is_dropped_is_to_do(store: Store) -> None:
    for shard in (0, 1, 2):
        store.write(STAGE, shard, TABLE)
    store.complete(STAGE, {"shards": 3})
    store.write(OTHER, 1, TABLE)
    store.drop(STAGE, [1])
    assert (set(store.shards(STAGE)), store.summary(STAGE)) == ({0, 2}, None)
    store.complete(STAGE, {"shards": 3})
    store.drop(STAGE)
    assert (set(store.shards(STAGE)), store.summary(STAGE)) == (set(), None)
    assert set(store.shards(OTHER)) == {1}


def test_a_shard_with_another_bit_is_refused_and_then_made_again(folder: Folder) -> None:
    flip(shard_files(folder)[1])
    assert damage(shard_files(folder)[0]) is None
    assert damage(shard_files(folder)[1]) == "has changed since it was written"
    for store in (folder, Folder(folder.root)):
        with pytest.raises(StoreError, match="has changed since it was written; run again"):
            store.read(STAGE, 12)
    with pytest.warns(UserWarning, match="part-00012.*it is made again"):
        assert folder.shards(STAGE) == {0}
    assert len(shard_files(folder)) == 1, "the damaged one is gone"
    assert folder.read(STAGE, 0) == TABLE


def test_a_shard_that_is_gone_is_one_error(folder: Folder) -> None:
    for file in shard_files(folder):
        file.unlink()
    with pytest.raises(StoreError, match="the shard cannot be read"):
        folder.read(STAGE, 0)


def test_a_document_with_another_bit_says_nothing(folder: Folder) -> None:
    file = folder.root / "stages" / STAGE.folder / "complete.json"
    file.write_text(file.read_text().replace("2", "1", 1))
    with pytest.warns(UserWarning, match="the stage is completed again"):
        assert folder.summary(STAGE) is None
    assert not file.exists()


def test_a_number_that_is_no_json_is_not_written(tmp_path: Path) -> None:
    file = tmp_path / "document.json"
    write_json(file, {"safety": 0.5})
    for number in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match="JSON compliant"):
            write_json(file, {"safety": number})
        with pytest.raises(ValueError, match="JSON compliant"):
            write_lines(tmp_path / "lines.jsonl", [{"score": number}])
    assert read_json(file) == {"safety": 0.5}
    assert (tmp_path / "lines.jsonl").read_text() == ""


def complete(root: Path) -> None:
    store = Folder(root)
    store.write(STAGE, 0, TABLE)
    store.complete(STAGE, {"shards": 1})


@on_linux
def test_a_stage_outlives_a_power_cut(tmp_path: Path) -> None:
    """At any moment: no shard is damaged (which would be a warning), and what is complete has all its shards."""
    store = Folder(tmp_path / "run")
    store.root.mkdir()
    for trial in some_faults(complete, store.root, 15, faults=[faults.POWER, faults.POWER_BUT_NAMES]):
        assert store.shards(STAGE) == {0} or store.summary(STAGE) is None, trial
    assert run(complete, store.root, faults.POWER, faults.END).status == 0
    assert (store.shards(STAGE), store.summary(STAGE)) == ({0}, {"shards": 1})


def test_the_newest_earlier_stage_tells_what_has_changed(folder: Folder) -> None:
    assert folder.latest("merge", STAGE) is None
    assert folder.latest("other", OTHER) is None
    found = folder.latest("merge", OTHER)
    assert found is not None
    assert OTHER.changed_since(found) == ["a: 1 → 2"]


def test_leftovers_go_when_a_run_begins_and_a_second_one_is_kept_out(folder: Folder) -> None:
    places = [".", f"stages/{STAGE.folder}", "exports", "exports/all"]
    for place in places:
        (folder.root / place / ".file.unfinished").parent.mkdir(parents=True, exist_ok=True)
        (folder.root / place / ".file.unfinished").write_text("half")
        (folder.root / place / ".folder.unfinished").mkdir()
    with folder.locked():
        assert not list(folder.root.rglob("*.unfinished"))
        with pytest.raises(JobError, match="another run is going on"), Folder(folder.root).locked():
            pass
    with Folder(folder.root).locked():
        assert folder.shards(STAGE) == {0, 12}
    assert json.loads((folder.root / "stages" / STAGE.folder / "stage.json").read_text())["name"] == "merge"


def test_of_earlier_stages_the_newest_tells(folder: Folder) -> None:
    newer = Stage("merge", {"a": 3})
    folder.write(newer, 0, TABLE)
    for stage, time in ((STAGE, 1_000), (newer, 2_000)):
        os.utime(folder.root / "stages" / stage.folder / "stage.json", (time, time))
    found = folder.latest("merge", OTHER)
    assert found is not None
    assert found["description"] == {"a": 3}


def test_a_shard_that_another_process_made_again_is_read(folder: Folder) -> None:
    other = Folder(folder.root)
    other.drop(STAGE, [0])
    other.write(STAGE, 0, TABLE.slice(1))
    assert folder.read(STAGE, 0) == TABLE.slice(1)
