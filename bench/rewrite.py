"""Runs the commands that docs/explanation/performance.md shows, and writes what they print below them.

    make bench DATA=FOLDER [ONLY=bm25]

DATA is the folder of the collections `squad` and `cranfield`; MODEL, a sentence-transformers model, is the packaged
MiniLM unless it is given. A block that begins with ``$ python bench/...`` is run again, and all others stay as they
are. ``ONLY`` runs those whose command has this word.
"""

from __future__ import annotations

import os
import platform
import re
import shlex
import subprocess
import sys
from pathlib import Path

from judged_data import packaged_model

PAGE = Path(__file__).parents[1] / "docs" / "explanation" / "performance.md"
BLOCK = re.compile(r"```console\n\$ (python bench/[^\n]+)\n.*?```", re.DOTALL)


def machine() -> str:
    """This machine in words."""
    described = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    model = re.search(r"model name\s*: (.*)", described)
    return f"{os.cpu_count()} cores ({model[1] if model else platform.machine()}), Python {platform.python_version()}"


def printed(command: str) -> str:
    """What a command prints, with DATA and MODEL from the environment."""
    words = [os.path.expandvars(word) for word in shlex.split(command)]
    print(f"$ {command}", flush=True)
    done = subprocess.run([sys.executable, *words[1:]], stdout=subprocess.PIPE, text=True, check=True)
    print(done.stdout, flush=True)
    return done.stdout.rstrip()


def main(data: str, only: str = "") -> None:
    os.environ["DATA"] = data
    os.environ.setdefault("MODEL", packaged_model())
    page = PAGE.read_text()
    for block in BLOCK.finditer(page):
        if only in block[1]:
            found = f"```console\n$ {block[1]}\n{printed(block[1])}\n```"
            page = page.replace(block[0], found)
            page = re.sub(r"(?<=^Measured on ).*(?=\.$)", machine(), page, count=1, flags=re.MULTILINE)
            PAGE.write_text(page)


if __name__ == "__main__":
    main(*sys.argv[1:])
