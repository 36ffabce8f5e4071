"""
Events as Alibaba Cloud EventBridge pushes them to an HTTP endpoint: CloudEvents 1.0 as JSON.

The envelope: https://help.aliyun.com/en/model-studio/async-task-api
The headers: https://www.alibabacloud.com/help/en/eventbridge/user-guide/signature-algorithm
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime

from happyhorse_async.emulation import CallbackNotice, CallbackRules
from happyhorse_async.messages import HttpRequest

# The default policy: three retries, each after a random 10 to 20 seconds.
# https://www.alibabacloud.com/help/en/eventbridge/user-guide/retry-and-dead-letter
PUSH_RULES = CallbackRules(set_up_outside=True, pauses=((10.0, 20.0),) * 3)


def push(notice: CallbackNotice, *, source: str, kind: str, region: str, data: Mapping[str, object]) -> HttpRequest:
    """
    Write an event with *data*.

    The real service signs with a private key whose certificate Alibaba Cloud publishes, so that no emulator can sign. A
    user may also set a token, which is sent as it is.

    :param source: the service that sends the event.
    :param kind: the type of the event.
    """
    event = {
        "specversion": "1.0",
        "id": notice.event_id,
        "source": source,
        "type": kind,
        "time": _timestamp(notice.job.task.finished_at or notice.sent_at),
        "datacontenttype": "application/json;charset=utf-8",
        "aliyunaccountid": "200",
        "aliyunoriginalaccountid": "200",
        "aliyuneventbusname": "default",
        "aliyunregionid": region,
        "aliyunpublishtime": _timestamp(notice.sent_at),
        "data": data,
    }
    headers = {
        "Content-Type": "application/json; charset=utf-8",
        "x-eventbridge-signature-timestamp": str(int(notice.sent_at.timestamp() * 1000)),
    }
    if notice.secret is not None:
        headers["x-eventbridge-signature-token"] = notice.secret
    return HttpRequest(method="POST", url=notice.url, headers=headers, body=json.dumps(event).encode())


def _timestamp(moment: datetime) -> str:
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"
