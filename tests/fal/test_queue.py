"""Submit, status, result and cancellation over real HTTP: https://docs.fal.ai/documentation/model-apis/inference/queue."""

from __future__ import annotations

import json
from typing import Any

import pytest

import happyhorse_async as hh

from .conftest import ID, PATH, T2V, VIDEO

REQUEST = hh.TextToVideo("a paper kite over dunes", resolution="720P", ratio="21:9", duration=4, seed=7)


async def test_a_video_takes_a_status_and_a_result(fal: Any) -> None:
    """The body is the model's input, the word before the key is `Key`, and a finished task costs two GETs."""
    fal.accept()
    fal.show("IN_QUEUE", "IN_PROGRESS", "COMPLETED")
    fal.deliver(VIDEO)
    async with fal.open() as client:
        task = await client.generate(REQUEST)

    (submit,) = fal.gateway.seen("POST")
    assert T2V == submit.target
    assert submit.headers["authorization"].startswith("Key sk-")
    assert {
        "prompt": "a paper kite over dunes",
        "resolution": "720p",
        "aspect_ratio": "21:9",
        "duration": 4,
        "seed": 7,
    } == json.loads(submit.body)
    assert (f"fal:{ID}", "https://files.example.net/b/x/y.mp4") == (str(task.ref), task.video_url)
    assert (1280, 720, 4.0) == (task.videos[0].width, task.videos[0].height, task.videos[0].duration)
    assert (3, 1) == (len(fal.gateway.seen("GET", f"{PATH}/status")), len(fal.gateway.seen("GET", PATH)))
    assert VIDEO == task.raw


async def test_the_result_is_where_the_status_says(fal: Any) -> None:
    """But only at the host of the queue: the key goes there."""
    fal.accept()
    elsewhere = f"{fal.url}/alibaba/happy-horse/other/{ID}"
    fal.show({"status": "COMPLETED", "response_url": elsewhere})
    fal.gateway.on("GET", f"/alibaba/happy-horse/other/{ID}", VIDEO)
    async with fal.open() as client:
        assert (await client.generate(REQUEST)).video_url

    fal.show({"status": "COMPLETED", "response_url": f"https://forged.example/{ID}"})
    fal.deliver(VIDEO)
    async with fal.open() as client:
        assert (await client.fetch(f"fal:{ID}")).video_url


@pytest.mark.parametrize("status", [408, 500, 502, 503, 504])
async def test_a_submit_without_a_clear_answer_is_not_repeated(fal: Any, status: int) -> None:
    """Both official clients repeat it. There is no idempotency key, so that it might be paid twice."""
    fal.accept(fal.fail(status, {"detail": "Request timed out", "error_type": "runner_connection_timeout"}))
    async with fal.open() as client:
        with pytest.raises(hh.SubmitOutcomeUnknownError):
            await client.generate(REQUEST)

    assert 1 == len(fal.gateway.seen("POST"))


async def test_a_submit_that_was_refused_for_its_rate_is_sent_again(fal: Any) -> None:
    """A 429 comes before anything is taken."""
    accepted = {"status": "IN_QUEUE", "request_id": ID}
    fal.accept(fal.fail(429, {"detail": "Too many requests"}), accepted)
    fal.show("COMPLETED")
    fal.deliver(VIDEO)
    async with fal.open() as client:
        await client.generate(REQUEST)

    assert 2 == len(fal.gateway.seen("POST"))


RUNS: dict[str, tuple[int, Any, hh.FailureReason]] = {
    "moderation": (
        422,
        {"detail": [{"loc": ["body", "prompt"], "msg": "Not allowed", "type": "content_policy_violation", "url": "u"}]},
        hh.FailureReason.CONTENT_REJECTED,
    ),
    "a small image": (
        422,
        {"detail": [{"loc": ["body", "image_url"], "msg": "Too small", "type": "image_too_small", "url": "u"}]},
        hh.FailureReason.INVALID_REQUEST,
    ),
    "a runner": (500, {"detail": "Broken", "error_type": "runner_server_error"}, hh.FailureReason.PROVIDER_FAULT),
    "a timeout": (504, {"detail": "Request timed out", "error_type": "request_timeout"}, hh.FailureReason.TIMEOUT),
}


