"""What the system refuses is one line with its place, and it is the first error and not one of cleaning up."""

from __future__ import annotations

import errno
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support import files_of

from hardneg.cache.folders import Cache
from hardneg.cli import main
from hardneg.errors import DataError, StoreError
from hardneg.files.checksums import broken, seal
from hardneg.files.durable import replacing
from hardneg.pipeline.stage import Stage
from hardneg.pipeline.store import Folder

MakeJob = Callable[..., Path]


def test_a_lock_that_cannot_be_taken(make_job: MakeJob, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "runs" / "job" / ".lock").mkdir(parents=True)
    assert main(["run", str(make_job())]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(f"hardneg: {tmp_path / 'runs' / 'job'}: cannot be written (")


@pytest.mark.parametrize("blocked", ["locks", "corpora", "memo", "bm25", "embeddings"])
def test_a_cache_that_cannot_be_written(
    make_job: MakeJob, tmp_path: Path, capsys: pytest.CaptureFixture[str], blocked: str
) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / blocked).write_text("a file where a folder belongs")
    assert main(["run", str(make_job())]) == 1
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(f"hardneg: {tmp_path / 'cache'}: the cache folder cannot be written (")


LITTLE_MEMORY = """
import resource, sys
from hardneg.cli import main
from hardneg.scorers import bi_encoder
import numpy as np

def hungry(self, batch):
    resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
    np.ones(1 << 40)

bi_encoder.BiEncoder.score = hungry
sys.exit(main(["run", sys.argv[1]]))
"""


def test_too_little_memory(make_job: MakeJob) -> None:
    command = [sys.executable, "-c", LITTLE_MEMORY, str(make_job())]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert line.startswith("hardneg: worker processes die of whatever they work on (out of memory?)")


FEW_FILES = """
import os, resource, sys
from hardneg.cli import main
assert main(["run", sys.argv[2]]) == 0  # what is imported is
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
for more in range(10):
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) - 1 + more, hard))
    print("exit", main(["run", sys.argv[1]]), file=sys.stderr, flush=True)
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
sys.exit(main(["run", sys.argv[1]]))
"""


def test_too_many_open_files(make_job: MakeJob, tmp_path: Path) -> None:
    whole, few = make_job("whole"), make_job("few", cache=tmp_path / "other")
    command = [sys.executable, "-c", FEW_FILES, str(few), str(whole)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told = [line for line in done.stderr.splitlines() if line.startswith(("hardneg: ", "exit "))]
    first = (
        "hardneg: too many files are open; raise the limit (`ulimit -n 4096`) and run again: what is finished is kept"
    )
    assert told[:2] == [first, "exit 1"]
    assert set(told) <= {first, "exit 1", "exit 0"}, "nothing else is said, whichever file cannot be opened"
    assert told.count("exit 1") >= 3
    assert files_of(tmp_path / "runs" / "few") == files_of(tmp_path / "runs" / "whole")


def test_what_cannot_be_opened_for_want_of_files_is_not_taken_for_damaged(tmp_path: Path) -> None:
    store, stage, made = Folder(tmp_path), Stage("read", {}, ()), tmp_path / "made"
    store.complete(stage, {"count": 1})
    made.mkdir()
    (made / "file").write_text("content")
    seal(made)
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, before[1]))
    try:
        with pytest.raises(OSError, match="Too many open files"):
            broken(made)
        with pytest.raises(OSError, match="Too many open files"):
            store.summary(stage)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert store.summary(stage) == {"count": 1}


def test_a_file_that_goes_while_the_corpus_is_made_is_not_the_caches_fault(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache")
    with pytest.raises(FileNotFoundError), cache.workspace("corpus"):
        (tmp_path / "data").read_text()
    with pytest.raises(DataError, match="line 3"), cache.workspace("corpus"):
        raise DataError("line 3")
    with pytest.raises(StoreError, match="No space"), cache.workspace("corpus"):
        raise OSError(errno.ENOSPC, "No space left on device")


def test_the_first_error_is_what_the_caller_hears_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(name: str) -> None:
        def refused(*_: object, **__: object) -> None:
            raise OSError(errno.EIO, "cannot clean up")

        monkeypatch.setattr(name, refused)
        raise DataError("the first")

    with pytest.raises(DataError, match="the first"), replacing(tmp_path / "file"):
        fail("pathlib.Path.unlink")
    with pytest.raises(DataError, match="the first"), Cache(tmp_path / "cache").workspace("corpus"):
        fail("pathlib.Path.unlink")
    with pytest.raises(DataError, match="the first"), Folder(tmp_path).locked():
        fail("filelock.FileLock.release")


def test_an_error_of_the_system_that_nobody_expected(
    make_job: MakeJob, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", "/somewhere")

    monkeypatch.setattr("hardneg.job.run_folder.Job.run", refused)
    assert main(["run", str(make_job())]) == 1
    assert capsys.readouterr().err.startswith("hardneg: /somewhere: Permission denied; run again")
