"""A run by its job's file or by its folder, each at a path or at a URL."""

from __future__ import annotations

from pathlib import Path

from hardneg.cache.folders import cache_at
from hardneg.errors import JobError
from hardneg.files.mirror import opened
from hardneg.job.fetching import Fetching
from hardneg.job.run_folder import Job
from hardneg.paths import placed
from hardneg.pipeline.store import Folder

ENDINGS = (".yaml", ".yml")


def fetched(named: Path | str) -> Path:
    """A path; of a URL that of what was fetched from it."""
    return Fetching(cache_at())(placed(named)) if isinstance(named, str) else named


def folder_of(run: Path | str) -> Path:
    """The output folder of a job's YAML file, or the folder itself; of a URL this machine's copy.

    Raises `JobError` where no run is at a URL.
    """
    if isinstance(run, str) and not run.endswith(ENDINGS):
        folder = Folder.at(placed(run), cache_at()).root
        opened(folder)
        if not (folder / "claim.json").is_file():
            raise JobError(f"{run}: is not the folder of a run; name the `output` of a job, or its YAML file")
        return folder
    path = fetched(run)
    if not path.is_file():
        return path
    job = Job.read(path)
    opened(job.output)
    return job.output


def job_of(run: Path | str) -> Job:
    """The job of a YAML file, or of a run's folder, which has a copy of it as it was run.

    Raises `JobError` where the folder is no run's.
    """
    if isinstance(run, str) and run.endswith(ENDINGS):
        return Job.read(fetched(run))
    path = folder_of(run) if isinstance(run, str) else run
    if not path.is_dir():
        return Job.read(path)
    if not (path / "manifest.json").is_file():
        raise JobError(f"{run}: is not the folder of a finished run; name that, or the job's YAML file")
    return Job.read(path / "job.yaml")
