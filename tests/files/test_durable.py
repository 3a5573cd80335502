"""Files and folders that appear whole or not at all, whoever looks and whenever."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from support import on_linux

from hardneg.errors import StoreError
from hardneg.files import durable
from hardneg.files.durable import publishing, replacing
from hardneg.testing import faults
from hardneg.testing.faults import run, some_faults


def contents(folder: Path) -> dict[str, str]:
    return {file.relative_to(folder).as_posix(): file.read_text() for file in folder.rglob("*") if file.is_file()}


def publish(folder: Path, version: str) -> None:
    with publishing(folder) as unfinished:
        (unfinished / "inner").mkdir()
        for name in ("a", "inner/b"):
            (unfinished / name).write_text(version)


def publish_and_fail(folder: Path, failure: BaseException) -> None:
    with publishing(folder) as unfinished:
        (unfinished / "a").write_text("half")
        raise failure


def write_and_fail(file: Path, failure: BaseException) -> None:
    with replacing(file) as temporary:
        temporary.write_text("half")
        raise failure


def test_a_folder_takes_the_place_of_the_one_before(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "out"
    publish(folder, "one")
    (folder / "left over").write_text("x")
    publish(folder, "two")
    assert contents(folder) == {"a": "two", "inner/b": "two"}
    assert list(folder.parent.iterdir()) == [folder], "nothing is left beside it"


@pytest.mark.parametrize("failure", [RuntimeError("no"), KeyboardInterrupt(), OSError(28, "No space left on device")])
def test_the_old_folder_stays_when_the_block_fails(tmp_path: Path, failure: BaseException) -> None:
    folder = tmp_path / "out"
    publish(folder, "one")
    with pytest.raises(StoreError if isinstance(failure, OSError) else type(failure)):
        publish_and_fail(folder, failure)
    assert contents(folder) == {"a": "one", "inner/b": "one"}
    assert list(tmp_path.iterdir()) == [folder]


def test_nothing_is_there_when_the_first_one_fails(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError):
        publish_and_fail(tmp_path / "out", RuntimeError())
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_is_not_published(tmp_path: Path) -> None:
    (tmp_path / ".out.unfinished").mkdir()
    (tmp_path / ".out.unfinished" / "half").write_text("x")
    publish(tmp_path / "out", "one")
    assert contents(tmp_path / "out") == {"a": "one", "inner/b": "one"}


def test_a_reader_never_sees_the_folder_missing_or_empty(tmp_path: Path) -> None:
    """Looks at the path by name, as a trainer does, while it is published over and over."""
    folder, stop, seen = tmp_path / "out", threading.Event(), []
    publish(folder, "0")

    def look() -> None:
        while not stop.is_set():
            try:
                seen.append((folder / "a").read_text())
            except OSError as error:
                seen.append(repr(error))

    reader = threading.Thread(target=look)
    reader.start()
    try:
        for version in range(1, 60):
            publish(folder, str(version))
    finally:
        stop.set()
        reader.join()
    versions = [int(text) for text in seen]  # an error would be no number
    assert versions == sorted(versions)
    assert len(set(versions)) > 5, "the reader looked while it was published"


def test_a_file_appears_whole_or_stays_as_it_was(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "file"
    with replacing(file) as temporary:
        temporary.write_text("one")
        assert not file.exists()
    assert file.read_text() == "one"
    with pytest.raises(RuntimeError):
        write_and_fail(file, RuntimeError())
    assert file.read_text() == "one"
    assert list(file.parent.iterdir()) == [file]


def test_a_disk_that_takes_nothing_is_named_with_the_way_out(tmp_path: Path) -> None:
    file = tmp_path / "file"
    with pytest.raises(StoreError, match=r"file: cannot be written \(No space left on device\); free some space"):
        write_and_fail(file, OSError(28, "No space left on device"))
    (tmp_path / "in the way").write_text("x")
    with pytest.raises(StoreError, match="cannot be written"), publishing(tmp_path / "in the way" / "out"):
        pass


def publish_two_versions(root: Path) -> None:
    for version in ("one", "two"):
        publish(root / "deep" / "out", version)
        with replacing(root / "other" / "file") as temporary:
            temporary.write_text(version)


def versions(root: Path) -> list[dict[str, str]]:
    """What stands under the final names: of the folder, and of the file."""
    file = root / "other" / "file"
    return [contents(root / "deep" / "out"), {"file": file.read_text()} if file.exists() else {}]


OUT = [*({"a": version, "inner/b": version} for version in ("one", "two"))]
FILE = [{}, {"file": "one"}, {"file": "two"}]


POWER = (faults.POWER, faults.POWER_BUT_NAMES)
FAILING = (faults.TORN, faults.NO_SPACE, faults.IO_ERROR, faults.NO_DESCRIPTORS, faults.SHORT)


@on_linux
@pytest.mark.parametrize("which", [(faults.KILL,), POWER, FAILING], ids=["killed", "without power", "failing"])
def test_whatever_happens_both_are_whole(tmp_path: Path, which: tuple[faults.Fault, ...]) -> None:
    publish(tmp_path / "root" / "deep" / "out", "one")
    for trial in some_faults(publish_two_versions, tmp_path / "root", 15, faults=which):
        out, file = versions(tmp_path / "root")
        assert out in OUT, trial
        assert file in FILE, trial
        assert trial.killed or trial.status == 0 or "StoreError: " in trial.output, trial


@on_linux
def test_what_has_its_name_outlives_a_power_cut(tmp_path: Path) -> None:
    """As deep as it lies."""
    assert run(publish_two_versions, tmp_path, faults.POWER, faults.END).status == 0
    assert versions(tmp_path) == [OUT[-1], FILE[-1]]


def test_folders_are_exchanged_where_the_system_cannot_do_it_in_one_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "out"
    publish(folder, "one")
    monkeypatch.setattr(durable.ctypes, "CDLL", lambda name: object())
    publish(folder, "two")
    assert contents(folder) == {"a": "two", "inner/b": "two"}
    assert list(tmp_path.iterdir()) == [folder]
