"""
The four adapters, each with its dialect, under the suite that third-party adapters inherit too.

A fifth provider passes it as well, without a word about it anywhere else; and with one thing wrong it does not.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar, TypeAlias
from urllib.parse import quote, unquote

import pytest
from attrs import evolve, frozen

import happyhorse_async as hh
from happyhorse_adapters.dashscope import DashScopeAdapter
from happyhorse_adapters.emulated.dashscope import DashScopeDialect
from happyhorse_adapters.emulated.hiapi import HiAPIDialect
from happyhorse_adapters.emulated.imini import IminiDialect
from happyhorse_adapters.emulated.nexusflow import NexusFlowDialect
from happyhorse_adapters.hiapi import HiAPIAdapter
from happyhorse_adapters.imini import IminiAdapter
from happyhorse_adapters.nexusflow import NexusFlowAdapter
from happyhorse_async.classification import class_by_status, refusal
from happyhorse_async.decoding import Loose, from_epoch, read_object, structure
from happyhorse_async.dialect import (
    Call,
    CancelCall,
    Dialect,
    FetchCall,
    Fields,
    Job,
    JobPage,
    ListCall,
    Problem,
    Refusal,
    RefusalError,
    SubmitCall,
    json_answer,
    path_of,
    query_of,
)
from happyhorse_async.encoding import json_request
from happyhorse_async.redaction import redact_text
from happyhorse_async.registry import providers_that_can
from happyhorse_async.testing import AdapterContract


class TestDashScope(AdapterContract):
    adapter = DashScopeAdapter()
    dialect = DashScopeDialect()


class TestHiAPI(AdapterContract):
    adapter = HiAPIAdapter()
    dialect = HiAPIDialect()


class TestImini(AdapterContract):
    adapter = IminiAdapter()
    dialect = IminiDialect()


class TestNexusFlow(AdapterContract):
    adapter = NexusFlowAdapter()
    dialect = NexusFlowDialect()


STAGES = {
    "queue": hh.TaskStatus.PENDING,
    "rolling": hh.TaskStatus.RUNNING,
    "cut": hh.TaskStatus.SUCCEEDED,
    "spoiled": hh.TaskStatus.FAILED,
    "dropped": hh.TaskStatus.CANCELED,
}
WORDS = {status: word for word, status in STAGES.items()}
REASONS = {"BAD": hh.FailureReason.INVALID_REQUEST, "RUDE": hh.FailureReason.CONTENT_REJECTED}


@frozen(kw_only=True)
class WireTake:
    """A task of the fifth provider."""

    take: str
    stage: str
    reel: str | None = None
    since: Loose[float] = None
    why: Loose[str] = None
    words: Loose[str] = None


class ToyAdapter(hh.Adapter):
    """A fifth provider: other words, flat objects, a list without pages, and everything that may be left out."""

    name = "toy"
    title = "Toy"
    documentation = "https://toy.example/docs"
    api_key_env = "TOY_API_KEY"
    capabilities = hh.Capabilities(
        offers=(
            hh.Offer(
                mode=hh.Mode.T2V, version="1.1", model="toy-t2v", resolutions=("720P",), ratios=("16:9",), seed=True
            ),
            hh.Offer(
                mode=hh.Mode.R2V,
                version="1.0",
                model="toy-r2v",
                resolutions=("480P", "720P"),
                durations=range(2, 6),
                images=range(1, 4),
            ),
        ),
        lists=True,
        cancels=True,
        callbacks=True,
        idempotent=True,
    )
    default_base_url = "https://toy.example/api"

    def encode_submit(self, submission: hh.Submission, account: hh.Account) -> hh.HttpRequest:
        request = submission.request
        fields = {
            "what": request.prompt,
            "tier": request.resolution,
            "shape": getattr(request, "ratio", None),
            "length": getattr(request, "duration", None),
            "dice": request.seed,
            "stills": list(getattr(request, "images", ())) or None,
            "ring": submission.callback_url,
        }
        body = {name: value for name, value in fields.items() if value is not None}
        body |= {"engine": submission.offer.model, **request.extra}
        return json_request(
            "POST", f"{account.base_url}/takes", account, body=body, headers={"Once": submission.job_id}
        )

    def decode_submit(self, response: hh.HttpResponse, account: hh.Account) -> hh.Task:
        return self.take(self.read(response, account), account)

    def encode_fetch(self, task_id: str, account: hh.Account) -> hh.HttpRequest:
        return json_request("GET", f"{account.base_url}/takes/{quote(task_id, safe='')}", account)

    def decode_fetch(self, response: hh.HttpResponse, task_id: str, account: hh.Account) -> hh.Task:
        return self.take(self.read(response, account), account)

    def encode_list(self, page: hh.PageRequest, account: hh.Account) -> hh.HttpRequest:
        return json_request("GET", f"{account.base_url}/takes?most={page.size}", account)

    def decode_list(self, response: hh.HttpResponse, page: hh.PageRequest, account: hh.Account) -> hh.TaskPage:
        rows = structure(self.read(response, account).get("takes"), list[Mapping[str, Any]], root="takes")
        return hh.TaskPage(tasks=tuple(self.take(row, account) for row in rows))

    def encode_cancel(self, task_id: str, account: hh.Account) -> hh.HttpRequest:
        return json_request("DELETE", f"{account.base_url}/takes/{quote(task_id, safe='')}", account)

    def decode_cancel(self, response: hh.HttpResponse, account: hh.Account) -> bool:
        return self.take(self.read(response, account), account).status is hh.TaskStatus.CANCELED

    def read(self, response: hh.HttpResponse, account: hh.Account) -> Mapping[str, Any]:
        """Return the object in *response*, unless it is a refusal."""
        if response.ok:
            return read_object(response)
        try:
            words: Any = read_object(response).get("words")
        except hh.InvalidResponseError:
            words = None
        message = words if isinstance(words, str) else None
        raise refusal(class_by_status(response.status), message, response=response, account=account)

    def take(self, answer: Mapping[str, Any], account: hh.Account) -> hh.Task:
        """Read a task."""
        wire = structure(answer, WireTake)
        status = STAGES.get(wire.stage, hh.TaskStatus.UNKNOWN)
        if not wire.take.strip():
            raise hh.InvalidResponseError("the answer has an empty task id", path="take")
        failure = hh.TaskFailure(
            code=wire.why,
            message=redact_text(wire.words or "", account.api_key),
            reason=REASONS.get(wire.why or "", hh.FailureReason.UNKNOWN),
        )
        return hh.Task(
            ref=account.ref(wire.take),
            status=status,
            raw_status=wire.stage,
            videos=(hh.Video(url=wire.reel),) if wire.reel and status is hh.TaskStatus.SUCCEEDED else (),
            error=failure if status is hh.TaskStatus.FAILED else None,
            created_at=from_epoch(wire.since),
            raw=answer,
        )


class ToyDialect(Dialect):
    """The fifth provider's server side."""

    name = "toy"
    root = "/api"
    refusals: ClassVar[Mapping[Problem, Refusal]] = {
        Problem.NO_KEY: Refusal(status=401, message="who are you"),
        Problem.UNKNOWN_TASK: Refusal(status=404, message="no such take"),
    }

    def task_id(self, number: int) -> str:
        return f"take:{number:x}"

    def read(self, request: hh.HttpRequest) -> Call:
        match request.method, path_of(request):
            case "POST", ("api", "takes"):
                return self._submit(request)
            case "GET", ("api", "takes"):
                return ListCall(size=int(query_of(request)["most"]))
            case "GET", ("api", "takes", task_id):
                return FetchCall(task_id)
            case "DELETE", ("api", "takes", task_id):
                return CancelCall(task_id)
            case _:
                raise _refuse("no such path")

    def answer_submit(self, job: Job, *, request_id: str, replayed: bool = False) -> hh.HttpResponse:
        return json_answer(201, self._take(job))

    def answer_fetch(self, job: Job, *, request_id: str) -> hh.HttpResponse:
        return json_answer(200, self._take(job))

    def answer_list(self, call: ListCall, page: JobPage, *, request_id: str) -> hh.HttpResponse:
        return json_answer(200, {"takes": [self._take(job) for job in page.jobs]})

    def answer_cancel(self, job: Job, *, canceled: bool, request_id: str) -> hh.HttpResponse:
        return json_answer(200, self._take(job))

    def answer_refusal(self, refusal: Refusal, *, request_id: str) -> hh.HttpResponse:
        return json_answer(refusal.status, {"words": refusal.message})

    def _submit(self, request: hh.HttpRequest) -> SubmitCall:
        body = Fields.parse(request.body, _refuse)
        options: dict[str, Any] = {"model": body.text("engine"), "resolution": body.choice("tier", ("480P", "720P"))}
        made: hh.VideoRequest
        if "stills" in body:
            stills = body.medias("stills", range(1, 4), ("http",))
            duration = body.number("length", range(2, 6), default=2)
            made = hh.ReferenceToVideo(body.text("what") or "", stills, duration=duration, **options)
        else:
            shape, dice = body.choice("shape", ("16:9",)), body.number("dice", range(2**31))
            made = hh.TextToVideo(body.text("what") or "", ratio=shape, seed=dice, duration=2, **options)
        return SubmitCall(request=made, idempotency_key=request.headers.get("once"), body=request.body or b"")

    def _take(self, job: Job) -> dict[str, Any]:
        task = job.task
        take: dict[str, Any] = {"take": task.id, "stage": WORDS[task.status], "reel": task.video_url}
        take["since"] = task.created_at.timestamp() if task.created_at else None
        if task.error is not None:
            codes = {reason: code for code, reason in REASONS.items()}
            take |= {"why": codes.get(task.error.reason, "ODD"), "words": "the take was spoiled"}
        return take