@pytest.mark.parametrize("run", RUNS.values(), ids=RUNS)
async def test_a_failed_run_is_told_by_the_answer_to_the_request_for_its_result(fal: Any, run: Any) -> None:
    """The HTTP status there is that of the run, and it is the end."""
    status, body, reason = run
    fal.accept()
    fal.show("COMPLETED")
    fal.deliver(fal.fail(status, body))
    async with fal.open() as client:
        with pytest.raises(hh.TaskFailedError) as caught:
            await client.generate(REQUEST)

    assert reason is caught.value.reason
    assert 1 == len(fal.gateway.seen("GET", PATH))


async def test_a_failed_run_may_be_told_by_the_status(fal: Any) -> None:
    """Then nothing else is requested."""
    fal.accept()
    fal.show({"status": "COMPLETED", "error": "Request timed out", "error_type": "request_timeout", "metrics": {}})
    async with fal.open() as client:
        with pytest.raises(hh.TaskFailedError, match="Request timed out") as caught:
            await client.generate(REQUEST)

    assert hh.FailureReason.TIMEOUT is caught.value.reason


@pytest.mark.parametrize("result", [{"seed": 7}, {"video": None, "seed": 7}, {"video": {}}, {}])
async def test_a_result_without_a_video_is_no_output(fal: Any, result: Any) -> None:
    """It is polled a few times more, in case the URL comes late."""
    fal.accept()
    fal.show("COMPLETED")
    fal.deliver(result)
    async with fal.open() as client:
        with pytest.raises(hh.TaskFailedError) as caught:
            await client.generate(REQUEST)

    assert hh.FailureReason.NO_OUTPUT is caught.value.reason


@pytest.mark.parametrize(
    "answer",
    [
        (502, b"<html>Bad gateway</html>"),
        (503, b""),
        (400, {"detail": "Request is still in progress"}),
        (202, {"status": "IN_PROGRESS"}),
        (429, {"detail": "Too many requests"}),
    ],
    ids=str,
)
async def test_what_says_nothing_of_the_run_does_not_end_it(fal: Any, answer: tuple[int, Any]) -> None:
    """An outer proxy, a result that is requested too early, and a refused call are polled again."""
    fal.accept()
    fal.show("COMPLETED")
    fal.deliver(fal.fail(*answer), VIDEO)
    async with fal.open() as client:
        assert (await client.generate(REQUEST)).video_url


async def test_a_result_with_another_code_of_success_is_read(fal: Any) -> None:
    """What the body says counts: a 202 with a video in it is the result."""
    fal.accept()
    fal.show("COMPLETED")
    fal.deliver(fal.fail(202, {"video": {"url": "https://files.example/v.mp4"}}))
    async with fal.open() as client:
        assert "https://files.example/v.mp4" == (await client.generate(REQUEST)).video_url


async def test_a_result_that_is_gone_expires_in_the_end(fal: Any) -> None:
    """A 404 that is about the id is repeated before it counts."""
    fal.accept()
    fal.show("COMPLETED")
    fal.deliver(fal.fail(404, {"detail": "Request not found"}))
    async with fal.open() as client:
        with pytest.raises(hh.TaskExpiredError):
            await client.generate(REQUEST)

    assert 5 == len(fal.gateway.seen("GET", PATH))


