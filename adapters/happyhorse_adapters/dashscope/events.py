"""
What EventBridge delivers when a task of DashScope has ended: an envelope of CloudEvents 1.0.

DashScope takes no URL with a submit. The owner of the account sets up a rule in the console of EventBridge that sends
the events of a region to a URL: https://help.aliyun.com/zh/model-studio/async-task-api

The rule may name a token, which then comes in a header. Beside it there is a signature by a key whose certificate has
to be fetched, which an adapter cannot do: https://help.aliyun.com/zh/eventbridge/user-guide/signature-algorithm

The token authenticates the sender, but not the content. So an event is only a reason to poll.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from typing import Any

from attrs import define

from happyhorse_async.adapter_kit import structure
from happyhorse_async.errors import CallbackRejectedError, InvalidResponseError
from happyhorse_async.messages import HttpRequest

_SOURCE = "acs.dashscope"
_TYPE = "dashscope:System:AsyncTaskFinish"


@define(kw_only=True)
class _WireEnded:
    task_id: str


@define(kw_only=True)
class _WireEvent:
    source: str
    type: str
    data: _WireEnded


def verify_token(message: HttpRequest, tokens: Sequence[str]) -> None:
    """
    Verify that *message* carries one of *tokens*.

    :raises CallbackRejectedError: it does not.
    """
    given = message.headers.get("x-eventbridge-signature-token", "").encode(errors="surrogatepass")
    genuine = [hmac.compare_digest(token.encode(), given) for token in tokens]
    if not any(genuine):
        raise CallbackRejectedError("the event does not carry the token of the EventBridge rule")


def ended_task(event: Mapping[str, Any]) -> str:
    """
    Return the id of the task that has ended.

    :raises InvalidResponseError: the event is about something else, or names no task.
    """
    found = structure(event, _WireEvent)
    if (found.source, found.type) != (_SOURCE, _TYPE):
        raise InvalidResponseError("the event is not the end of a task; the rule also sends other events", path="type")
    return found.data.task_id
