"""A job by its file, or by the folder of its run."""

from __future__ import annotations

from pathlib import Path

from hardneg.errors import JobError
from hardneg.job.run_folder import Job


def job_of(path: Path) -> Job:
    """The job of a YAML file, or of a run's folder, which has a copy of it as it was run.

    Raises `JobError` where the folder is no run's.
    """
    if not path.is_dir():
        return Job.read(path)
    if not (path / "manifest.json").is_file():
        raise JobError(f"{path}: is not the folder of a finished run; name that, or the job's YAML file")
    return Job.read(path / "job.yaml")
