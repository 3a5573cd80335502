"""Would the tests notice? Random small changes of the code, one at a time, each against the tests of its room.

    make mutants [NUMBER=100] [SEED=0]

The changes are cosmic-ray's operators. They are made in a copy of the repository. What survives the tests of its room is
printed as a diff: either a test is missing, or the change changes nothing that anybody could see. A change that makes a
test run for ever counts as noticed.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from difflib import unified_diff
from pathlib import Path
from typing import Any

from cosmic_ray.commands.init import _all_work_items
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator

ROOT = Path(__file__).parents[1]
ROOMS = {
    "cache": ["tests/cache", "tests/job/test_flipped_bits.py"],
    "eci": ["tests/eci", "tests/library/test_eci_filter.py"],
    "false_negatives": ["tests/false_negatives", "tests/scorers", "tests/report/test_tuning.py"],
    "files": ["tests/files", "tests/readers", "tests/cache"],
    "filters": ["tests/filters", "tests/pipeline/test_fingerprints.py", "tests/library/test_eci_filter.py"],
    "llm": ["tests/llm", "tests/scorers/test_llm_judge.py", "tests/job/test_language_models_in_jobs.py"],
    "pipeline": [
        *("tests/pipeline", "tests/data/test_equal_queries.py", "tests/job/test_run.py", "tests/job/test_deeper.py"),
        *("tests/job/test_shares.py", "tests/job/test_language_models_in_jobs.py"),
    ],
}
"""The tests that should notice a change in a room, the nearest first."""
SECONDS = 600
SAME = ("BitOr", "RemoveDecorator")
"""Operators left out: ``|`` stands in annotations nearly always, and a decorator is no slip of the pen."""


def mutants(folder: Path) -> Iterator[tuple[str, Any]]:
    """Every possible change in the rooms, with its room."""
    for room in ROOMS:
        for file in sorted((folder / "src" / "hardneg" / room).glob("*.py")):
            for item in _all_work_items([file], {}):
                [mutation] = item.mutations
                if not any(name in mutation.operator_name for name in SAME):
                    yield room, mutation


def noticed(folder: Path, room: str) -> bool:
    """Whether the tests of the room fail in the folder."""
    environment = os.environ | {"PYTHONPATH": f"{folder / 'src'}:{folder}", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "-m", "not engines", *ROOMS[room]]
    try:
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return True
    return done.returncode != 0


def main(number: int, seed: int) -> None:
    with tempfile.TemporaryDirectory(prefix="hardneg-mutants-") as place:
        folder = Path(place)
        for name in ("src", "tests", "examples", "docs", "pyproject.toml", "README.md", "CHANGELOG.md"):
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
            copy(ROOT / name, folder / name)
        every = [*mutants(folder)]
        drawn = random.Random(seed).sample(every, min(number, len(every)))
        print(f"{len(drawn)} of {len(every):,} mutants, seed {seed}", flush=True)
        caught, tried = Counter[str](), Counter[str]()
        for room, mutation in drawn:
            file = Path(mutation.module_path)
            code = file.read_text()
            operator = get_operator(mutation.operator_name)(**mutation.operator_args)
            changed = mutate_code(code, operator, mutation.occurrence)
            file.write_text(changed)
            tried[room] += 1
            if noticed(folder, room):
                caught[room] += 1
            else:
                name = str(file.relative_to(folder))
                print(
                    "\n".join(unified_diff(code.split("\n"), changed.split("\n"), name, "survived", lineterm="", n=1))
                )
            file.write_text(code)
            print(f"{caught.total()} of {tried.total()} noticed", flush=True)
        for room in ROOMS:
            print(f"{room}: {caught[room]} of {tried[room]}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
