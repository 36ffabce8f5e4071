"""A fifth provider: none of the four, so that no test of the core depends on them. Scripts load it by its path."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar

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


def sign(body: bytes, secret: str, at: int | str) -> str:
    """Make the header with which the fifth provider signs its calls."""
    return f"{at}={hmac.new(secret.encode(), f'{at}|'.encode() + body, hashlib.sha256).hexdigest()}"


class FifthAdapter(hh.Adapter):
    """A provider that nobody has heard of."""

    name = "fifth"
    title = "Fifth"
    documentation = "https://fifth.example/docs"
    api_key_env = "FIFTH_API_KEY"
    capabilities: ClassVar[hh.Capabilities] = hh.Capabilities(
        models=(hh.ModelSpec(mode=hh.Mode.T2V, version="1.0", model="fifth-t2v", resolutions=("720P",)),),
        can_list=True,
        can_cancel=True,
    )
    default_base_url = "https://fifth.example"

    def encode_submit(self, submission: hh.Submission, account: hh.Account) -> hh.HttpRequest:
        fields = {"prompt": submission.request.prompt, "model": submission.spec.model}
        if submission.callback_url is not None:
            fields["call"] = submission.callback_url
        body = json.dumps(fields).encode()
        key = {"Idempotency-Key": submission.job_id} if self.capabilities.idempotent else {}
        return self._call("POST", "/videos", account, body=body, headers={"Content-Type": "application/json", **key})

    def decode_submit(self, response: hh.HttpResponse, account: hh.Account) -> hh.Task:
        return self._task(self._object(response, account), account)

    def encode_fetch(self, task_id: str, account: hh.Account) -> hh.HttpRequest:
        return self._call("GET", f"/videos/{task_id}", account)

    def decode_fetch(self, response: hh.HttpResponse, task_id: str, account: hh.Account) -> hh.Task:
        return self._task(self._object(response, account), account)

    def encode_list(self, page: hh.PageRequest, account: hh.Account) -> hh.HttpRequest:
        return self._call("GET", f"/videos?page={page.number}&size={page.size}", account)

    def decode_list(self, response: hh.HttpResponse, page: hh.PageRequest, account: hh.Account) -> hh.TaskPage:
        answer = self._object(response, account)
        more = evolve(page, number=page.number + 1) if answer.get("more") else None
        return hh.TaskPage(tasks=tuple(self._task(task, account) for task in answer["tasks"]), next=more)

    def encode_cancel(self, task_id: str, account: hh.Account) -> hh.HttpRequest:
        return self._call("POST", f"/videos/{task_id}/cancel", account)

    def decode_cancel(self, response: hh.HttpResponse, account: hh.Account) -> bool:
        return bool(self._object(response, account)["canceled"])

    def verify_callback(self, message: hh.HttpRequest, secrets: Sequence[str], now: datetime) -> None:
        at, _, signature = message.headers.get("x-fifth-signature", "").partition("=")
        right = [sign(message.body or b"", secret, at) for secret in secrets]
        if not any(hmac.compare_digest(each.encode(), f"{at}={signature}".encode()) for each in right):
            raise hh.CallbackRejectedError("the signature is wrong")
        if abs(now.timestamp() - int(at)) > 300:
            raise hh.CallbackRejectedError("the signature is stale")

    def decode_callback(self, message: hh.HttpRequest, account: hh.Account) -> hh.Task | hh.TaskRef:
        said = read_callback(message)
        return self._task(said, account) if "status" in said else account.ref(said["id"])

    def _call(
        self,
        method: str,
        path: str,
        account: hh.Account,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> hh.HttpRequest:
        credential = {"Authorization": f"Bearer {account.api_key}", "X-Api-Key": account.api_key}
        url = f"{account.base_url}{path}"
        return hh.HttpRequest(method=method, url=url, headers={**credential, **(headers or {})}, body=body)

    def _object(self, response: hh.HttpResponse, account: hh.Account) -> Mapping[str, Any]:
        if response.ok:
            return read_object(response)
        try:
            answer = read_object(response)
        except hh.InvalidResponseError:
            answer = {}
        raise error_from_response(
            class_by_status(response.status),
            answer.get("error"),
            response=response,
            account=account,
            not_accepted=bool(answer.get("refused")),
        )

    def _task(self, answer: Mapping[str, Any], account: hh.Account) -> hh.Task:
        if not answer.get("id"):
            raise hh.InvalidResponseError("the answer has no task id", path="id")
        word = answer.get("status")
        reason = hh.TaskFailure(code="E1", message=answer.get("error", "")) if word == "failed" else None
        return hh.Task(
            ref=account.ref(answer["id"]),
            status=_STATUSES.get(word or "", hh.TaskStatus.UNKNOWN),
            raw_status=word,
            progress=answer.get("progress"),
            videos=tuple(hh.Video(url=url) for url in answer.get("urls", ())),
            error=reason,
            created_at=parse_datetime(answer.get("created")),
            raw=answer,
        )


def variant(
    *,
    idempotent: bool = False,
    can_list: bool = True,
    callbacks: bool = False,
    signed: bool = False,
    task_ttl: float = 24 * 3600.0,
    **members: Any,
) -> hh.Adapter:
    """Make a variant of the adapter, with *members* in place of its own."""
    capabilities = evolve(
        FifthAdapter.capabilities,
        idempotent=idempotent,
        can_list=can_list,
        callbacks=callbacks or signed,
        signed_callbacks=signed,
    )
    made = type("Variant", (FifthAdapter,), {"capabilities": capabilities, "task_ttl": task_ttl, **members})
    adapter: hh.Adapter = made()
    return adapter
