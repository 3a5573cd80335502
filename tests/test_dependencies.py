"""Every dependency has its reason in the docs, and a licence that lets anyone use the package."""

import re
import sys
from importlib.metadata import metadata
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # pyright: ignore[reportMissingImports]

ROOT = Path(__file__).parent.parent
PERMISSIVE = re.compile(r"MIT|BSD|Apache|PSF|Unlicense|NumPy Developers|SciPy Developers|Enthought")
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


@pytest.mark.parametrize("name", BASE)
def test_its_licence_is_permissive(name: str) -> None:
    found = metadata(name)
    texts = [found.get("License-Expression"), found.get("License"), *(found.get_all("Classifier") or [])]
    assert any(PERMISSIVE.search(text) for text in texts if text and ("::" not in text or "License" in text)), texts
