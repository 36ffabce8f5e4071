"""KIE over HTTP, against a gateway that answers as its pages say: what is paid, and what is waited for."""

from __future__ import annotations

import json
from typing import Any

import pytest

import happyhorse_async as hh

SUBMIT, QUERY = "/api/v1/jobs/createTask", "/api/v1/jobs/recordInfo"
KEY = "sk-canary-0451-never-to-be-seen"
TASK = "task_example_1"
REQUEST = hh.TextToVideo("a kite", resolution="720P", duration=3)
ACCEPTED = {"code": 200, "msg": "success", "data": {"taskId": TASK}}
RESULT = json.dumps({"resultUrls": ["https://files.example.net/v.mp4"]})
DONE = {"code": 200, "msg": "success", "data": {"taskId": TASK, "state": "success", "resultJson": RESULT}}
QUICK = hh.PollSchedule(interval=0.02, first_after=0.02, not_found_retries=2)
RETRIES = hh.RetryPolicies(submit=hh.RetryPolicy(max_retries=1, initial_interval=0.01, max_interval=0.02))


def state(word: str, **data: Any) -> dict[str, Any]:
    return {"code": 200, "msg": "success", "data": {"taskId": TASK, "state": word, **data}}


def refused(code: int, text: str = "no") -> dict[str, Any]:
    return {"code": code, "msg": text, "data": None}


def kie(gateway: Any) -> hh.Client:
    return hh.Client("kie", api_key=KEY, base_url=gateway.url, poll=QUICK, retries=RETRIES)


async def test_a_video_from_submit_to_success(gateway: Any) -> None:
    """One paid request; polls until `success`; a fault, a page of a CDN and an unknown word on the way end nothing."""
    gateway.on("POST", SUBMIT, ACCEPTED)
    cloudflare = gateway.reply(b"<title>Just a moment...</title>", status=403)
    gateway.on(
        "GET",
        QUERY,
        state("waiting"),
        refused(500),
        cloudflare,
        state("polishing"),
        gateway.reply(b"not JSON"),
        state("generating"),
        DONE,
    )
    async with kie(gateway) as client:
        task = await client.generate(REQUEST)

    assert task.video_url == "https://files.example.net/v.mp4"
    assert len(gateway.seen("POST")) == 1
    assert {seen.headers["authorization"] for seen in gateway.requests} == {f"Bearer {KEY}"}
    assert {seen.target for seen in gateway.seen("GET")} == {f"{QUERY}?taskId={TASK}"}


@pytest.mark.parametrize(
    "answer", [b"", refused(500), refused(501), refused(408), {"code": 200, "msg": "success"}, 500]
)
async def test_a_submit_whose_outcome_is_open_is_not_sent_again(gateway: Any, answer: Any) -> None:
    """Neither a lost answer nor one that may stand beside a task: there is no idempotency key."""
    gateway.on("POST", SUBMIT, answer)
    async with kie(gateway) as client:
        with pytest.raises(hh.SubmitOutcomeUnknownError) as caught:
            await client.submit(REQUEST)
        [job] = await client.pending()

    assert job.state is hh.JobState.OUTCOME_UNKNOWN
    assert caught.value.job_id == job.job_id
    assert len(gateway.seen("POST")) == 1


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (401, hh.AuthenticationError),
        (402, hh.QuotaExceededError),
        (404, hh.InvalidRequestError),
        (422, hh.InvalidRequestError),
        (433, hh.QuotaExceededError),
        (505, hh.PermissionDeniedError),
    ],
)
@pytest.mark.parametrize("status", [200, 422, 500])
async def test_a_refusal_is_final_and_nothing_is_paid(
    gateway: Any, code: int, error: type[hh.HappyHorseError], status: int
) -> None:
    """The code says so, whatever the HTTP status is."""
    gateway.on("POST", SUBMIT, gateway.reply(refused(code), status=status))
    async with kie(gateway) as client:
        with pytest.raises(error) as caught:
            await client.submit(REQUEST)
        assert await client.pending() == []

    assert caught.value.code == str(code)
    assert len(gateway.seen("POST")) == 1


@pytest.mark.parametrize("status", [200, 455, 503])
async def test_a_submit_during_maintenance_is_sent_again(gateway: Any, status: int) -> None:
    """Code 455 is a certain refusal that will pass."""
    gateway.on("POST", SUBMIT, gateway.reply(refused(455), status=status), ACCEPTED)
    async with kie(gateway) as client:
        handle = await client.submit(REQUEST)

    assert handle.id == TASK
    assert len(gateway.seen("POST")) == 2


async def test_a_failed_task_may_come_with_code_501(gateway: Any) -> None:
    """As in its callbacks: the state decides."""
    failed = {"code": 501, "msg": "Playground task failed.", "data": {"taskId": TASK, "state": "fail"}}
    failed["data"] |= {"failCode": "500", "failMsg": "Internal server error", "resultJson": None}  # type: ignore[operator]
    gateway.on("POST", SUBMIT, ACCEPTED)
    gateway.on("GET", QUERY, failed)
    async with kie(gateway) as client:
        with pytest.raises(hh.TaskFailedError, match="Internal server error") as caught:
            await client.generate(REQUEST)

    assert caught.value.task is not None
    assert caught.value.task.error is not None
    assert caught.value.task.error.reason is hh.FailureReason.PROVIDER_FAULT


async def test_a_task_that_stays_unknown_has_expired(gateway: Any) -> None:
    """Code 404 is polled again before it counts."""
    gateway.on("POST", SUBMIT, ACCEPTED)
    gateway.on("GET", QUERY, refused(404))
    async with kie(gateway) as client:
        with pytest.raises(hh.TaskExpiredError):
            await client.generate(REQUEST)
        with pytest.raises(hh.TaskNotFoundError):
            await client.fetch(f"kie:{TASK}")

    assert len(gateway.seen("GET")) >= 3


async def test_a_key_that_is_refused_while_polling_ends_the_wait(gateway: Any) -> None:
    """It will never heal; the task is not lost."""
    gateway.on("POST", SUBMIT, ACCEPTED)
    gateway.on("GET", QUERY, refused(401))
    async with kie(gateway) as client:
        with pytest.raises(hh.AuthenticationError) as caught:
            await client.generate(REQUEST)

    assert str(caught.value.ref) == f"kie:{TASK}"


async def test_what_has_no_call_is_unsupported(gateway: Any) -> None:
    """Neither list nor cancel is sent anywhere."""
    gateway.on("POST", SUBMIT, ACCEPTED)
    gateway.on("GET", QUERY, state("generating"))
    async with kie(gateway) as client:
        handle = await client.submit(REQUEST)
        with pytest.raises(hh.UnsupportedFeatureError, match="cancel"):
            await handle.cancel()
        with pytest.raises(hh.UnsupportedFeatureError, match="list"):
            await client.list_tasks()

    assert len(gateway.seen("POST")) == 1
