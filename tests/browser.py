"""A real Chromium without a network, which remembers what a page asked for and complained about."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, sync_playwright

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking", "--disable-sync"]


def chromium() -> str:
    names = ("chromium", "chromium-browser", "google-chrome")
    found = next((path for name in names if (path := shutil.which(name))), None)
    assert found is not None, "no Chromium: `make .venv/browser` installs Debian's"
    return found


class Tab:
    """One page. ``page`` is Playwright's; ``requests`` and ``complaints`` are what it should not have."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.requests: list[str] = []
        self.complaints: list[str] = []
        page.on("console", lambda message: self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda request: self.requests.append(request.url))

    def open(self, file: Path) -> None:
        self.page.goto(file.resolve().as_uri())
        self.requests = [url for url in self.requests if url != file.resolve().as_uri()]

    def violations(self) -> list[str]:
        """What axe-core finds, one line each."""
        found = Axe().run(self.page).response["violations"]
        return [f"{one['id']}: {node['html'][:200]}" for one in found for node in one["nodes"]]

    def wider_than_screen(self) -> bool:
        return bool(self.page.evaluate("document.documentElement.scrollWidth > window.innerWidth"))


@contextmanager
def browsing() -> Iterator[Any]:
    """A function that gives a new `Tab`. Its arguments are those of Playwright's ``new_context``."""
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium(), args=FLAGS)
        try:
            yield lambda **options: Tab(browser.new_context(offline=True, **options).new_page())
        finally:
            browser.close()
