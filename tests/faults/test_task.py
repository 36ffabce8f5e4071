"""Faults of what is said of a task: it is read as far as it can be, and no paid video is given up for it."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import pytest

import happyhorse_async as hh

if TYPE_CHECKING:
    from conftest import Open

REQUEST = hh.TextToVideo("a train at night", resolution="720P", duration=3)
PROVIDERS = ("dashscope", "hiapi", "imini", "nexusflow")
LOOKS = ("query", "list")


@pytest.mark.fault(55)
@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_word_nobody_knows(
    emulator: hh.Emulator, opened: Open, provider: str, caplog: pytest.LogCaptureFixture
) -> None:
    """An unknown word is shown as it is, is no end, and is mentioned in the log once, however often it comes."""
    caplog.set_level(logging.WARNING, logger="happyhorse_async")
    emulator.inject("unknown-status", on="query", times=4)

    async with opened(provider) as client:
        handles = [await client.submit(REQUEST) for _ in range(2)]
        seen = [task async for task in handles[0].updates()]
        await handles[1]

    assert ("SIMMERING", hh.TaskStatus.UNKNOWN) in [(task.raw_status, task.status) for task in seen]
    assert hh.TaskStatus.SUCCEEDED is seen[-1].status
    assert 1 == caplog.text.count("SIMMERING")


@pytest.mark.fault(56)
@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_task_without_adornment(emulator: hh.Emulator, opened: Open, provider: str) -> None:
    """What could be left out of an answer is None, and the video is there."""
    emulator.inject("bare-task", on="query", times=None)

    async with opened(provider) as client:
        task = await client.generate(REQUEST)

    assert task.video_url
    assert (None, None) == (task.usage, task.finished_at)


@pytest.mark.fault(56)
@pytest.mark.parametrize("provider", PROVIDERS)
async def test_fields_nobody_knows(emulator: hh.Emulator, opened: Open, provider: str) -> None:
    """Fields that no page has are kept in the raw document, and change nothing."""
    emulator.inject("more-fields", on="query", times=None)

    async with opened(provider) as client:
        task = await client.generate(REQUEST)

    assert task.video_url
    assert "emulated_extra" in repr(task.raw)


@pytest.mark.fault(57)
@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("fault", ["loose-numbers", "text-numbers"])
async def test_numbers_in_other_words(emulator: hh.Emulator, opened: Open, provider: str, fault: str) -> None:
    """Whole numbers as floats and numbers as texts mean what they say."""
    async with opened(provider) as client:
        plain = await client.generate(REQUEST)
        emulator.inject(fault, on="query", times=None)
        odd = await client.fetch(plain.ref)

    assert (plain.usage, plain.created_at, plain.finished_at) == (odd.usage, odd.created_at, odd.finished_at)
    assert plain.video_url == odd.video_url


@pytest.mark.fault(58)
@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_task_that_vanishes(emulator: hh.Emulator, opened: Open, provider: str) -> None:
    """A task that is unknown five times in a row, over minutes, is expired; once it is known again it is resumed."""
    loop = asyncio.get_running_loop()
    gone = emulator.inject("vanished", on=LOOKS, times=None)

    async with opened(provider) as client:
        handle = await client.submit(REQUEST)
        await gone.until()
        began = loop.time()
        with pytest.raises(hh.TaskExpiredError):
            await handle
        lasted = loop.time() - began
        gone.remove()
        task = await client.resume(str(handle.ref))

    assert 5 == gone.played
    assert 60 <= lasted <= 900
    assert task.video_url


@pytest.mark.fault(59)
@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_state_that_goes_back(emulator: hh.Emulator, opened: Open, provider: str) -> None:
    """A task that ran and waits again is shown as it is reported, and goes on to its end."""
    emulator.inject("never-ending", on="query")
    emulator.inject("back-to-pending", on="query")

    async with opened(provider) as client:
        handle = await client.submit(REQUEST)
        seen = [task.status async for task in handle.updates()]

    expected = [hh.TaskStatus.RUNNING, hh.TaskStatus.PENDING, hh.TaskStatus.SUCCEEDED]
    assert expected == seen[-3:]


@pytest.mark.fault(59)
@pytest.mark.parametrize("provider", PROVIDERS)
async def test_an_end_stays_an_end(emulator: hh.Emulator, opened: Open, provider: str) -> None:
    """A task that has ended does not begin again for those who have its handle."""
    async with opened(provider) as client:
        handle = await client.submit(REQUEST)
        ended = await handle
        emulator.inject("back-to-pending", on="query")
        await client.fetch(ended.ref)

        assert ended == await handle


@pytest.mark.fault(60)
@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_task_that_never_ends(emulator: hh.Emulator, opened: Open, provider: str) -> None:
    """Who waits no longer than he wants leaves the task as it is: it is not cancelled, and its ref resumes it."""
    running = emulator.inject("never-ending", on=LOOKS, times=None)
    async with opened(provider) as client:
        handle = await client.submit(REQUEST)
        with pytest.raises(hh.WaitTimeoutError) as caught:
            await handle.wait(timeout=600)
    running.remove()

    async with opened(provider) as client:
        task = await client.resume(str(caught.value.ref))

    assert task.video_url
    assert (1, 0) == (emulator.calls("submit"), emulator.calls("cancel"))


@pytest.mark.fault(61)
@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("fault", ["no-video", "empty-url"])
async def test_a_success_without_a_video(emulator: hh.Emulator, opened: Open, provider: str, fault: str) -> None:
    """A success that brings no video is looked at three times more, and is then a failure that says so."""
    injection = emulator.inject(fault, on="query", times=None)

    async with opened(provider) as client:
        with pytest.raises(hh.TaskFailedError) as caught:
            await client.generate(REQUEST)

    assert hh.FailureReason.NO_OUTPUT is caught.value.reason
    assert caught.value.task.raw
    assert 4 == injection.played


@pytest.mark.fault(62)
@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_failure_without_words(emulator: hh.Emulator, opened: Open, provider: str) -> None:
    """A failure of which nothing is said is a failure, for no known reason, and the request is not sent again."""
    emulator.inject("failed-in-silence", on="query")

    async with opened(provider) as client:
        with pytest.raises(hh.TaskFailedError) as caught:
            await client.generate(REQUEST)

    assert hh.FailureReason.UNKNOWN is caught.value.reason
    assert 1 == emulator.calls("submit")


@pytest.mark.fault(62)
@pytest.mark.parametrize(
    ("provider", "code", "reason"),
    [
        ("dashscope", "DataInspectionFailed", hh.FailureReason.CONTENT_REJECTED),
        # There is no code for moderation.
        ("hiapi", "TASK_FAILED", hh.FailureReason.UNKNOWN),
        ("imini", "INVALID_PROMPT", hh.FailureReason.CONTENT_REJECTED),
        ("nexusflow", "DataInspectionFailed", hh.FailureReason.CONTENT_REJECTED),
    ],
)
async def test_a_failure_in_moderation(
    emulator: hh.Emulator, opened: Open, provider: str, code: str, reason: hh.FailureReason
) -> None:
    """A task that moderation stops keeps the provider's code, and the request is not sent again."""
    emulator.inject("moderated", on="query")

    async with opened(provider) as client:
        with pytest.raises(hh.TaskFailedError) as caught:
            await client.generate(REQUEST)

    assert caught.value.task.error is not None
    assert (code, reason) == (caught.value.task.error.code, caught.value.reason)
    assert 1 == emulator.calls("submit")


