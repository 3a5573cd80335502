"""`llms.txt`: an index of the pages for language models, in the form of llmstxt.org."""

from __future__ import annotations

import re
from collections.abc import Mapping

SECTIONS = {"": "Start", "how-to": "How to", "reference": "Reference", "explanation": "Explanation"}
LINK = re.compile(r"\[([^\]]+)\]\([^)]*\)")


def index(pages: Mapping[str, str]) -> str:
    """The index of pages, given by name with their text."""
    title, words = _described(pages["index"])
    out = [f"# {title}", f"> {words}", "Every page is also there as Markdown, under the links below."]
    for folder, name in SECTIONS.items():
        own = sorted(page for page in pages if page.rpartition("/")[0] == folder and page != "index")
        lines = [f"- [{found[0]}]({page}.md): {found[1]}" for page in own for found in [_described(pages[page])]]
        out.append(f"## {name}\n\n" + "\n".join(lines))
    return "\n\n".join(out) + "\n"


def _described(text: str) -> tuple[str, str]:
    """A page's title and the first sentence of its first paragraph."""
    title, *blocks = text.strip().split("\n\n")
    words = next((block for block in blocks if re.match(r"\w|`\w|\[|\*", block)), "")
    sentence = re.split(r"(?<=\.)\s", LINK.sub(r"\1", " ".join(words.split())))[0]
    return title.lstrip("# ").strip(), sentence
