"""Faults of the task in a response: it is read as far as possible, and no paid video is given up."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import pytest

import happyhorse_async as hh
from happyhorse_async.registry import adapter_names

if TYPE_CHECKING:
    from conftest import Open

REQUEST = hh.TextToVideo("a train at night", resolution="720P", duration=3)
PROVIDERS = adapter_names()
POLLS = ("query", "list")


@pytest.mark.fault(55)
@pytest.mark.parametrize("provider", PROVIDERS)
async def test_an_unknown_status_is_shown_and_logged_once(
    emulator: hh.Emulator, opened: Open, provider: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It does not end the task, and is logged once, however often it comes."""
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
async def test_optional_fields_may_be_missing(emulator: hh.Emulator, opened: Open, provider: str) -> None:
    """They are None, and the video is there."""
    emulator.inject("bare-task", on="query", times=None)

    async with opened(provider) as client:
        task = await client.generate(REQUEST)

    assert task.video_url
    assert (None, None) == (task.usage, task.finished_at)


@pytest.mark.fault(56)
@pytest.mark.parametrize("provider", PROVIDERS)
async def test_undocumented_fields_are_kept_in_raw(emulator: hh.Emulator, opened: Open, provider: str) -> None:
    """They change nothing else."""
    emulator.inject("more-fields", on="query", times=None)

    async with opened(provider) as client:
        task = await client.generate(REQUEST)

    assert task.video_url
    assert "emulated_extra" in repr(task.raw)


@pytest.mark.fault(57)
@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("fault", ["loose-numbers", "text-numbers"])
async def test_numbers_of_another_type_are_read(emulator: hh.Emulator, opened: Open, provider: str, fault: str) -> None:
    """Integers as floats and numbers as text give the same task."""
    async with opened(provider) as client:
        plain = await client.generate(REQUEST)
        emulator.inject(fault, on="query", times=None)
        odd = await client.fetch(plain.ref)

    assert (plain.usage, plain.created_at, plain.finished_at) == (odd.usage, odd.created_at, odd.finished_at)
    assert plain.video_url == odd.video_url


@pytest.mark.fault(58)
@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_task_that_is_unknown_five_times_has_expired(
    emulator: hh.Emulator, opened: Open, provider: str
) -> None:
    """The polls are spread over minutes; once the task is known again it can be resumed."""
    loop = asyncio.get_running_loop()
    gone = emulator.inject("vanished", on=POLLS, times=None)

    async with opened(provider) as client:
        handle = await client.submit(REQUEST)
        await gone.until()
        began = loop.time()
        with pytest.raises(hh.TaskExpiredError):
            await handle
        lasted = loop.time() - began
        gone.remove()
        task = await client.resume(str(handle.ref))

    assert 5 == gone.applied
    assert 60 <= lasted <= 900
    assert task.video_url


@pytest.mark.fault(59)
@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_status_that_goes_back_is_reported_as_it_is(emulator: hh.Emulator, opened: Open, provider: str) -> None:
    """A task that ran and is pending again goes on to its end."""
    emulator.inject("never-ending", on="query")
    emulator.inject("back-to-pending", on="query")

    async with opened(provider) as client:
        handle = await client.submit(REQUEST)
        seen = [task.status async for task in handle.updates()]

    expected = [hh.TaskStatus.RUNNING, hh.TaskStatus.PENDING, hh.TaskStatus.SUCCEEDED]
    assert expected == seen[-3:]


@pytest.mark.fault(59)
@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_final_status_stays_final_for_a_handle(emulator: hh.Emulator, opened: Open, provider: str) -> None:
    """A later status does not replace it."""
    async with opened(provider) as client:
        handle = await client.submit(REQUEST)
        ended = await handle
        emulator.inject("back-to-pending", on="query")
        await client.fetch(ended.ref)

        assert ended == await handle


@pytest.mark.fault(60)
@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_wait_that_times_out_does_not_cancel_the_task(
    emulator: hh.Emulator, opened: Open, provider: str
) -> None:
    """The ref of the error resumes the task."""
    running = emulator.inject("never-ending", on=POLLS, times=None)
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
async def test_a_success_without_a_video_becomes_no_output(
    emulator: hh.Emulator, opened: Open, provider: str, fault: str
) -> None:
    """It is polled three times more before it is a failure."""
    injection = emulator.inject(fault, on="query", times=None)

    async with opened(provider) as client:
        with pytest.raises(hh.TaskFailedError) as caught:
            await client.generate(REQUEST)

    assert hh.FailureReason.NO_OUTPUT is caught.value.reason
    assert caught.value.task.raw
    assert 4 == injection.applied


