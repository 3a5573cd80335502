"""Every durable file of a run held against its checksum, to the last byte."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from hardneg.errors import JobError
from hardneg.files.checksums import read_signed, readable
from hardneg.files.remote import Remote
from hardneg.job.run_folder import changed_files
from hardneg.paths import placed
from hardneg.pipeline.store import COMPLETE, damage


def verify(run: Path | str) -> Iterator[tuple[Path | str, str | None]]:
    """Each file that has a checksum, and what is wrong with it, or None. Raises `JobError` for what is no run.

    Of a run at a URL all that is there is fetched once more.
    """
    if isinstance(run, Path):
        yield from _verified(run)
        return
    remote = Remote(placed(run))
    with TemporaryDirectory(prefix="hardneg-") as folder:
        remote.fetch(remote.files(), Path(folder))
        try:
            for path, problem in _verified(Path(folder)):
                yield remote.at(path.relative_to(folder).as_posix()).url, problem
        except JobError as error:
            raise JobError(str(error).replace(folder, remote.url)) from error


def _verified(run: Path) -> Iterator[tuple[Path, str | None]]:
    if not (run / "claim.json").is_file():
        raise JobError(f"{run}: is not the folder of a run; name the `output` of a job, or use --cache")
    provenance: list[dict[str, dict[str, str]]] = []
    for stage in sorted((run / "stages").iterdir()):
        for shard in sorted(stage.glob("part-*.parquet")):
            yield shard, readable(partial(damage, shard))
        document = stage / COMPLETE
        if not document.is_file():
            continue
        try:
            summary = read_signed(document.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            yield document, str(error)
            continue
        yield document, None
        if stage.name.startswith("export."):
            folder = run / summary["folder"]
            mark = folder / ".fingerprint"
            if mark.is_file() and stage.name.encode().endswith(mark.read_bytes()[:16]):
                yield from _against(folder, summary["files"])
        elif stage.name.startswith("provenance-"):
            provenance.append({name: {"sha256": checksum} for name, checksum in summary.items()})
    if provenance:  # the files are those of the state of the job that ran last
        yield from _against(run, min(provenance, key=lambda files: len(changed_files(run, files))))


def _against(folder: Path, files: dict[str, dict[str, str]]) -> Iterator[tuple[Path, str | None]]:
    changed = set(changed_files(folder, files))
    for name in files:
        yield folder / name, "has changed since it was written, or is missing" if name in changed else None
