"""The frame of every page, in a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import browsing

from hardneg.pages.page import embedded, page

HOSTILE = (
    "</script><script>window.broken = 1</script><img src=x onerror='window.broken = 1'> \u2028 \u202egnihtemos \ud800"
)


@pytest.fixture(scope="module")
def tab() -> Iterator[Any]:
    with browsing() as new:
        yield new


def test_data_in_a_page_ends_nothing() -> None:
    assert "</script" not in embedded({"text": HOSTILE})
    with pytest.raises(ValueError, match="JSON"):
        embedded(float("nan"))


@pytest.mark.engines
def test_a_page_runs_its_own_script_and_nothing_else(tab: Any, tmp_path: Path) -> None:
    file = tmp_path / "page.html"
    file.write_bytes(page("frame.html", title=HOSTILE, data={"text": HOSTILE}))
    opened = tab()
    opened.open(file)
    assert opened.complaints == []
    assert opened.page.evaluate("data.text.length") == len(HOSTILE)
    assert opened.page.evaluate("window.broken") is None
    assert opened.complaints == []
    assert opened.requests == []
    assert opened.violations() == []
    opened.page.evaluate("document.body.append(element('p', {id: 'made'}, data.text))")
    assert "\\u202e" in opened.page.inner_text("#made")
    assert opened.page.evaluate("window.broken") is None


@pytest.mark.engines
def test_the_policy_stops_what_is_not_in_it(tab: Any, tmp_path: Path) -> None:
    file = tmp_path / "page.html"
    written = page("frame.html", title="t", data={}).replace(b"</main>", b"<script>window.broken = 1</script></main>")
    file.write_bytes(written)
    opened = tab()
    opened.open(file)
    assert opened.page.evaluate("window.broken") is None
    assert any("Content Security Policy" in one for one in opened.complaints)
