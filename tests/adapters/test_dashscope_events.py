"""What EventBridge delivers for DashScope. https://help.aliyun.com/zh/model-studio/async-task-api"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

import happyhorse_async as hh
from happyhorse_adapters.dashscope import DashScopeAdapter

ADAPTER = DashScopeAdapter()
ACCOUNT = ADAPTER.account(provider="main", api_key="sk-any")
DATA = {
    "task_id": "0385dc79-5ff8",
    "task_status": "SUCCEEDED",
    "request_id": "r-1",
    "region": "ap-southeast-1",
    "start_time": "2026-06-01 10:00:00",
    "end_time": "2026-06-01 10:01:00",
    "user_api_unique_key": "apikey:v1:aigc:video-generation:video-synthesis:happyhorse-1.1-t2v",
    "contain_result": False,
}
EVENT = {
    "id": "e-1",
    "source": "acs.dashscope",
    "specversion": "1.0",
    "type": "dashscope:System:AsyncTaskFinish",
    "time": "2026-06-01T02:01:00Z",
    "datacontenttype": "application/json",
    "data": DATA,
}


TOKEN = "the-token-of-the-rule"


def call(event: Any, kind: str = "application/json", token: str = TOKEN) -> hh.HttpRequest:
    """Make a call as EventBridge sends it."""
    headers = {"content-type": kind, "x-eventbridge-signature-token": token}
    return hh.HttpRequest(method="POST", url="", headers=headers, body=json.dumps(event).encode())


def test_the_token_of_the_rule() -> None:
    """A call that carries the token of the rule, or the one before it, is EventBridge's."""
    for tokens in ([TOKEN], ["a new one", TOKEN]):
        ADAPTER.verify_callback(call(EVENT), tokens, datetime.now(UTC))


@pytest.mark.fault(49)
@pytest.mark.parametrize("token", ["", "the-token-of-the-rulf", TOKEN[:-1], f"{TOKEN}, {TOKEN}", "\xe9", "\udcff"])
def test_another_token(token: str) -> None:
    """A call without the token, or with another one, is refused, and the token is not shown."""
    with pytest.raises(hh.CallbackRejectedError) as raised:
        ADAPTER.verify_callback(call(EVENT, token=token), [TOKEN], datetime.now(UTC))

    assert (401, False) == (raised.value.http_status, TOKEN in str(raised.value))


@pytest.mark.parametrize("kind", ["application/json", "application/cloudevents+json; charset=utf-8"])
def test_an_event_names_its_task(kind: str) -> None:
    """The end of a task is told by its id alone, since nothing proves the rest."""

    assert hh.TaskRef("main", "0385dc79-5ff8") == ADAPTER.decode_callback(call(EVENT, kind), ACCOUNT)


def test_a_result_in_an_event_is_not_believed() -> None:
    """An event that carries the result is a reason to look as well."""
    result = {"output": {"task_id": "0385dc79-5ff8", "task_status": "SUCCEEDED", "video_url": "https://evil.example/v"}}
    event = {**EVENT, "data": {**DATA, "contain_result": True, "output_result": result}}

    assert hh.TaskRef("main", "0385dc79-5ff8") == ADAPTER.decode_callback(call(event), ACCOUNT)


@pytest.mark.parametrize(
    "event",
    [
        {},
        [],
        DATA,
        {**EVENT, "source": "acs.oss"},
        {**EVENT, "type": "dashscope:System:SomethingElse"},
        {**EVENT, "data": None},
        {**EVENT, "data": {}},
        {**EVENT, "data": {"task_id": " "}},
        {**EVENT, "data": {"task_id": ["a"]}},
    ],
    ids=lambda event: json.dumps(event)[-40:],
)
def test_what_is_no_such_event(event: Any) -> None:
    """An event of another kind, or without a task id, cannot be understood."""
    with pytest.raises(hh.InvalidResponseError):
        ADAPTER.decode_callback(call(event), ACCOUNT)


@pytest.mark.fault(52)
async def test_an_event_is_confirmed(gateway: Any) -> None:
    """An event makes the client look, and what the look shows is what counts."""
    output = {"task_id": DATA["task_id"], "task_status": "PENDING"}
    failed = {**output, "task_status": "FAILED", "code": "InternalError", "message": "no luck"}
    gateway.on("POST", "/services/*", {"output": output, "request_id": "r"})
    gateway.on("GET", f"/tasks/{DATA['task_id']}", {"output": failed, "request_id": "r"})
    slowly = hh.PollSchedule(interval=3600)
    async with hh.Client("dashscope", api_key="sk-any", base_url=gateway.url, poll=slowly) as client:
        receiver = hh.CallbackReceiver(client, TOKEN)
        handle = await client.submit(hh.TextToVideo("a train at night"))
        task = await receiver.receive(call(EVENT).headers, json.dumps(EVENT).encode())

        assert (hh.TaskStatus.FAILED, task) == (task.status, handle.task)
    assert 1 == len(gateway.seen("GET"))


@pytest.mark.fault(48)
@pytest.mark.filterwarnings("ignore:no secret is set")
async def test_an_event_about_a_foreign_task() -> None:
    """
    An event about a task of the account that this client did not submit costs no look.

    With the token it is received, so that it does not come again; without, it is turned away.
    """
    message = call(EVENT)
    async with hh.Client("dashscope", api_key="sk-any", base_url="http://127.0.0.1:9") as client:
        assert await hh.CallbackReceiver(client, TOKEN).receive(message.headers, message.body or b"") is None
        with pytest.raises(hh.CallbackRejectedError, match="not ours"):
            await hh.CallbackReceiver(client).receive(message.headers, message.body or b"")
