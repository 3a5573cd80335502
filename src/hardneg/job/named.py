"""A job by its file, or by the folder of its run."""

from __future__ import annotations

from pathlib import Path

from hardneg.errors import JobError
from hardneg.job.run_folder import Job
from hardneg.pipeline.store import read_json


def job_of(path: Path) -> Job:
    """The job of a YAML file, or of a run's folder, whose manifest says where that file is.

    Raises `JobError` where the folder is no run's, or its job has been moved.
    """
    if not path.is_dir():
        return Job.read(path)
    manifest = path / "manifest.json"
    if not manifest.is_file():
        raise JobError(f"{path}: is not the folder of a finished run; name that, or the job's YAML file")
    job = read_json(manifest)["job"].get("path")
    if job is None or not Path(job).is_file():
        raise JobError(f"{path}: its job is not at {job}; name the job's YAML file instead of the folder")
    return Job.read(Path(job))