@pytest.mark.fault(63)
@pytest.mark.parametrize("provider", PROVIDERS)
async def test_an_answer_about_another_task(emulator: hh.Emulator, opened: Open, provider: str) -> None:
    """What is said of another task reaches nobody, and one look at it is an error."""
    emulator.inject("other-task", on=LOOKS, times=3)

    async with opened(provider) as client:
        handle = await client.submit(REQUEST)
        assert handle.ref is not None
        with pytest.raises(hh.InvalidResponseError):
            await client.fetch(handle.ref)
        seen = [task async for task in handle.updates()]

    assert {handle.ref} == {task.ref for task in seen}
    assert hh.TaskStatus.SUCCEEDED is seen[-1].status


@pytest.mark.fault(90)
@pytest.mark.parametrize("provider", ["dashscope", "nexusflow"])
async def test_a_bill_for_something_else(
    emulator: hh.Emulator, opened: Open, provider: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The task shows what the provider says it has billed, and one warning tells that it is not what was asked for."""
    caplog.set_level(logging.WARNING, logger="happyhorse_async")
    emulator.inject("other-bill", on="query", times=None)

    async with opened(provider) as client:
        task = await client.generate(REQUEST)
        await client.fetch(task.ref)

    assert task.usage is not None
    assert 15.0 == task.usage.duration
    (warning,) = [record for record in caplog.records if "the bill differs" in record.getMessage()]
    assert logging.WARNING == warning.levelno
    assert f"{task.ref}: the bill differs from the request: 15 s instead of 3 s" == warning.getMessage()


@pytest.mark.fault(90)
@pytest.mark.parametrize("provider", ["dashscope", "nexusflow"])
async def test_a_bill_as_it_should_be(
    emulator: hh.Emulator, opened: Open, provider: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Of a bill for what was asked for, nothing is said."""
    async with opened(provider) as client:
        task = await client.generate(REQUEST)

    assert task.usage is not None
    assert 3.0 == task.usage.duration
    assert "the bill differs" not in caplog.text
