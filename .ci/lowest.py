"""Prints, as constraints for pip, the lowest versions that pyproject.toml allows: of what the package itself needs, and
of its extras `st` and `datasets`.

torch is the exception. It comes from constraints.txt: an older one would draw gigabytes of CUDA libraries.
"""

import re
from pathlib import Path

import tomllib

ROOT = Path(__file__).parent.parent
FLOOR = re.compile(r"([\w.-]+)(?:\[.*\])?>=([\w.]+)")

project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
extras = project["optional-dependencies"]
floors = dict(FLOOR.fullmatch(line).groups() for line in [*project["dependencies"], *extras["st"], *extras["datasets"]])
pinned = dict(re.findall(r"^([\w.-]+)==(.+)$", (ROOT / "constraints.txt").read_text(encoding="utf-8"), re.MULTILINE))
for name, version in (floors | {"torch": pinned["torch"]}).items():
    print(f"{name}=={version}")
