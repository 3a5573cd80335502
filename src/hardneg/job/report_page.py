"""The report's page, from what finished runs have in their folders."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hardneg import progress
from hardneg.errors import HardnegError, JobError
from hardneg.files.durable import remove, replacing
from hardneg.pages.report_page import Run, report_page
from hardneg.pipeline.graph import Stages
from hardneg.pipeline.store import Folder, read_json, write_json

PAGE = "report.html"
CURVES = "tune"
"""The folder of the curves that `hardneg tune` has drawn."""


def write_page(folders: Sequence[Path], path: Path, *, wanted: bool = True) -> None:
    """Writes the page of one run, or of several side by side. Raises `JobError` for what is no finished run.

    Where it is not ``wanted``, an earlier one goes.
    """
    if not wanted:
        remove(path)
        return
    names = [folder.resolve().name for folder in folders]
    unique = len(set(names)) == len(names)
    content = report_page([run_in(f, name if unique else str(f)) for f, name in zip(folders, names, strict=True)])
    with replacing(path) as file:
        file.write_bytes(content)


def keep_curves(folder: Path, stages: Stages, name: str, curves: Mapping[str, Any]) -> None:
    """Keeps the threshold curves of the filter ``name`` for the page, with the stages that they were drawn from."""
    first = stages.first
    others = [stage for other, stage in first.filters.items() if other != name]
    drawn_from = {stage.name: stage.fingerprint for stage in (first.merge, *first.score.values(), *others)}
    write_json(folder / CURVES / f"{name}.json", {"filter": name, **curves, "drawn from": drawn_from})


def run_in(folder: Path, name: str) -> Run:
    """What the page needs of the run in this folder. Nothing is computed."""
    for needed in ("report.json", "manifest.json"):
        if not (folder / needed).is_file():
            raise JobError(f"{folder}: there is no {needed}; name the `output` folder of a finished run, or its job")
    report, manifest = read_json(folder / "report.json"), read_json(folder / "manifest.json")
    if "similarities" not in report:
        raise JobError(f"{folder}/report.json is from an older version; run that job again")
    job = folder / "job.yaml"
    text = job.read_text(encoding="utf-8", errors="replace") if job.is_file() else ""
    return Run(name, report, manifest, text, _examples(folder, manifest), _curves(folder, manifest))


def _examples(folder: Path, manifest: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The examples that the evaluation drew; none where they are lost."""
    table = Folder(folder).first("evaluate", manifest["stages"]["evaluate"]["fingerprint"])
    return [] if table is None else [json.loads(text) for text in table["example"].to_pylist()]


def _curves(folder: Path, manifest: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The curves of `tune` that were drawn from what the run now consists of."""
    now = {name: stage["fingerprint"] for name, stage in manifest["stages"].items()}
    found = [_drawn(file, now) for file in sorted((folder / CURVES).glob("*.json"))]
    return [curves for curves in found if curves is not None]


def _drawn(file: Path, now: Mapping[str, str]) -> dict[str, Any] | None:
    """The curves in a file, if they were drawn from these stages. A file that cannot be read is named."""
    try:
        curves = read_json(file)
        return curves if curves["drawn from"].items() <= now.items() else None
    except (HardnegError, LookupError, TypeError, AttributeError) as error:
        progress.note(f"{file}: not shown on the page ({error}); `hardneg tune` draws it again")
        return None