def _refuse(sentence: str) -> RefusalError:
    return RefusalError(Refusal(status=400, message=sentence))


class TestToy(AdapterContract):
    adapter = ToyAdapter()
    dialect = ToyDialect()
    registered = False


async def test_a_fifth_provider_needs_nothing_but_entry_points(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Installed under two entry points, it is found, offered as an alternative, emulated, and makes a video."""
    metadata = tmp_path / "toy-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: toy\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(
        f"[happyhorse_async.adapters]\ntoy = {__name__}:ToyAdapter\n"
        f"[happyhorse_async.dialects]\ntoy = {__name__}:ToyDialect\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    request = hh.ReferenceToVideo("a kite", ["https://media.example.org/a.png"], resolution="480P", duration=2)
    async with (
        hh.Emulator(speed=6000) as emulator,
        hh.Client("toy", api_key="any", base_url=emulator.url("toy"), poll=hh.PollSchedule(interval=0.01)) as client,
    ):
        task = await client.generate(request)
        path = await client.download(task, tmp_path)

    assert "toy" in providers_that_can(request)
    assert hh.TaskRef("toy", task.id) == task.ref
    assert path.read_bytes()[4:8] == b"ftyp"


OFFER = ToyAdapter.capabilities.offers[0]
COUNTER = itertools.count()


class Mistaken(ToyAdapter):
    """Makes one mistake: in what it writes, in what it is sent, or in what it understands."""

    def __init__(
        self,
        *,
        message: Callable[[hh.HttpRequest, hh.Account], hh.HttpRequest] = lambda message, _: message,
        response: Callable[[hh.HttpResponse], hh.HttpResponse] = lambda response: response,
        task: Callable[[hh.Task], hh.Task] = lambda task: task,
    ) -> None:
        self.spoil_message, self.spoil_response, self.spoil_task = message, response, task

    def encode_submit(self, submission: hh.Submission, account: hh.Account) -> hh.HttpRequest:
        return self.spoil_message(super().encode_submit(submission, account), account)

    def encode_fetch(self, task_id: str, account: hh.Account) -> hh.HttpRequest:
        return self.spoil_message(super().encode_fetch(task_id, account), account)

    def read(self, response: hh.HttpResponse, account: hh.Account) -> Mapping[str, Any]:
        return super().read(self.spoil_response(response), account)

    def take(self, answer: Mapping[str, Any], account: hh.Account) -> hh.Task:
        return self.spoil_task(super().take(answer, account))


def with_body(old: bytes, new: bytes) -> Callable[[hh.HttpRequest, hh.Account], hh.HttpRequest]:
    return lambda message, _: evolve(message, body=(message.body or b"").replace(old, new, 1))


def parsed(response: hh.HttpResponse) -> hh.HttpResponse:
    json.loads(response.body)
    return response


def ended(task: hh.Task) -> hh.Task:
    return evolve(task, status=hh.TaskStatus.FAILED) if task.status is hh.TaskStatus.UNKNOWN else task


def displaced(task: hh.Task) -> hh.Task:
    return evolve(task, created_at=task.created_at + timedelta(hours=8)) if task.created_at else task


def echoed(task: hh.Task) -> hh.Task:
    return evolve(task, error=evolve(task.error, message=str(task.raw["words"]))) if task.error else task


Mistake: TypeAlias = tuple[Mistaken, Callable[[AdapterContract], None]]

MISTAKES: dict[str, Mistake] = {
    "writes the same request differently": (
        Mistaken(message=lambda message, _: evolve(message, headers={**message.headers, "Count": f"{next(COUNTER)}"})),
        lambda suite: suite.test_a_request_is_written_the_same_way_each_time(OFFER),
    ),
    "puts the key into the URL": (
        Mistaken(message=lambda message, account: evolve(message, url=f"{message.url}?key={account.api_key}")),
        lambda suite: suite.test_the_key_stands_in_the_headers_alone(OFFER),
    ),
    "does not escape an id": (
        Mistaken(message=lambda message, _: evolve(message, url=unquote(message.url))),
        lambda suite: suite.test_a_task_id_stays_in_its_place("a/b"),
    ),
    "misspells a field": (
        Mistaken(message=with_body(b'"dice"', b'"seed"')),
        lambda suite: suite.test_the_provider_understands_what_was_asked(OFFER),
    ),
    "sends what was not asked for": (
        Mistaken(message=with_body(b"{", b'{"note":null,')),
        lambda suite: suite.test_what_is_not_asked_for_is_not_sent(OFFER),
    ),
    "takes every answer for JSON": (
        Mistaken(response=parsed),
        lambda suite: suite.test_an_unreadable_success_is_no_refusal("fetch", 200),
    ),
    "takes a bad gateway for a refusal": (
        Mistaken(response=lambda response: evolve(response, status=400)),
        lambda suite: suite.test_what_may_have_been_taken_is_not_called_refused(502, b""),
    ),
    "does not hear how long to wait": (
        Mistaken(response=lambda response: evolve(response, headers={})),
        lambda suite: suite.test_retry_after_is_read("fetch", "seconds", 429),
    ),
    "needs what only adorns": (
        Mistaken(task=lambda task: evolve(task, created_at=from_epoch(task.raw["since"]))),
        lambda suite: suite.test_what_only_adorns_costs_no_video(),
    ),
    "takes an unknown word for an end": (Mistaken(task=ended), lambda suite: suite.test_an_unknown_word_is_kept()),
    "lets junk end a task": (Mistaken(task=ended), lambda suite: suite.test_junk_does_not_end_a_task()),
    "takes a time for another zone's": (
        Mistaken(task=displaced),
        lambda suite: suite.test_a_task_stands_where_the_provider_says(OFFER, hh.TaskStatus.RUNNING),
    ),
    "repeats the key": (Mistaken(task=echoed), lambda suite: suite.test_a_failure_does_not_show_the_key()),
}


@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=MISTAKES)
def test_the_suite_finds_what_is_wrong(mistake: Mistake) -> None:
    """Each of these mistakes makes the test fail that is there for it, which passes without the mistake."""
    adapter, run = mistake
    suite = type("Suite", (TestToy,), {"adapter": adapter})
    run(TestToy())

    with pytest.raises(AssertionError):
        run(suite())
