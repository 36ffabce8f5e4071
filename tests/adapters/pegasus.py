"""An adapter for an invented provider, by a third party: X-Api-Key, cursors, 204, percent, own error kinds."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, urlencode

from attrs import frozen

import happyhorse_async as hh
from happyhorse_async import adapter_kit as kit

X_API_KEY = kit.AuthScheme("X-Api-Key")

PHASES = {
    "waiting": hh.TaskStatus.PENDING,
    "flying": hh.TaskStatus.RUNNING,
    "landed": hh.TaskStatus.SUCCEEDED,
    "crashed": hh.TaskStatus.FAILED,
    "grounded": hh.TaskStatus.CANCELED,
}
KINDS: dict[str, kit.ErrorClass] = {
    "key.unknown": hh.AuthenticationError,
    "input.bad": hh.InvalidRequestError,
    "input.forbidden": hh.ContentRejectedError,
    "stable.empty": hh.QuotaExceededError,
    "flight.unknown": hh.TaskNotFoundError,
    "too.fast": hh.RateLimitError,
    "stable.burning": hh.ProviderError,
}


@frozen(kw_only=True)
class WireProblem:
    kind: kit.Lax[str] = None
    detail: kit.Lax[str] = None


@frozen(kw_only=True)
class WireRefusal:
    problem: kit.Lax[WireProblem] = None


@frozen(kw_only=True)
class WireGeneration:
    id: str
    phase: str
    percent: kit.Percent = None
    made: kit.Lax[str] = None
    files: Any = None
    problem: kit.Lax[WireProblem] = None


class PegasusAdapter(hh.Adapter):
    """HappyHorse 1.1 from text and from a first frame, through Pegasus."""

    name = "pegasus"
    title = "Pegasus"
    documentation = "https://pegasus.example/docs"
    api_key_env = "PEGASUS_API_KEY"
    default_base_url = "https://pegasus.example"
    capabilities = hh.Capabilities(
        models=(
            hh.ModelSpec(
                mode=hh.Mode.T2V,
                version="1.1",
                model="wings-t2v",
                resolutions=("720P", "1080P"),
                ratios=("16:9", "9:16"),
                durations=range(3, 16),
                seed=True,
            ),
            hh.ModelSpec(mode=hh.Mode.I2V, version="1.1", model="wings-i2v", resolutions=("720P",), images=range(1, 2)),
        ),
        can_list=True,
        can_cancel=True,
    )

    def encode_submit(self, submission: hh.Submission, account: hh.Account) -> hh.HttpRequest:
        request = submission.request
        fields = {
            "text": request.prompt,
            "tier": request.resolution,
            "shape": getattr(request, "ratio", None),
            "seconds": getattr(request, "duration", None),
            "seed": request.seed,
            "frame": getattr(request, "image", None),
        }
        body = {name: value for name, value in fields.items() if value is not None} | dict(request.extra)
        return self.call("POST", "", account, body={"model": submission.spec.model, **body})

    def decode_submit(self, response: hh.HttpResponse, account: hh.Account) -> hh.Task:
        return self.read_generation(self.read(response, account).get("generation"), account)

    def encode_fetch(self, task_id: str, account: hh.Account) -> hh.HttpRequest:
        return self.call("GET", f"/{quote(task_id, safe='')}", account)

    def decode_fetch(self, response: hh.HttpResponse, task_id: str, account: hh.Account) -> hh.Task:
        return self.read_generation(self.read(response, account).get("generation"), account)

    def encode_list(self, page: hh.PageRequest, account: hh.Account) -> hh.HttpRequest:
        query = {"most": page.size} if page.cursor is None else {"most": page.size, "after": page.cursor}
        return self.call("GET", f"?{urlencode(query)}", account)

    def decode_list(self, response: hh.HttpResponse, page: hh.PageRequest, account: hh.Account) -> hh.TaskPage:
        body = self.read(response, account)
        rows = kit.structure(body.get("generations"), list[Any], root="generations")
        after = body.get("after")
        tasks = tuple(self.read_generation(row, account) for row in rows)
        return hh.TaskPage(tasks=tasks, next=page.next(str(after)) if after else None)

    def encode_cancel(self, task_id: str, account: hh.Account) -> hh.HttpRequest:
        return self.call("DELETE", f"/{quote(task_id, safe='')}", account)

    def decode_cancel(self, response: hh.HttpResponse, account: hh.Account) -> bool:
        if kit.has_no_content(response):
            return True
        return self.read_generation(self.read(response, account).get("generation"), account).status.is_terminal

    def call(self, method: str, path: str, account: hh.Account, *, body: Any = None) -> hh.HttpRequest:
        return kit.json_request(method, f"{account.base_url}/v2/generations{path}", account, body=body, auth=X_API_KEY)

    def read(self, response: hh.HttpResponse, account: hh.Account) -> Any:
        if response.ok:
            return kit.read_object(response)
        problem = kit.structure(kit.read_refusal(response), WireRefusal).problem or WireProblem()
        cls = (KINDS.get(problem.kind) or kit.class_by_status(response.status)) if problem.kind else None
        raise kit.error_from_response(cls, problem.detail, response=response, account=account, code=problem.kind)

    def read_generation(self, value: Any, account: hh.Account) -> hh.Task:
        wire = kit.structure(value, WireGeneration, root="generation")
        problem = wire.problem or WireProblem()
        videos = kit.find_videos(wire.files)
        status = kit.read_status(wire.phase, PHASES, has_video=bool(videos), has_error=wire.problem is not None)
        failure = kit.task_failure(KINDS.get(problem.kind or ""), problem.detail, account=account, code=problem.kind)
        task = hh.Task(
            ref=account.ref(wire.id, path="generation.id"),
            status=status,
            raw_status=wire.phase,
            progress=wire.percent,
            videos=tuple(video.as_video() for video in videos) if status is hh.TaskStatus.SUCCEEDED else (),
            error=failure if status is hh.TaskStatus.FAILED else None,
            created_at=kit.parse_datetime(wire.made),
            raw=value,
        )
        return kit.require_video(task, "generation.files", wire.files)
