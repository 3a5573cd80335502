"""The tool that fails the n-th file-system operation: what it sees, what it does, and what a power cut leaves."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from support import on_linux

from hardneg.testing import faults
from hardneg.testing.faults import Fault, Trial, draw, every_fault, run, some_faults

pytestmark = on_linux


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "folder"
    made.mkdir()
    (made / "old").write_text("old")
    return made


def contents(folder: Path) -> dict[str, str]:
    return {file.relative_to(folder).as_posix(): file.read_text() for file in folder.rglob("*") if file.is_file()}


def told(trial: Trial) -> list[str]:
    return [str(operation) for operation in trial.operations]


def save(folder: Path, *, forced: bool = True) -> None:
    """Replaces ``old`` by way of a file beside it."""
    with (folder / "new").open("w") as file:
        file.write("new")
        file.flush()
        if forced:
            os.fsync(file.fileno())
    (folder / "new").rename(folder / "old")
    if forced:
        around = os.open(folder, os.O_RDONLY)
        os.fsync(around)
        os.close(around)


def save_in_haste(folder: Path) -> None:
    save(folder, forced=False)


def everything(folder: Path) -> None:
    (folder / "a").mkdir()
    os.link(folder / "old", folder / "a" / "same")
    (folder / "a" / "link").symlink_to("old")
    os.truncate(folder / "old", 1)
    (folder / "a" / "link").unlink()
    with (folder / "a" / "bytes").open("wb", buffering=0) as file:
        os.pwrite(file.fileno(), b"xy", 3)
        os.writev(file.fileno(), [b"a", b"b"])
    (folder / "a" / "bytes").replace(folder / "b")
    (folder / "a" / "same").unlink()
    (folder / "a").rmdir()
    (folder / "b").read_text()


def test_every_kind_of_operation_is_seen(folder: Path) -> None:
    trial = run(everything, folder)
    assert trial.status == 0, trial
    assert told(trial) == [
        "mkdir a",
        "link a/same",
        "link a/link",
        "truncate old",
        "remove a/link",
        "open a/bytes",
        "write a/bytes",
        "write a/bytes",
        "rename b",
        "remove a/same",
        "remove a",
        "read b",
    ]


def by_libraries(folder: Path) -> None:
    np.save(folder / "array.npy", np.arange(5))
    with pa.OSFile(str(folder / "arrow"), "wb") as sink:
        sink.write(b"by C++")
    mapped = np.memmap(folder / "mapped", np.uint8, "w+", shape=(5,))
    mapped[:] = 7
    mapped.flush()
    subprocess.run([sys.executable, "-S", "-c", "open('by a child', 'w').write('x')"], cwd=folder, check=True)


def test_whoever_does_it_is_seen(folder: Path) -> None:
    done = told(run(by_libraries, folder))
    for operation in ("write array.npy", "open arrow", "write arrow", "open mapped", "sync mapped", "write by a child"):
        assert operation in done


def test_each_operation_is_failed_in_turn_until_a_run_passes(folder: Path) -> None:
    wanted = [operation for operation in told(run(save, folder)) if not operation.startswith("read")]
    (folder / "old").write_text("old")
    trials = list(every_fault(save, folder, [faults.KILL]))
    assert (
        [str(trial.met) for trial in trials] == wanted == ["open new", "write new", "sync new", "rename old", "sync ."]
    )
    assert [trial.number for trial in trials] == [1, 2, 3, 4, 5]
    assert all(trial.killed for trial in trials)


@pytest.mark.parametrize("fault", [f for f in faults.FAULTS if f.error], ids=str)
def test_the_program_gets_the_error(folder: Path, fault: Fault) -> None:
    kinds = set()
    for trial in every_fault(save, folder, [fault]):
        assert trial.status == 1
        assert f"OSError: [Errno {fault.error}] {os.strerror(fault.error)}" in trial.output
        assert contents(folder)["old"] == ("new" if str(trial.met) in ("sync .", "read .") else "old")
        assert trial.met is not None
        kinds.add(trial.met.kind)
    assert kinds == fault.hits & {"open", "write", "sync", "rename", "read"}


def test_what_was_there_is_put_back_for_each_trial(folder: Path) -> None:
    found = []
    for _ in every_fault(save, folder, [faults.KILL]):
        found.append(contents(folder))
        (folder / "left by the caller").write_text("x")
    new, old = {"new": "new"}, {"old": "old"}
    assert found == [old, old | {"new": ""}, old | new, old | new, {"old": "new"}]
    assert list(folder.parent.iterdir()) == [folder]


def insist(folder: Path) -> int:
    """Writes until it is written, as much as it takes."""
    failed = 0
    for name in ("one", "two"):
        try:
            (folder / name).write_text("x")
        except OSError as error:
            failed += error.errno == errno.ENOSPC
    return failed


def test_a_full_disk_stays_full_or_not(folder: Path) -> None:
    assert run(insist, folder, faults.NO_SPACE, 2).status == 2
    assert run(insist, folder, faults.NO_SPACE_ONCE, 2).status == 1


def unbuffered(folder: Path) -> int:
    with (folder / "file").open("wb", buffering=0) as file:
        return file.write(b"0123456789") or 0


def test_a_write_takes_a_half_and_the_program_goes_on(folder: Path) -> None:
    trial = run(unbuffered, folder, faults.SHORT)
    assert trial.status == 5, "it is told how much"
    assert contents(folder)["file"] == "01234"


def test_killed_inside_a_write(folder: Path) -> None:
    trial = run(unbuffered, folder, faults.TORN)
    assert trial.killed
    assert contents(folder)["file"] == "01234"


def test_what_was_forced_onto_the_disk_outlives_a_power_cut(folder: Path) -> None:
    left = [contents(folder) for _ in every_fault(save, folder, [faults.POWER])]
    assert left == [{"old": "old"}] * 5 + [{"old": "new"}], "at the end, too"
    left = [contents(folder) for _ in every_fault(save, folder, [faults.POWER_BUT_NAMES])]
    old, new = {"old": "old"}, {"old": "new"}
    assert left == [old, old | {"new": ""}, old | {"new": ""}, old | {"new": "new"}, new, new]


def test_what_was_not_forced_onto_the_disk_is_gone(folder: Path) -> None:
    assert run(save_in_haste, folder, faults.POWER, faults.END).status == 0
    assert contents(folder) == {"old": "old"}
    assert run(save_in_haste, folder, faults.POWER_BUT_NAMES, faults.END).status == 0
    assert contents(folder) == {"old": ""}, "the name alone"


def nested(folder: Path) -> None:
    (folder / "a" / "b").mkdir(parents=True)
    (folder / "a" / "b" / "file").write_text("x")
    for path in (folder / "a" / "b" / "file", folder / "a" / "b"):
        descriptor = os.open(path, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)


def test_a_name_is_safe_when_all_folders_around_it_are(folder: Path) -> None:
    run(nested, folder, faults.POWER, faults.END)
    assert list(folder.iterdir()) == [folder / "old"]


def fork_and_fail(folder: Path) -> int:
    """A worker that writes, and its parent, which says how the worker ended."""
    worker = os.fork()
    if worker == 0:
        (folder / "file").write_text("x")
        os._exit(0)
    return 7 if os.waitstatus_to_exitcode(os.waitpid(worker, 0)[1]) == -signal.SIGKILL else 0


def test_a_kill_ends_the_process_that_did_it_and_a_power_cut_all(folder: Path) -> None:
    assert run(fork_and_fail, folder, faults.KILL).status == 7
    assert run(fork_and_fail, folder, faults.POWER).killed


def test_a_command_is_a_program(folder: Path) -> None:
    trial = run(["sh", "-c", "echo said; echo x > file; exit 3"], folder)
    assert (trial.status, trial.output, told(trial)) == (3, "said\n", ["open file", "write file"])
    assert run(["sh", "-c", "echo x > file"], folder, faults.KILL, 2).killed


def test_a_program_that_hangs_is_killed_and_named(folder: Path) -> None:
    with pytest.raises(TimeoutError, match="does not end"):
        run(lambda _: time.sleep(60), folder, seconds=0.2)


def test_a_seed_draws_the_same_trials_and_every_fault_in_turn(folder: Path) -> None:
    chosen = [faults.KILL, faults.IO_ERROR]
    drawn = [(str(t.fault), t.number) for t in some_faults(save, folder, 4, seed=3, faults=chosen)]
    assert drawn == [(str(t.fault), t.number) for t in some_faults(save, folder, 4, seed=3, faults=chosen)]
    assert [name for name, _ in drawn] == ["kill", "EIO", "kill", "EIO"]
    operations = run(save, folder).operations
    assert len(draw(operations, 99, faults=[faults.KILL])) == 5, "no more than there are"