LOCKED = {"detail": "User is locked. Reason: Exhausted balance. Top up your balance at fal.ai/dashboard/billing."}


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (401, {"detail": "No user found for Key ID and Secret"}, hh.AuthenticationError),
        (403, LOCKED, hh.QuotaExceededError),
        (403, {"detail": "User is locked. Reason: TOP_UP."}, hh.QuotaExceededError),
        (403, {"detail": "User is locked. Reason: Admin lock."}, hh.PermissionDeniedError),
        (403, {"detail": "The key has no permission"}, hh.PermissionDeniedError),
        (404, {"detail": "Application 'alibaba/x' not found"}, hh.InvalidRequestError),
        (422, {"detail": [{"loc": ["body", "duration"], "msg": "m", "type": "missing"}]}, hh.InvalidRequestError),
        (422, {"detail": "Bad input"}, hh.InvalidRequestError),
        (422, {"detail": [{"msg": "m", "type": "content_policy_violation"}]}, hh.ContentRejectedError),
        (400, {"detail": "Bad header", "error_type": "bad_request"}, hh.InvalidRequestError),
        (409, {"detail": "Conflict"}, hh.InvalidRequestError),
    ],
)
async def test_a_refused_submit(fal: Any, status: int, body: Any, error: type[hh.HappyHorseError]) -> None:
    """Each refusal is the error that says what it means, and is not repeated."""
    fal.accept(fal.fail(status, body))
    async with fal.open() as client:
        with pytest.raises(error) as caught:
            await client.generate(REQUEST)

    assert error is type(caught.value)
    assert 1 == len(fal.gateway.seen("POST"))


CANCELS: dict[str, tuple[Any, Any]] = {
    "still queued": ("IN_QUEUE", (202, {"status": "CANCELLATION_REQUESTED"})),
    "running": ("IN_PROGRESS", (202, {"status": "CANCELLATION_REQUESTED"})),
    "taken with OK": ("IN_QUEUE", (200, {"status": "OK"})),
}


@pytest.mark.parametrize("case", CANCELS.values(), ids=CANCELS)
async def test_a_cancellation_is_a_wish(fal: Any, case: Any) -> None:
    """What the task shows afterwards counts: a run may ignore the signal, and is paid then."""
    shown, answer = case
    fal.show(shown, "COMPLETED")
    fal.deliver(VIDEO)
    fal.gateway.on("PUT", f"{PATH}/cancel", fal.fail(*answer))
    async with fal.open() as client:
        handle = client.resume(f"fal:{ID}")
        task = await handle.cancel()
        assert task is not None
        assert not task.status.is_terminal
        assert (await handle).video_url

    (sent,) = fal.gateway.seen("PUT")
    assert b"" == sent.body


@pytest.mark.parametrize(
    "gone",
    [
        (200, {"status": "COMPLETED", "error": "Request was cancelled", "error_type": "client_cancelled"}),
        (499, {"detail": "Request was cancelled", "error_type": "client_cancelled"}),
        (499, {"detail": "Request was cancelled"}),
        (404, {"detail": "Request not found"}),
        (410, {"detail": "Gone"}),
    ],
    ids=str,
)
async def test_what_is_left_of_a_cancelled_request(fal: Any, gone: tuple[int, Any]) -> None:
    """Its status says so, or its id is gone."""
    fal.show(fal.fail(*gone))
    fal.gateway.on("PUT", f"{PATH}/cancel", fal.fail(202, {"status": "CANCELLATION_REQUESTED"}))
    async with fal.open() as client:
        handle = client.resume(f"fal:{ID}")
        task = await handle.cancel()
        assert task is not None
        assert hh.TaskStatus.CANCELED is task.status
        with pytest.raises(hh.TaskCanceledError):
            await handle


async def test_a_cancellation_that_comes_too_late(fal: Any) -> None:
    """ALREADY_COMPLETED with 400 is no error: the task is shown as it is."""
    fal.show("COMPLETED")
    fal.deliver(VIDEO)
    fal.gateway.on("PUT", f"{PATH}/cancel", fal.fail(400, {"status": "ALREADY_COMPLETED"}))
    async with fal.open() as client:
        task = await client.cancel(f"fal:{ID}")

    assert task is not None
    assert hh.TaskStatus.SUCCEEDED is task.status


async def test_a_cancellation_of_an_unknown_request(fal: Any) -> None:
    """NOT_FOUND with 404 is a TaskNotFoundError."""
    fal.gateway.on("PUT", f"{PATH}/cancel", fal.fail(404, {"status": "NOT_FOUND"}))
    async with fal.open() as client:
        with pytest.raises(hh.TaskNotFoundError):
            await client.cancel(f"fal:{ID}")
