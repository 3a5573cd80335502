"""Commands about this machine: what the cache holds and what of it may go, and what jobs would miss here."""

from __future__ import annotations

import argparse
import re
import time
from pathlib import Path
from typing import Any

from hardneg.cli.command import command, named, overrides, takes_job
from hardneg.cli.output import console, print_json
from hardneg.errors import HardnegError, JobError, StoreError

AGES = {"m": 60, "h": 3_600, "d": 86_400, "w": 7 * 86_400}
SIZES = {"KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
NUMBER = re.compile(r"(\d+(?:\.\d+)?)\s*([A-Za-z]+)")


def add(commands: Any) -> None:
    """Adds these commands."""
    doctor = command(
        commands,
        "doctor",
        "What this machine has: versions, extras, GPU, BM25, cache, free disk space. With a job also what it lacks for "
        "it, keys and model servers included. Exit status 1 when something is missing.",
        _doctor,
    )
    takes_job(doctor, optional=True)
    cache = command(
        commands,
        "cache",
        "What lies in the cache, with sizes and ages; with --prune, remove what was not used for long. What language "
        "models answered is never removed, nor what a run uses.",
        _cache,
    )
    verify = command(
        commands,
        "verify",
        "Hold every file of finished runs, or of the cache, against its checksum, to the last byte. Exit status 1 when "
        "one has changed since it was written.",
        _verify,
    )
    verify.add_argument("runs", nargs="*", type=named, help="output folders of jobs, or their URLs")
    verify.add_argument(
        "--cache", nargs="?", type=named, const=Path(), metavar="FOLDER", help="the cache (the usual one)"
    )
    cache.add_argument(
        "folder", nargs="?", type=named, help="the cache (default: $HARDNEG_CACHE, else the usual place)"
    )
    cache.add_argument("--prune", action="store_true", help="remove; without the two options, what is older than 30d")
    cache.add_argument("--older-than", metavar="AGE", help="what was not used for so long: 12h, 30d, 8w")
    cache.add_argument("--keep", metavar="SIZE", help="the longest unused, until so much is left: 500MB, 20GB")


def _verify(options: argparse.Namespace) -> None:
    from itertools import chain

    from hardneg.cache import housekeeping
    from hardneg.cache.folders import cache_at
    from hardneg.job.verify import verify
    from hardneg.llm import answer_log

    if not options.runs and options.cache is None:
        raise JobError("name the folders of runs, or give --cache")
    found = chain.from_iterable(map(verify, options.runs))
    if options.cache is not None:
        cache = cache_at(None if options.cache == Path() else options.cache)
        found = chain(found, housekeeping.verify(cache), answer_log.verify(cache))
    checked = list(found)
    changed = [(path, problem) for path, problem in checked if problem is not None]
    if options.json:
        print_json({"checked": len(checked), "changed": [{"file": str(p), "problem": why} for p, why in changed]})
    else:
        for path, problem in changed:
            console().print(f"{path}: {problem}")
        console().print(f"{len(checked):,} files and folders checked, {len(changed):,} of them changed")
    if changed:
        raise StoreError("what is cheap is made again by the next run; of answers, delete the line that is named")


def _doctor(options: argparse.Namespace) -> None:
    from rich.table import Table
    from rich.text import Text

    from hardneg.cache.folders import cache_at
    from hardneg.job import doctor
    from hardneg.job.named import fetched

    read = None if options.job is None else doctor.read(fetched(options.job), overrides(options))
    job = None if isinstance(read, doctor.Finding) else read
    cache = cache_at() if job is None else job.pipeline.cache
    found = [*doctor.findings(job, cache), *([read] if isinstance(read, doctor.Finding) else [])]
    if options.json:
        print_json(doctor.rows(found))
    else:
        table = Table(box=None, pad_edge=False, show_header=False)
        for finding in found:
            table.add_row(finding.what, Text(finding.found), style="red" if finding.missing else None)
        console().print(table)
    if missing := [finding for finding in found if finding.missing]:
        raise HardnegError("\n".join(f"{finding.what}: {finding.found}" for finding in missing))


def _cache(options: argparse.Namespace) -> None:
    from hardneg.cache import housekeeping
    from hardneg.cache.folders import cache_at

    if not options.prune and (options.older_than or options.keep):
        raise JobError("--older-than and --keep say what --prune removes; give --prune too")
    cache = cache_at(options.folder)
    if options.folder is not None and not cache.root.is_dir():
        raise JobError(f"{cache.root}: there is no such folder")
    if options.prune:
        age = _amount("--older-than", options.older_than or (None if options.keep else "30d"), AGES)
        keep = _amount("--keep", options.keep, SIZES)
        found = housekeeping.prune(cache, older_than=age, keep_bytes=None if keep is None else int(keep))
    else:
        housekeeping.sweep(cache)
        found = housekeeping.entries(cache)
    _show(options, cache.root, found)


def _show(options: argparse.Namespace, root: Path, found: list[Any]) -> None:
    from rich.table import Table

    now, total = time.time(), sum(entry.bytes for entry in found)
    if options.json:
        rows = [
            {"group": e.group, "name": e.name, "bytes": e.bytes, "unused_seconds": round(now - e.used)} for e in found
        ]
        print_json({"folder": str(root), "pruned": options.prune, "entries": rows, "bytes": total})
        return
    table = Table(box=None, pad_edge=False)
    for column in ("what", "size", "unused for", "name"):
        table.add_column(column, justify="right" if column in ("size", "unused for") else "left")
    for entry in found:
        table.add_row(entry.group, size(entry.bytes), age(now - entry.used), entry.name[:24])
    out = console()
    out.print(table)
    did = "removed from" if options.prune else "in"
    out.print(f"{len(found):,} entries, {size(total)}, {did} {root}")


def _amount(option: str, text: str | None, units: dict[str, int]) -> float | None:
    """A number with a unit: seconds or bytes."""
    if text is None:
        return None
    found = NUMBER.fullmatch(text.strip())
    unit = found[2].lower() if found else ""
    known = {name.lower(): factor for name, factor in units.items()}
    if found is None or unit not in known:
        raise JobError(f"{option}: expected a number with one of {', '.join(units)}, not {text!r}")
    return float(found[1]) * known[unit]


def size(count: float) -> str:
    """Bytes in words: ``1.5 GB``.

    >>> size(1_500_000_000), size(12)
    ('1.5 GB', '12 B')
    """
    for unit, factor in reversed(SIZES.items()):
        if count >= factor:
            return f"{count / factor:.1f} {unit}"
    return f"{count:.0f} B"


def age(seconds: float) -> str:
    """A time in words: ``3 d``.

    >>> age(3 * 86_400 + 10), age(5)
    ('3 d', '0 m')
    """
    unit = next((unit for unit in ("d", "h") if seconds >= AGES[unit]), "m")
    return f"{seconds // AGES[unit]:.0f} {unit}"