@pytest.mark.fault(102)
@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("fault", ["cover-only", "audio-only"])
async def test_a_cover_or_audio_is_not_the_video(
    emulator: hh.Emulator, opened: Open, provider: str, fault: str
) -> None:
    """A success that delivers only these is a failure without output."""
    emulator.inject(fault, on=POLLS, times=None)

    async with opened(provider) as client:
        with pytest.raises(hh.TaskFailedError) as caught:
            await client.generate(REQUEST)

    assert hh.FailureReason.NO_OUTPUT is caught.value.reason
    assert () == caught.value.task.videos


@pytest.mark.fault(100)
@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("fault", ["url-in-list", "url-in-object", "url-in-other-case", "url-as-text"])
async def test_a_result_of_another_shape_is_read(
    emulator: hh.Emulator, opened: Open, provider: str, fault: str
) -> None:
    """The URL is found in a list, in an object and as text, whatever the provider documents."""
    async with opened(provider) as client:
        plain = await client.generate(REQUEST)
        emulator.inject(fault, on=POLLS, times=None)
        task = await client.fetch(plain.ref)

    assert hh.TaskStatus.SUCCEEDED is task.status
    assert plain.video_url == task.video_url


@pytest.mark.fault(101)
@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("word", ["completed", "success", "finished"])
async def test_another_word_for_success_with_a_video_is_a_success(
    emulator: hh.Emulator, opened: Open, provider: str, word: str
) -> None:
    """The word is kept in `raw_status`."""
    emulator.inject(f"status-{word}", on=POLLS, times=None)

    async with opened(provider) as client:
        task = await client.generate(REQUEST, timeout=600)

    assert (hh.TaskStatus.SUCCEEDED, word) == (task.status, task.raw_status)
    assert task.video_url


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize(
    "fault",
    [
        pytest.param("gzip", marks=pytest.mark.fault(98)),
        pytest.param("deflate", marks=pytest.mark.fault(98)),
        pytest.param("zlib-unlabelled", marks=pytest.mark.fault(98)),
        pytest.param("coding-utf-8", marks=pytest.mark.fault(98)),
        pytest.param("partial-content", marks=pytest.mark.fault(99)),
    ],
)
async def test_an_unusual_response_that_can_be_read_is_read(
    emulator: hh.Emulator, opened: Open, provider: str, fault: str
) -> None:
    """Compression that was not asked for, a label that names none, and a 206 do not matter."""
    emulator.inject(fault, on=POLLS, times=None)

    async with opened(provider) as client:
        task = await client.generate(REQUEST, timeout=600)

    assert task.video_url


@pytest.mark.fault(62)
@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_failure_without_code_has_an_unknown_reason(emulator: hh.Emulator, opened: Open, provider: str) -> None:
    """The request is not sent again."""
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
        # HiAPI has no code for moderation.
        ("hiapi", "TASK_FAILED", hh.FailureReason.UNKNOWN),
        ("imini", "INVALID_PROMPT", hh.FailureReason.CONTENT_REJECTED),
        ("nexusflow", "DataInspectionFailed", hh.FailureReason.CONTENT_REJECTED),
    ],
)
async def test_a_failure_in_moderation_keeps_the_code(
    emulator: hh.Emulator, opened: Open, provider: str, code: str, reason: hh.FailureReason
) -> None:
    """The error has the provider's code, and the request is not sent again."""
    emulator.inject("moderated", on="query")

    async with opened(provider) as client:
        with pytest.raises(hh.TaskFailedError) as caught:
            await client.generate(REQUEST)

    assert caught.value.task.error is not None
    assert (code, reason) == (caught.value.task.error.code, caught.value.reason)
    assert 1 == emulator.calls("submit")


@pytest.mark.fault(63)
@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_response_about_another_task_reaches_no_waiter(
    emulator: hh.Emulator, opened: Open, provider: str
) -> None:
    """A fetch that gets one raises an error."""
    emulator.inject("other-task", on=POLLS, times=3)

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
async def test_a_bill_for_another_length_is_logged_as_a_warning(
    emulator: hh.Emulator, opened: Open, provider: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The task shows what the provider has billed."""
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
async def test_a_bill_for_the_requested_length_is_not_logged(
    emulator: hh.Emulator, opened: Open, provider: str, caplog: pytest.LogCaptureFixture
) -> None:
    """There is no warning without a difference."""
    async with opened(provider) as client:
        task = await client.generate(REQUEST)

    assert task.usage is not None
    assert 3.0 == task.usage.duration
    assert "the bill differs" not in caplog.text
