"""What a machine has for jobs, and what it lacks for one of them."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hardneg import kinds
from hardneg.cache.folders import Cache
from hardneg.cache.housekeeping import entries
from hardneg.errors import HardnegError
from hardneg.job import readiness
from hardneg.job.run_folder import PACKAGES, Job
from hardneg.protocols import clients_of

EXTRAS = {
    "st": ("sentence_transformers", "sentence-transformers", "models by name or folder"),
    "vllm": ("vllm", "vllm", "a language model in this process"),
    "faiss": ("faiss", "faiss-cpu", "`search: faiss`"),
    "usearch": ("usearch", "usearch", "an index of usearch"),
    "datasets": ("datasets", "datasets", "`mine` and the reader `huggingface`"),
    "ray": ("ray", "ray", "`engine: ray` and filtering in Ray"),
    "s3": ("s3fs", "s3fs", "data, `output` and `cache` at s3://"),
    "gs": ("gcsfs", "gcsfs", "data, `output` and `cache` at gs://"),
    "plots": ("matplotlib", "matplotlib", "curves of `tune`"),
}
"""By extra: the module that is imported, the package that has it, and what it is for."""
NEEDED = {
    "sentence_transformers": "st",
    "sentence_transformers_cross_encoder": "st",
    "vllm": "vllm",
    "huggingface": "datasets",
    "ray": "ray",
    "ivf": "faiss",
}
"""By kind: the extra that it needs."""
LITTLE = 5 * 10**9
"""Bytes below which the free space of a disk is remarked on."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at. ``missing``: the job cannot run without it."""

    what: str
    found: str
    missing: bool = False


def findings(job: Job | None, cache: Cache) -> Iterator[Finding]:
    """Everything looked at, in order. With a job also what it names, and a short question to each of its models."""
    yield from _versions()
    yield from _extras(() if job is None else tuple(_needed(job)))
    yield Finding("GPU", _guarded(_gpu))
    bm25 = _guarded(_bm25)
    yield Finding("BM25", bm25, missing=job is not None and bm25 != WORKS)
    yield from _folders(job, cache)
    if job is not None:
        yield from _keys(job)
        problems = [*_data(job), *readiness.problems(job), *readiness.unanswered(job)]
        yield from (Finding("job", problem, missing=True) for problem in problems)
        if not problems:
            yield Finding("job", f"{job.path}: nothing is missing that can be seen from here")


def _versions() -> Iterator[Finding]:
    yield Finding("Python", f"{platform.python_version()} on {platform.system()} {platform.machine()}")
    for package in PACKAGES:
        if (found := installed(package)) is not None:
            yield Finding(package, found)


def installed(package: str) -> str | None:
    """A package's version; None where it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _extras(needed: tuple[str, ...]) -> Iterator[Finding]:
    for extra, (module, package, purpose) in EXTRAS.items():
        there = find_spec(module) is not None
        found = f"{installed(package) or 'there'}" if there else f'for {purpose}: pip install "hardneg[{extra}]"'
        yield Finding(f"extra {extra}", found, missing=not there and extra in needed)


def _needed(job: Job) -> Iterator[str]:
    """The extras that the parts of a job need."""
    plan = job.plan
    members = [plan.reader, plan.selector, job.pipeline.engine]
    members += [
        part for group in (plan.generators, plan.scorers, plan.filters, plan.exports) for part in group.values()
    ]
    for part in kinds.parts_in(members):
        if (extra := NEEDED.get(kinds.kind_of(part))) is not None:
            yield extra
        for name in (getattr(part, "search", None), getattr(part, "library", None)):
            if isinstance(name, str) and name in EXTRAS:
                yield name


def _guarded(look: Callable[[], str]) -> str:
    """What a look at something says, or why it cannot be looked at: libraries fail in ways of their own."""
    try:
        return look()
    except Exception as error:  # noqa: BLE001  whatever is wrong is what is wanted here
        return f"does not work ({type(error).__name__}: {' '.join(str(error).split())[:200]})"


def _gpu() -> str:
    if find_spec("torch") is None:
        return "unknown without torch"
    from hardneg.models.devices import gpus

    return ", ".join(gpus()) or "none; models run on the CPU"


WORKS = "works, with numba"


def _bm25() -> str:
    from hardneg.models.bm25 import works

    return WORKS if works() else "finds the wrong passage"


def _folders(job: Job | None, cache: Cache) -> Iterator[Finding]:
    if cache.root.is_dir():
        found = entries(cache)
        yield Finding("cache", f"{cache.root}: {len(found):,} entries, {sum(e.bytes for e in found) / 1e9:.2f} GB")
    else:
        yield Finding("cache", f"{cache.root}: not there yet")
    for what, folder in (("cache", cache.root), *((("output", job.output),) if job is not None else ())):
        free = shutil.disk_usage(readiness.nearest(folder)).free
        yield Finding(f"free for the {what}", f"{free / 1e9:.1f} GB" + ("; that is little" if free < LITTLE else ""))


def _keys(job: Job) -> Iterator[Finding]:
    """The environment variables that a job names, and whether each holds a key; never what it holds."""
    members = [*job.plan.generators.values(), *job.plan.scorers.values()]
    names = {name for client in clients_of(members) if (name := getattr(client, "api_key_env", None))}
    for name in sorted(names):
        if os.environ.get(name, "").strip():
            yield Finding(f"key {name}", "set")


def _data(job: Job) -> Iterator[str]:
    """What is wrong with the data files before they are read."""
    try:
        job.plan.reader.files()
    except HardnegError as error:
        yield str(error)


def read(path: Path, overrides: Mapping[str, object]) -> Job | Finding:
    """The job, or what is wrong with it."""
    try:
        return Job.read(path, overrides)
    except HardnegError as error:
        return Finding("job", str(error), missing=True)


def rows(found: list[Finding]) -> list[dict[str, Any]]:
    """As JSON."""
    return [{"what": f.what, "found": f.found, "missing": f.missing} for f in found]
