"""A run by its job's file, or by its folder."""

from __future__ import annotations

from pathlib import Path

from hardneg.errors import JobError
from hardneg.job.run_folder import Job


def folder_of(path: Path) -> Path:
    """The output folder of a job's YAML file, or the folder itself."""
    return Job.read(path).output if path.is_file() else path


def job_of(path: Path) -> Job:
    """The job of a YAML file, or of a run's folder, which has a copy of it as it was run.

    Raises `JobError` where the folder is no run's.
    """
    if not path.is_dir():
        return Job.read(path)
    if not (path / "manifest.json").is_file():
        raise JobError(f"{path}: is not the folder of a finished run; name that, or the job's YAML file")
    return Job.read(path / "job.yaml")
