"""The site that `nox -s docs` has built, in a real Chromium: at three widths, in light and dark."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from ..browser import Visitor, chromium, must_have

ROOT = Path(__file__).parents[2]
BUILT = ROOT / "docs" / "_build" / "html"
WIDTHS = (320, 768, 1440)
PAGES = (
    "index", "quickstart", "quickstart.zh-CN", "cli", "studio", "architecture", "benchmarks", "reference/client",
)  # fmt: skip


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """The site with the checkout, and with an older release that lacks a page."""
    must_have((BUILT / "dev" / "index.html").is_file(), "the site is not built: `nox -s docs` builds it")
    from .test_versions import versions

    shutil.copytree(BUILT / "dev", tmp_path / "dev", ignore=shutil.ignore_patterns("_modules"))
    shutil.copytree(
        BUILT / "dev", tmp_path / "0.0.9", ignore=shutil.ignore_patterns("_modules", "_images", "studio.html")
    )
    versions.assemble(tmp_path)
    return tmp_path


@pytest.fixture
async def url(site: Path) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_static("/", site)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


@pytest.fixture
async def browser() -> AsyncIterator[Any]:
    async with chromium() as browser:
        yield browser


@pytest.mark.timeout(300)
async def test_everybody_can_read_the_pages_at_any_width_in_light_and_dark(browser: Any, url: str) -> None:
    """No error on the console, nothing serious for axe-core, and no page that scrolls sideways."""
    visitor = Visitor(await browser.new_page())
    found: list[str] = []
    for page in PAGES:
        await visitor.page.goto(f"{url}/dev/{page}.html")
        for width, scheme in product(WIDTHS, ("light", "dark")):
            await visitor.page.set_viewport_size({"width": width, "height": 900})
            await visitor.page.emulate_media(color_scheme=scheme)
            where = f"{page}, {width} pixels, {scheme}"
            if (needed := await visitor.width()) > width:
                found.append(f"{where}: {needed} pixels wide")
            # What depends on the width shows on the narrow page, and what depends on the colours on both.
            if (width, scheme) in ((WIDTHS[0], "dark"), (WIDTHS[-1], "light")):
                found += [f"{where}: {finding}" for finding in await visitor.findings("serious", "critical")]

    assert found == []
    assert visitor.complaints == []


async def test_a_reader_finds_a_page_by_search(browser: Any, url: str) -> None:
    page = await browser.new_page()
    await page.goto(f"{url}/dev/index.html")
    await page.get_by_role("textbox", name="Search").fill("webhook")
    await page.keyboard.press("Enter")

    await page.locator("#search-results").get_by_role("link", name="Webhooks (callbacks)").first.click()

    assert page.url.partition("#")[0].partition("?")[0] == f"{url}/dev/callbacks.html"


async def test_a_reader_changes_the_version_and_stays_on_the_page_if_it_is_there(browser: Any, url: str) -> None:
    visitor = Visitor(await browser.new_page(viewport={"width": 1440, "height": 900}))
    page = visitor.page
    for start, end in (("reference/client", "reference/client"), ("studio", "index")):
        await page.goto(f"{url}/dev/{start}.html")
        await page.get_by_text("Version dev").click()
        link = page.get_by_role("link", name="0.0.9 (latest)")
        assert await link.evaluate("link => link.href") == f"{url}/0.0.9/{end}.html"
    visitor.complaints.clear()  # The older release is a copy without its pictures.


async def test_the_start_of_the_site_leads_to_the_newest_release(browser: Any, url: str) -> None:
    page = await browser.new_page()
    await page.goto(f"{url}/index.html")

    await page.wait_for_url(f"{url}/0.0.9/index.html")


async def test_a_code_block_is_copied_without_its_prompt(browser: Any, url: str) -> None:
    context = await browser.new_context(permissions=["clipboard-read", "clipboard-write"])
    page = await context.new_page()
    await page.goto(f"{url}/dev/studio.html")
    await page.locator("div.highlight", has_text="$ happyhorse studio").first.hover()
    await page.locator("div.highlight", has_text="$ happyhorse studio").first.get_by_role("button").click()

    assert await page.evaluate("navigator.clipboard.readText()") == "happyhorse studio"


async def test_a_plot_fits_the_theme(browser: Any, url: str) -> None:
    """On a dark page the white ground of a plot is dark."""
    page = await browser.new_page()
    await page.goto(f"{url}/dev/benchmarks.html")
    filters = {}
    for scheme in ("light", "dark"):
        await page.emulate_media(color_scheme=scheme)
        filters[scheme] = await page.locator("img.plot").first.evaluate("plot => getComputedStyle(plot).filter")

    assert filters["light"] == "none"
    assert filters["dark"].startswith("invert(1)")


async def test_a_chinese_page_says_that_it_is_chinese(browser: Any, url: str) -> None:
    """For the choice of glyphs, for hyphenation and for screen readers; and its lines are joined without spaces."""
    page = await browser.new_page()
    await page.goto(f"{url}/dev/quickstart.zh-CN.html")

    assert await page.evaluate("document.documentElement.lang") == "zh-Hans"
    assert (
        await page.evaluate(r"document.querySelector('article').innerText.match(/[\uff0c\u3002] [\u4e00-\u9fff]/)")
        is None
    )
