"""Would the tests notice? Random small changes of the code, one at a time, each against the tests that run its lines.

    make mutants [NUMBER=100] [SEED=0]

The changes are cosmic-ray's operators. They are made in a copy of the repository, in which all tests run once first, so
that it is known which test runs which line. What survives its tests is printed as a diff: either a test is missing, or the
change changes nothing that anybody could see. A change that makes a test run for ever counts as noticed.
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
from coverage import CoverageData

ROOT = Path(__file__).parents[1]
ROOMS = ("cache", "eci", "false_negatives", "files", "filters", "llm", "pipeline")
SECONDS = 240
MOST = 60
"""So many tests are asked at most, those that run the fewest lines first: they are the nearest."""
SAME = ("BitOr", "RemoveDecorator")
"""Operators left out: ``|`` stands in annotations nearly always, and a decorator is no slip of the pen."""
PYTEST = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "not engines"]
MEASURED = ["--cov=src/hardneg", "--cov-context=test", "--cov-report="]


def mutants(folder: Path) -> Iterator[tuple[str, Any]]:
    """Every possible change in the rooms, with its room."""
    for room in ROOMS:
        for file in sorted((folder / "src" / "hardneg" / room).glob("*.py")):
            for item in _all_work_items([file], {}):
                [mutation] = item.mutations
                if not any(name in mutation.operator_name for name in SAME):
                    yield room, mutation


def ran(folder: Path, command: list[str], seconds: float | None = None) -> int:
    """The exit status of a command in the folder."""
    environment = os.environ | {"PYTHONPATH": f"{folder / 'src'}:{folder}", "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, timeout=seconds, check=False
    ).returncode


class Nearest:
    """Which tests run which lines."""

    def __init__(self, data: CoverageData) -> None:
        self.by_line = {
            file: {line: {test.split("|")[0] for test in tests if test} for line, tests in lines.items()}
            for file in data.measured_files()
            if (lines := data.contexts_by_lineno(file))
        }
        self.lines = Counter(test for lines in self.by_line.values() for tests in lines.values() for test in tests)

    def tests(self, file: Path, first: int, last: int) -> list[str]:
        """The tests that run these lines, or any line of the file where these run at import; the nearest first."""
        lines = next(found for name, found in self.by_line.items() if Path(name).parts[-3:] == file.parts[-3:])
        found = set().union(*(lines.get(line, set()) for line in range(first, last + 1)))
        return sorted(found or set().union(*lines.values()), key=lambda test: (self.lines[test], test))[:MOST]


def noticed(folder: Path, tests: list[str]) -> bool:
    """Whether one of the tests fails in the folder."""
    try:
        return ran(folder, [*PYTEST, "-x", *tests], SECONDS) != 0
    except subprocess.TimeoutExpired:
        return True


def main(number: int, seed: int, coverage: str | None = None) -> None:
    with tempfile.TemporaryDirectory(prefix="hardneg-mutants-") as place:
        folder = Path(place) / "repository"
        folder.mkdir()
        for name in (
            "src",
            "tests",
            "examples",
            "docs",
            "bench",
            "pyproject.toml",
            "README.md",
            "CHANGELOG.md",
            "Makefile",
        ):
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
            copy(ROOT / name, folder / name)
        if coverage is None:
            coverage = str(folder / ".coverage")
            assert not ran(folder, [*PYTEST, "-n", "2", "--dist", "loadfile", *MEASURED]), "the tests fail unchanged"
        (data := CoverageData(coverage)).read()
        nearest = Nearest(data)
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
            tests = nearest.tests(file, mutation.start_pos[0], mutation.end_pos[0])
            if noticed(folder, tests):
                caught[room] += 1
            else:
                name = str(file.relative_to(folder))
                difference = unified_diff(code.split("\n"), changed.split("\n"), name, "survived", lineterm="", n=1)
                print("\n".join([*difference, f"tests asked: {len(tests)}"]))
            file.write_text(code)
            print(f"{caught.total()} of {tried.total()} noticed", flush=True)
        for room in ROOMS:
            print(f"{room}: {caught[room]} of {tried[room]}")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:])
