"""The page in a real Chromium, as a person uses it: by mouse, keyboard and drop."""

from __future__ import annotations

import asyncio
import io
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageDraw

import happyhorse_async as hh

from .conftest import Running, Serve, chromium

playwright_api = pytest.importorskip("playwright.async_api", reason="playwright is not installed")
axe = pytest.importorskip("axe_playwright_python.async_playwright", reason="axe-playwright-python is not installed")

# No background connection of the browser's own: they would be refused here, and delay its start.
ARGUMENTS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
SCREENSHOTS = os.environ.get("HAPPYHORSE_SCREENSHOTS")
"""A folder for the pictures of README and documentation; by default none are taken."""
TINY = {"width": 320, "height": 640}
WIDE = {"width": 1280, "height": 900}


@pytest.fixture
async def browser() -> AsyncIterator[Any]:
    path = chromium()
    async with playwright_api.async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        try:
            yield browser
        finally:
            await browser.close()


class Visitor:
    """A person at the page. What the page says on its console is an error."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.complaints: list[str] = []
        page.on("console", lambda message: self.complaints.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))

    async def opened(self, url: str) -> None:
        await self.page.goto(url)
        await self.page.wait_for_selector("#accounts:not(:empty)")

    async def submit(self, prompt: str) -> None:
        await self.page.get_by_label("Prompt").fill(prompt)
        await self.page.wait_for_selector("#plan-text p")
        await self.page.get_by_role("button", name="Make the video").click()

    def card(self, prompt: str) -> Any:
        return self.page.locator(".job", has_text=prompt)

    async def video(self, prompt: str) -> Any:
        video = self.card(prompt).locator("video")
        await video.wait_for(timeout=30_000)
        return video

    async def screenshot(self, name: str) -> None:
        if SCREENSHOTS:
            await self.page.evaluate("scrollTo(0, 0)")
            await self.page.screenshot(path=Path(SCREENSHOTS) / f"{name}.png")

    async def findings(self) -> list[str]:
        results = await axe.Axe().run(self.page)
        return [f"{found['id']}: {found['help']}" for found in results.response["violations"]]


@pytest.fixture
async def visitor(browser: Any, running: Running) -> AsyncIterator[Visitor]:
    page = await browser.new_page(viewport=WIDE)
    visitor = Visitor(page)
    await visitor.opened(running.studio.url)
    yield visitor
    assert visitor.complaints == []


async def until(condition: Callable[[], Awaitable[object]]) -> None:
    async with asyncio.timeout(150):
        while not await condition():
            await asyncio.sleep(0.05)


def picture() -> bytes:
    image = Image.new("RGB", (1280, 720), "midnightblue")
    draw = ImageDraw.Draw(image)
    draw.ellipse((840, 90, 1040, 290), fill="khaki")
    draw.polygon([(0, 720), (430, 330), (760, 600), (960, 430), (1280, 720)], fill="seagreen")
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


async def drop(page: Any, name: str, content: bytes) -> None:
    """Drop a file on the field for media, as the browser tells the page of it."""
    data = await page.evaluate_handle(
        """([name, bytes]) => {
            const data = new DataTransfer();
            data.items.add(new File([new Uint8Array(bytes)], name, { type: "image/png" }));
            return data;
        }""",
        [name, list(content)],
    )
    await page.dispatch_event(".drop", "drop", {"dataTransfer": data})


async def test_a_dropped_picture_becomes_a_video_that_plays(visitor: Visitor) -> None:
    page = visitor.page
    await page.get_by_label("A picture").check()
    await drop(page, "hills.png", picture())
    await page.wait_for_selector(".previews img")
    await page.select_option("[name=resolution]", "720P")
    await page.get_by_label("Prompt").fill("The moon rises over the hills")
    await page.get_by_text("image: sent inside the request").wait_for()
    await visitor.screenshot("studio-make")

    await page.get_by_role("button", name="Make the video").click()
    video = await visitor.video("The moon rises")
    await video.evaluate("video => { video.muted = true; return video.play(); }")

    await until(lambda: video.evaluate("video => video.currentTime > 0.5"))
    await video.evaluate("video => video.pause()")
    assert await video.evaluate("video => [video.videoWidth, video.videoHeight]") == [1280, 720]
    await visitor.screenshot("studio-watch")


async def test_a_prompt_is_text_and_never_markup(visitor: Visitor) -> None:
    await visitor.submit("<img src=x onerror=alert(1)><script>alert(2)</script>")

    await visitor.video("onerror=alert(1)")
    assert await visitor.page.locator(".job img, .job script").count() == 0


async def test_a_job_is_cancelled(visitor: Visitor, running: Running) -> None:
    running.emulator.inject("too-fast", on="submit", times=None)
    await visitor.submit("never sent")

    await visitor.card("never sent").get_by_role("button", name="Cancel").click()

    await visitor.card("never sent").get_by_text("Withdrawn", exact=True).wait_for()


async def test_a_lost_answer_is_settled_from_the_page(visitor: Visitor, running: Running) -> None:
    running.emulator.inject("reset-before-answer", on="submit")
    await visitor.submit("lost and found")

    await visitor.card("lost and found").get_by_role("button", name="Settle").click()
    await visitor.page.get_by_role("dialog").get_by_role("button", name="This is it").click()

    await visitor.video("lost and found")


async def test_a_reload_in_the_middle_and_a_restart_show_the_same_job(browser: Any, serve: Serve) -> None:
    visitor = Visitor(await browser.new_page(viewport=WIDE))
    async with serve() as running:
        await visitor.opened(running.studio.url)
        await visitor.submit("survives")
        await visitor.page.reload()
        await visitor.card("survives").wait_for()
    async with serve() as running:
        await visitor.opened(running.studio.url)
        await visitor.video("survives")


async def test_an_emulator_that_goes_away_is_shown_and_comes_back(visitor: Visitor, running: Running) -> None:
    running.emulator.scenario = hh.Scenario(run=(3600.0, 3600.0))
    await visitor.submit("patient")
    await visitor.card("patient").get_by_text("At the provider").wait_for()
    await running.emulator.__aexit__(None, None, None)
    try:
        await visitor.page.get_by_text("last request failed").wait_for(timeout=30_000)
        assert await visitor.card("patient").count() == 1
    finally:
        await running.emulator.__aenter__()


async def test_prompt_and_settings_are_used_again(visitor: Visitor) -> None:
    page = visitor.page
    await page.select_option("[name=resolution]", "480P")
    await page.fill("[name=seed]", "7")
    await visitor.submit("once more")
    await visitor.video("once more")
    await page.reload()

    await visitor.card("once more").get_by_role("button", name="Use again").click()

    await until(lambda: page.evaluate("document.querySelector('[name=prompt]').value === 'once more'"))
    fields = await page.evaluate("['resolution', 'seed'].map(name => document.querySelector(`[name=${name}]`).value)")
    assert fields == ["480P", "7"]


async def test_what_the_model_lacks_is_greyed_with_the_reason(visitor: Visitor) -> None:
    page = visitor.page
    await page.select_option("[name=version]", "1.0")

    option = page.locator("[name=resolution] option[value='480P']")
    assert await option.is_disabled()
    assert "not at dashscope" in await option.inner_text()


async def test_the_name_of_a_file_is_text_and_never_markup(visitor: Visitor) -> None:
    await visitor.page.get_by_label("A picture").check()
    await drop(visitor.page, "<b>hills</b>.png", picture())

    await visitor.page.locator(".previews").get_by_text("<b>hills</b>.png").wait_for()
    assert await visitor.page.locator(".previews b, .drop b").count() == 0


async def test_a_file_that_is_no_picture_is_refused_in_words(visitor: Visitor) -> None:
    await visitor.page.get_by_label("A picture").check()
    await drop(visitor.page, "notes.png", b"#!/bin/sh")

    await visitor.page.locator(".drop").get_by_text("neither a picture nor a video").wait_for()
    visitor.complaints.clear()


async def test_the_keyboard_is_enough(visitor: Visitor) -> None:
    page = visitor.page
    await page.get_by_label("Prompt").focus()
    await page.keyboard.type("by keyboard")
    await page.wait_for_selector("#plan-text p")
    await page.get_by_role("button", name="Make the video").focus()
    await page.keyboard.press("Enter")

    await visitor.card("by keyboard").wait_for()


async def test_everybody_can_use_it_at_any_width(visitor: Visitor) -> None:
    page = visitor.page
    await visitor.submit("for everybody")
    await visitor.video("for everybody")

    for language, scheme in product(("en", "zh"), ("light", "dark")):
        await page.select_option("#language", language)
        await page.emulate_media(color_scheme=scheme)
        assert await visitor.findings() == [], f"{scheme}, {language}"
        for size in (TINY, {"width": 768, "height": 900}, WIDE):
            await page.set_viewport_size(size)
            width = await page.evaluate("document.documentElement.scrollWidth")
            assert width <= size["width"], f"{language}: {width} pixels wide on a screen of {size['width']}"
    await page.set_viewport_size(TINY)
    assert await visitor.findings() == [], "on a narrow screen"
    await page.set_viewport_size(WIDE)
    await visitor.screenshot("studio-dark-zh")
