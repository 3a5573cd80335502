"""A small job under faults, and what every trial of it has to show. For tests, and for `make soak`."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from support import as_yaml, files_of, job_on, write_data

from hardneg.cache.folders import Cache
from hardneg.cache.housekeeping import sweep
from hardneg.cli import main
from hardneg.engines import local
from hardneg.llm.answer_log import answers_of
from hardneg.testing import faults
from hardneg.testing.faults import FAULTS, Fault, Trial, draw

run = partial(faults.run, seconds=600)
"""On a machine that has much else to do, too."""


def job(folder: Path) -> int:
    """The program: runs the job in ``folder``, as a new process does."""
    answers_of.cache_clear()
    local._pool.cache_clear()
    return main(["run", str(folder / "job.yaml")])


def small_job(folder: Path, *, copies: int = 1, workers: int = 1) -> Path:
    """Everything that `job` needs."""
    if not (folder / "data").exists():
        write_data(folder / "data", copies=copies)
    (folder / "job.yaml").write_text(as_yaml(job_on() | {"engine": {"kind": "local", "workers": workers}}))
    return folder


def outputs(folder: Path) -> dict[str, bytes]:
    """Shards, exports, provenance and report."""
    report = folder / "runs" / "job" / "report.json"
    return files_of(folder / "runs" / "job") | ({"report.json": report.read_bytes()} if report.exists() else {})


UNTOLD = ("locks/[!.]*", "answers/*/*.jsonl")
"""Locks that belong to a name and marks of runs, which go when they are a minute old; answers, which stay for good."""


def names(folder: Path) -> set[str]:
    """Everything else that lies in the cache and the run folder, for a run that comes much later."""
    for lock in (folder / "cache" / "locks").glob(".*"):
        os.utime(lock, (0, 0))
    sweep(Cache(folder / "cache"))
    found = [*(folder / "runs").rglob("*"), *(folder / "cache").rglob("*")]
    return {str(path.relative_to(folder)) for path in found if not any(path.match(untold) for untold in UNTOLD)}


class Undisturbed:
    """What a run without faults gives. Begins and ends with a ``folder`` that holds nothing of a run."""

    def __init__(self, folder: Path) -> None:
        assert job(folder) == 0, "in this process, so that trials find everything loaded"
        clear(folder)
        trial = run(job, folder)
        assert trial.status == 0, trial
        self.operations, self.outputs, self.names = trial.operations, outputs(folder), names(folder)
        clear(folder)

    def trials(self, folder: Path, count: int, seed: int = 0, which: Sequence[Fault] = FAULTS) -> Iterator[Trial]:
        """So many trials, each of them in an empty folder, held against what is promised by `hold`."""
        for fault, number in draw(self.operations, count, seed=seed, faults=which):
            trial = run(job, folder, fault, number)
            self.hold(trial, folder)
            yield trial
            clear(folder)

    def hold(self, trial: Trial, folder: Path) -> None:
        """Asserts that a run with a fault, and the one after it, have kept what is promised."""
        self.well_ended(trial, folder)
        again = run(job, folder)
        assert again.status == 0, f"{trial}\nand then {again}"
        assert "changed since" not in again.output, f"{trial}\nand then {again}"
        self.well_ended(again, folder)
        left = sorted(names(folder) ^ self.names)
        assert not left, f"{trial}\nleft or missing after a rerun: {left}"

    def well_ended(self, trial: Trial, folder: Path) -> None:
        """Asserts that a run was killed, or said in a line what went wrong, or gave what is wanted."""
        assert "Traceback" not in trial.output, trial
        if trial.status == 0 or trial.met is None:
            found = outputs(folder)
            unequal = [name for name in {**self.outputs, **found} if found.get(name) != self.outputs.get(name)]
            assert not unequal, f"{trial}\nother outputs: {sorted(unequal)}"
        elif not trial.killed:
            assert trial.output.splitlines()[-1].startswith("hardneg: "), trial


def clear(folder: Path) -> None:
    for name in ("runs", "cache"):
        shutil.rmtree(folder / name, ignore_errors=True)
