"""The pages of the documentation and the blocks of code in them."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FENCE = re.compile(r"^ *```(\w+)\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
PAGES = ["README.md", "CONTRIBUTING.md", *sorted(str(page.relative_to(ROOT)) for page in (ROOT / "docs").rglob("*.md"))]


def text_of(page: str) -> str:
    """A page's text; ``page`` is relative to the repository."""
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(page: str, language: str) -> list[str]:
    """The blocks of a page in one language."""
    return [text for found, text in FENCE.findall(text_of(page)) if found == language]


def all_blocks(language: str) -> list[tuple[str, str]]:
    """Page and block, of all pages."""
    return [(page, block) for page in PAGES for block in blocks(page, language)]
