"""The Chromium of the machine, and a person at a page in it."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest

# No background connection of the browser's own: they would be refused here, and delay its start.
_ARGUMENTS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip


def must_have(found: object, reason: str) -> None:
    """Skip the test without *found*. Where every gate runs, that is a failure."""
    if not found:
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)


@asynccontextmanager
async def chromium() -> AsyncGenerator[Any]:
    """Start the browser, and end it."""
    playwright_api = pytest.importorskip("playwright.async_api", reason="playwright is not installed")
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    must_have(path, "there is no Chromium: install the package chromium of Debian to run the tests of the pages")
    async with playwright_api.async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=_ARGUMENTS)
        try:
            yield browser
        finally:
            await browser.close()


class Visitor:
    """A person at a page. What the page says on its console is an error."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.complaints: list[str] = []
        page.on("console", lambda message: self.complaints.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))

    async def findings(self, *impacts: str) -> list[str]:
        """Return what axe-core finds, of the given impacts or of any."""
        axe = pytest.importorskip("axe_playwright_python.async_playwright", reason="axe-playwright-python is missing")
        results = await axe.Axe().run(self.page)
        return [
            f"{found['id']}: {found['help']}: {found['nodes'][0]['html'][:200]}"
            for found in results.response["violations"]
            if not impacts or found["impact"] in impacts
        ]

    async def width(self) -> int:
        """Return how many pixels the page needs: more than the window has, and it scrolls sideways."""
        width: int = await self.page.evaluate("document.documentElement.scrollWidth")
        return width
