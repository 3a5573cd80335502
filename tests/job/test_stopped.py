"""Jobs that are stopped at any moment, by anything, and go on: the result is equal to the byte."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import faulty
import pytest
from support import SMALL_SHARDS, as_yaml, files_of, job_on, on_linux, small_shards, write_data

from hardneg.job.run_folder import Job
from hardneg.testing import faults

STOPPED = (
    SMALL_SHARDS
    + """
import contextlib, os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell that runs tests in the background has it ignored
from hardneg.pipeline import store
from hardneg.cli import main
left, number, real = int(sys.argv[2]), getattr(signal, sys.argv[3]), store.replacing

@contextlib.contextmanager
def counted(path):
    global left
    with real(path) as unfinished:
        yield unfinished
    if left == 0:
        os.kill(os.getpid(), number)
    left -= 1

store.replacing = counted
sys.exit(main(["run", sys.argv[1]]))
"""
)


def process(code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, bytes], Path]:
    """Shards and exports of an undisturbed run on twelve queries, and its folder."""
    folder = tmp_path_factory.mktemp("reference")
    write_data(folder / "data", copies=4)
    (folder / "job.yaml").write_text(as_yaml(job_on()))
    with pytest.MonkeyPatch.context() as patch:
        small_shards(patch)
        Job.read(folder / "job.yaml").run()
    return files_of(folder / "runs" / "job"), folder


@pytest.fixture
def twelve(make_job: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same job in a folder of its own, not run yet."""
    small_shards(monkeypatch)
    write_data(tmp_path / "data", copies=4)
    return make_job()


@on_linux
def test_after_a_few_faults_a_rerun_is_equal(
    tmp_path: Path, reference: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sample of `test_after_any_fault_a_rerun_is_equal`, after ``reference`` has loaded everything."""
    small_shards(monkeypatch)
    undisturbed = faulty.Undisturbed(faulty.small_job(tmp_path))
    few = (faults.KILL, faults.NO_SPACE, faults.POWER)
    assert [trial.fault for trial in undisturbed.trials(tmp_path, 3, which=few)] == list(few)


@pytest.mark.parametrize(("name", "status"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_stopped_by_a_signal_keeps_what_is_finished(
    twelve: Path, tmp_path: Path, reference: tuple[dict[str, bytes], Path], name: str, status: int
) -> None:
    wanted, _ = reference
    done = process(STOPPED, twelve, 12, name)
    assert done.returncode == status
    assert done.stderr.splitlines()[-1] == "hardneg: stopped; the same command goes on where it was"
    finished = files_of(tmp_path / "runs" / "job")
    assert finished
    assert finished.items() <= wanted.items()
    Job.read(twelve).run()
    assert files_of(tmp_path / "runs" / "job") == wanted


def test_a_second_run_in_the_same_folder_waits_for_nobody(make_job: Callable[..., Path]) -> None:
    path = make_job()
    job = Job.read(path)
    job.run()
    with job.store.locked():
        done = process("import sys; from hardneg.cli import main; sys.exit(main(['run', sys.argv[1]]))", path)
    assert done.returncode == 2
    assert "another run is going on in this folder" in done.stderr


def test_a_lost_corpus_is_made_again(make_job: Callable[..., Path], tmp_path: Path) -> None:
    Job.read(make_job()).run()
    shutil.rmtree(tmp_path / "cache")
    assert Job.read(make_job(margin=0.4)).run().ran[0] == "read"


def test_counts_are_right_after_a_resumed_run(
    twelve: Path, tmp_path: Path, reference: tuple[dict[str, bytes], Path]
) -> None:
    _, folder = reference
    report = Job.read(folder / "job.yaml").run().report
    job = Job.read(twelve)
    job.run()
    for stage in ("generate.lexical", "evaluate"):
        [found] = (tmp_path / "runs" / "job" / "stages").glob(f"{stage}-*")
        (found / "complete.json").unlink()
        for shard in sorted(found.glob("part-*"))[:2]:
            shard.unlink()
    assert job.run().report == report


def test_workers_and_hash_seeds_change_nothing(
    make_job: Callable[..., Path], twelve: Path, tmp_path: Path, reference: tuple[dict[str, bytes], Path]
) -> None:
    wanted, _ = reference
    code = SMALL_SHARDS + "import sys\nfrom hardneg.cli import main\nsys.exit(main(['run', sys.argv[1]]))"
    path = make_job("two", workers=2)
    environment = os.environ | {"PYTHONHASHSEED": "1", "LC_ALL": "C", "TZ": "Asia/Tokyo"}
    subprocess.run([sys.executable, "-c", code, path], env=environment, check=True, capture_output=True)
    assert files_of(tmp_path / "runs" / "two") == wanted
