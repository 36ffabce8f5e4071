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

from ..browser import Visitor, chromium
from .conftest import Running, Serve

SCREENSHOTS = os.environ.get("HAPPYHORSE_SCREENSHOTS")
"""A folder for the pictures of README and documentation; by default none are taken."""
# Until the frame has been painted.
PAUSE = """video => new Promise(resolve => {
    video.pause();
    video.requestVideoFrameCallback(() => requestAnimationFrame(resolve));
    video.currentTime = 1;
})"""
TINY = {"width": 320, "height": 640}
WIDE = {"width": 1280, "height": 900}


@pytest.fixture
async def browser() -> AsyncIterator[Any]:
    async with chromium() as browser:
        yield browser


class StudioVisitor(Visitor):
    """A person at the page of the studio."""

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


@pytest.fixture
async def visitor(browser: Any, running: Running) -> AsyncIterator[StudioVisitor]:
    page = await browser.new_page(viewport=WIDE)
    visitor = StudioVisitor(page)
    await visitor.opened(running.studio.url)
    yield visitor
    assert visitor.complaints == []


async def until(condition: Callable[[], Awaitable[object]]) -> None:
    async with asyncio.timeout(30):
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


async def test_a_dropped_picture_becomes_a_video_that_plays(visitor: StudioVisitor) -> None:
    page = visitor.page
    if SCREENSHOTS:
        await visitor.submit("A cardboard train at night")
        await visitor.video("A cardboard train")
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
    await video.evaluate(PAUSE)
    assert await video.evaluate("video => [video.videoWidth, video.videoHeight]") == [1280, 720]
    await visitor.screenshot("studio-watch")


async def test_a_prompt_is_text_and_never_markup(visitor: StudioVisitor) -> None:
    await visitor.submit("<img src=x onerror=alert(1)><script>alert(2)</script>")

    await visitor.video("onerror=alert(1)")
    assert await visitor.page.locator(".job img, .job script").count() == 0


async def test_a_job_is_cancelled(visitor: StudioVisitor, running: Running) -> None:
    running.emulator.inject("too-fast", on="submit", times=None)
    await visitor.submit("never sent")

    await visitor.card("never sent").get_by_role("button", name="Cancel").click()

    await visitor.card("never sent").get_by_text("Withdrawn", exact=True).wait_for()


async def test_a_lost_answer_is_settled_from_the_page(visitor: StudioVisitor, running: Running) -> None:
    running.emulator.inject("reset-before-answer", on="submit")
    await visitor.submit("lost and found")

    await visitor.card("lost and found").get_by_role("button", name="Settle").click()
    await visitor.page.get_by_role("dialog").get_by_role("button", name="This is it").click()

    await visitor.video("lost and found")


async def test_a_reload_in_the_middle_and_a_restart_show_the_same_job(browser: Any, serve: Serve) -> None:
    visitor = StudioVisitor(await browser.new_page(viewport=WIDE))
    async with serve() as running:
        await visitor.opened(running.studio.url)
        await visitor.submit("survives")
        await visitor.page.reload()
        await visitor.card("survives").wait_for()
    async with serve() as running:
        await visitor.opened(running.studio.url)
        await visitor.video("survives")


async def test_an_emulator_that_goes_away_is_shown_and_comes_back(visitor: StudioVisitor, running: Running) -> None:
    running.emulator.scenario = hh.Scenario(run=(3600.0, 3600.0))
    await visitor.submit("patient")
    await visitor.card("patient").get_by_text("At the provider").wait_for()
    await running.emulator.__aexit__(None, None, None)
    try:
        await visitor.page.get_by_text("last request failed").wait_for(timeout=30_000)
        assert await visitor.card("patient").count() == 1
    finally:
        await running.emulator.__aenter__()


async def test_prompt_and_settings_are_used_again(visitor: StudioVisitor) -> None:
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


async def test_what_the_model_lacks_is_greyed_with_the_reason(visitor: StudioVisitor) -> None:
    page = visitor.page
    await page.select_option("[name=version]", "1.0")

    option = page.locator("[name=resolution] option[value='480P']")
    assert await option.is_disabled()
    assert "not at dashscope" in await option.inner_text()


async def test_the_name_of_a_file_is_text_and_never_markup(visitor: StudioVisitor) -> None:
    await visitor.page.get_by_label("A picture").check()
    await drop(visitor.page, "<b>hills</b>.png", picture())

    await visitor.page.locator(".previews").get_by_text("<b>hills</b>.png").wait_for()
    assert await visitor.page.locator(".previews b, .drop b").count() == 0


async def test_a_file_that_is_no_picture_is_refused_in_words(visitor: StudioVisitor) -> None:
    await visitor.page.get_by_label("A picture").check()
    await drop(visitor.page, "notes.png", b"#!/bin/sh")

    await visitor.page.locator(".drop").get_by_text("neither a picture nor a video").wait_for()
    visitor.complaints.clear()


async def test_the_keyboard_is_enough(visitor: StudioVisitor) -> None:
    page = visitor.page
    await page.get_by_label("Prompt").focus()
    await page.keyboard.type("by keyboard")
    await page.wait_for_selector("#plan-text p")
    await page.get_by_role("button", name="Make the video").focus()
    await page.keyboard.press("Enter")

    await visitor.card("by keyboard").wait_for()


async def test_everybody_can_use_it_at_any_width(visitor: StudioVisitor) -> None:
    page = visitor.page
    await visitor.submit("for everybody")
    await visitor.video("for everybody")

    for language, scheme in product(("en", "zh"), ("light", "dark")):
        await page.select_option("#language", language)
        await page.emulate_media(color_scheme=scheme)
        assert await visitor.findings() == [], f"{scheme}, {language}"
        for size in (TINY, {"width": 768, "height": 900}, WIDE):
            await page.set_viewport_size(size)
            width = await visitor.width()
            assert width <= size["width"], f"{language}: {width} pixels wide on a screen of {size['width']}"
    await page.set_viewport_size(TINY)
    assert await visitor.findings() == [], "on a narrow screen"
    await page.set_viewport_size(WIDE)
    await visitor.screenshot("studio-dark-zh")


async def test_a_form_that_is_not_complete_says_what_is_missing(visitor: StudioVisitor) -> None:
    """In words beside the form, and without an error on the console."""
    await visitor.page.get_by_label("Prompt").fill("no picture yet")
    await visitor.page.get_by_label("A picture").check()

    await visitor.page.locator("#plan-text .error").get_by_text("image").wait_for()


async def test_a_person_who_wants_no_motion_gets_none(browser: Any, running: Running) -> None:
    running.emulator.scenario = hh.Scenario(run=(3600.0, 3600.0))
    visitor = StudioVisitor(await browser.new_page(viewport=WIDE, reduced_motion="reduce"))
    await visitor.opened(running.studio.url)
    await visitor.submit("stands still")
    await visitor.card("stands still").locator(".screen").wait_for()

    animations = await visitor.page.evaluate("document.getAnimations().length")
    await visitor.page.emulate_media(reduced_motion="no-preference")
    assert (animations, await visitor.page.evaluate("document.getAnimations().length")) == (0, 1)
