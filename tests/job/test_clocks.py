"""Clocks that jump, and files whose dates lie in another century: results are equal and nothing is computed again."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from support import files_of

from hardneg.job.run_folder import Job

MakeJob = Callable[..., Path]


def test_a_clock_that_jumps_changes_nothing(make_job: MakeJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, jumping = make_job("whole"), make_job("jumping", cache=tmp_path / "other")
    Job.read(whole).run()
    now, jumps = time.time(), itertools.cycle((0.0, -3e8, 86_400.0, -1.0, 3e9))
    monkeypatch.setattr(time, "time", lambda: now + next(jumps))
    Job.read(jumping).run()
    assert files_of(tmp_path / "runs" / "jumping") == files_of(tmp_path / "runs" / "whole")


def test_dates_of_files_decide_nothing(make_job: MakeJob, tmp_path: Path) -> None:
    path = make_job()
    Job.read(path).run()
    wanted = files_of(tmp_path / "runs" / "job")
    for year in (1, 130):
        files = sorted(file for folder in ("runs", "cache", "data") for file in (tmp_path / folder).rglob("*"))
        for number, file in enumerate(files):
            os.utime(file, (0, year * 31_557_600 - number))
        assert Job.read(path).run().ran == []
        assert files_of(tmp_path / "runs" / "job") == wanted
