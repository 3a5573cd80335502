"""Every dependency has its reason in the docs, and all that is installed with it a licence that lets anyone use it."""

import os
import re
import subprocess
import sys
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # pyright: ignore[reportMissingImports]

ROOT = Path(__file__).parent.parent
BASE = [
    re.split(r"[\[<>=]", line)[0]
    for line in tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
]


def test_the_list_is_that_of_the_package() -> None:
    rows = re.findall(
        r"^\| ([A-Za-z][\w-]*) \| ",
        (ROOT / "docs" / "reference" / "dependencies.md").read_text(encoding="utf-8"),
        re.MULTILINE,
    )
    assert [name for name in rows if name != "package"] == BASE


def licences(**environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, ROOT / ".ci" / "licences.py"],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_all_licences_are_allowed() -> None:
    found = licences()
    assert found.returncode == 0, found.stdout + found.stderr
    listed = {line.split("==")[0] for line in found.stdout.splitlines()}
    assert {name.lower() for name in BASE} <= listed
    assert {"anyio", "llvmlite", "multidict"} <= listed, "and what they need themselves"


def test_a_licence_that_is_not_allowed_is_named(tmp_path: Path) -> None:
    about = tmp_path / "idna-9.9.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(
        "Metadata-Version: 2.4\nName: idna\nVersion: 9.9\nLicense-Expression: MIT AND GPL-3.0-only\n"
    )
    found = licences(PYTHONPATH=str(tmp_path))
    assert found.returncode == 1
    assert "idna==9.9  # MIT, GPL-3.0-only  NOT ALLOWED" in found.stdout
