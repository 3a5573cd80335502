"""Twelve queries in three shards, and what one process makes of a job on them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from support import as_yaml, changed, files_of, job_on, small_shards, write_data

from hardneg.job.run_folder import Job


def job_in(folder: Path, changes: Mapping[str, Any]) -> Path:
    """The file of a job on twelve queries, with its data beside it; ``changes`` as in `support.changed`."""
    if not (folder / "data").exists():
        write_data(folder / "data", copies=4)
    (folder / "job.yaml").write_text(as_yaml(changed(job_on(), changes)))
    return folder / "job.yaml"


def bytes_of(folder: Path) -> dict[str, bytes]:
    """Shards, exports, provenance and report of a run."""
    return files_of(folder) | {"report.json": (folder / "report.json").read_bytes()}


def alone(folder: Path, changes: Mapping[str, Any]) -> tuple[dict[str, bytes], list[str]]:
    """What a run in this process gives, and the stages that it computed."""
    job = job_in(folder, changes)
    with pytest.MonkeyPatch.context() as patch:
        small_shards(patch)
        ran = Job.read(job).run().ran
    return bytes_of(folder / "runs" / "job"), ran
