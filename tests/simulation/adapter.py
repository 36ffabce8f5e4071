"""The adapter of the simulated provider."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from attrs import evolve

import happyhorse_async as hh
from happyhorse_async.adapter_kit import (
    class_by_status,
    error_from_response,
    parse_datetime,
    read_callback,
    read_object,
)

_STATUSES = {
    "queued": hh.TaskStatus.PENDING,
    "running": hh.TaskStatus.RUNNING,
    "done": hh.TaskStatus.SUCCEEDED,
    "failed": hh.TaskStatus.FAILED,
    "canceled": hh.TaskStatus.CANCELED,
}


class Adapter(hh.Adapter):
    """Speaks to the provider of the world."""

    name = "simulated"
    title = "Simulated"
    documentation = "https://simulated.example/docs"
    api_key_env = "SIMULATED_API_KEY"
    capabilities = hh.Capabilities(
        models=(hh.ModelSpec(mode=hh.Mode.T2V, version="1.0", model="t2v", resolutions=("720P",)),),
        can_list=True,
        list_is_live=True,
    )
    default_base_url = "https://simulated.example"

    def __init__(self, world: Any, account: str = "") -> None:
        self.capabilities = evolve(  # type: ignore[misc]
            type(self).capabilities,
            idempotent=world.is_idempotent(account),
            list_has_results=bool(world.listing and world.listing.is_whole),
            callbacks=world.calling is not None,
            signed_callbacks=bool(world.calling and world.calling.signs),
        )

    def encode_submit(self, submission: hh.Submission, account: hh.Account) -> hh.HttpRequest:
        order = {"prompt": submission.request.prompt, "job_id": submission.job_id, "call": submission.callback_url}
        body = json.dumps(order).encode()
        headers = {"Idempotency-Key": submission.job_id} if self.capabilities.idempotent else {}
        return hh.HttpRequest(method="POST", url=f"{account.base_url}/videos", headers=headers, body=body)

    def decode_submit(self, response: hh.HttpResponse, account: hh.Account) -> hh.Task:
        return self.decode_fetch(response, "", account)

    def encode_fetch(self, task_id: str, account: hh.Account) -> hh.HttpRequest:
        return hh.HttpRequest(method="GET", url=f"{account.base_url}/videos/{task_id}")

    def decode_fetch(self, response: hh.HttpResponse, task_id: str, account: hh.Account) -> hh.Task:
        answer = self._read(response, account)
        if "id" not in answer:
            raise hh.InvalidResponseError("the answer has no task id", path="id")
        return self._task(answer, account)

    def encode_list(self, page: hh.PageRequest, account: hh.Account) -> hh.HttpRequest:
        url = f"{account.base_url}/videos?page={page.number}&size={page.size}"
        return hh.HttpRequest(method="GET", url=url)

    def decode_list(self, response: hh.HttpResponse, page: hh.PageRequest, account: hh.Account) -> hh.TaskPage:
        answer = self._read(response, account)
        if "tasks" not in answer:
            raise hh.InvalidResponseError("the answer has no list", path="tasks")
        return hh.TaskPage(tasks=tuple(self._task(row, account) for row in answer["tasks"]), size=answer.get("size"))

    def verify_callback(self, message: hh.HttpRequest, secrets: Sequence[str], now: datetime) -> None:
        if message.headers["x-signature"] not in secrets:
            raise hh.CallbackRejectedError("the signature is wrong")

    def decode_callback(self, message: hh.HttpRequest, account: hh.Account) -> hh.Task:
        return self._task(read_callback(message), account)

    def _read(self, response: hh.HttpResponse, account: hh.Account) -> Mapping[str, Any]:
        answer = read_object(response)
        if not response.ok:
            refused, cls = bool(answer.get("refused")), class_by_status(response.status)
            raise error_from_response(
                cls, answer.get("error"), response=response, account=account, not_accepted=refused
            )
        return answer

    def _task(self, answer: Mapping[str, Any], account: hh.Account) -> hh.Task:
        return hh.Task(
            ref=account.ref(answer["id"]),
            status=_STATUSES.get(answer["status"], hh.TaskStatus.UNKNOWN),
            raw_status=answer["status"],
            videos=tuple(hh.Video(url=url) for url in answer.get("urls", ())),
            created_at=parse_datetime(answer.get("created")),
        )
