"""
One emulated provider: its API, its accounts, and the scenario that decides how their tasks go.

No network and no clock: it takes a request with the time, and returns a response.
"""

from __future__ import annotations

import secrets
from collections import deque
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import urlsplit
from uuid import uuid4

from attrs import define, evolve, field, frozen

from ..emulation import (
    ApiError,
    ApiFault,
    BalanceCall,
    Call,
    CallbackNotice,
    CancelCall,
    EmulatedAPI,
    ErrorReply,
    FetchCall,
    GrantCall,
    Job,
    JobPage,
    KeysCall,
    ListCall,
    PolicyCall,
    ProviderLimits,
    ResultCall,
    SubmitCall,
    UploadCall,
)
from ..messages import HttpRequest, HttpResponse
from ..task import FailureReason, Task, TaskFailure, TaskRef, TaskStatus, Video
from .account import EmulatedAccount, Entry, KeyReusedError, QueueFullError
from .faults.fault import CallContext, Operation
from .media_spec import MediaSpec
from .object_store import ObjectStore
from .pictures import has_inline_pictures, with_uploads
from .request_log import ReceivedRequest
from .scenario import Scenario
from .signed_urls import SignedUrls
from .storage import Storage, Visit
from .task_snapshot import at, task_at
from .webhook_queue import CallbackScenario, Webhook, WebhookQueue

if TYPE_CHECKING:
    from .faults.injection import Broken, Faults, Injection

_TaskCall: TypeAlias = SubmitCall | FetchCall | ResultCall | ListCall | CancelCall

_OPERATIONS: dict[type[Call], Operation] = {
    SubmitCall: Operation.SUBMIT,
    FetchCall: Operation.QUERY,
    ResultCall: Operation.RESULT,
    ListCall: Operation.LIST,
    CancelCall: Operation.CANCEL,
    PolicyCall: Operation.PERMIT,
    GrantCall: Operation.PERMIT,
    UploadCall: Operation.UPLOAD,
}


@define(kw_only=True)
class _Exchange:
    """One call in progress."""

    now: float
    origin: str
    request_id: str
    operation: Operation | None = None
    task_id: str | None = None
    injection: Injection | None = None
    """The fault to apply."""
    context: CallContext | None = None


@frozen
class Keys:
    """
    The keys that an emulated provider shares with its users. Without an API key, any is accepted; without a secret,
    webhooks are not signed.
    """

    api_key: str | None = field(default=None, repr=False)
    """The only API key that is accepted."""
    callback_secret: str | None = field(default=None, repr=False)
    """The secret that webhooks are signed with."""
    signing_seed: bytes = field(factory=lambda: secrets.token_bytes(32), repr=False)
    """The seed of the signing key, for a provider that publishes its keys."""


class EmulatedProvider:
    """
    Answers like the provider of *emulated_api*.

    Every API key is a separate account, which sees only its own tasks.

    :param speed: every duration is divided by it.
    :param limits: `None`: the account has no limits.
    :param keys: the API key that is accepted, and the secret that webhooks are signed with.
    :param callbacks: how webhooks are delivered.
    :param events_url: their destination, if the provider configures it outside the API.
    :param faults: the active faults; `None`: none.
    :param received: the log that every request is written to.
    """

    def __init__(
        self,
        emulated_api: EmulatedAPI,
        *,
        scenario: Scenario,
        links: SignedUrls,
        seed: int = 0,
        speed: float = 1.0,
        limits: ProviderLimits | None = None,
        keys: Keys = Keys(),
        callbacks: CallbackScenario | None = None,
        events_url: str | None = None,
        faults: Faults | None = None,
        received: deque[ReceivedRequest] | None = None,
    ) -> None:
        self.emulated_api = emulated_api
        self.scenario = scenario
        self.billed = 0
        """How many tasks were accepted; a real provider would have charged for each."""
        self.new_entries: deque[Entry] = deque()
        """Accepted tasks whose inline pictures have not been read yet."""
        self.storage = Storage(links, ObjectStore(speed))
        """Uploaded files, and the storage for videos."""
        self._speed = speed
        self._limits = limits or ProviderLimits()
        self._keys = keys
        self._faults = faults
        self._received = received
        self._accounts: dict[str, EmulatedAccount] = {}
        self._video_files: dict[str, Entry] = {}
        self._submits = 0
        self.webhook_queue = WebhookQueue(
            emulated_api.callback_rules,
            callbacks or CallbackScenario(),
            events_url=events_url,
            seed=f"{seed}/{emulated_api.name}",
            task_ttl=emulated_api.task_ttl / speed,
        )

    def reset(self) -> None:
        """Forget every account, task, video and webhook."""
        self._accounts = {}
        self._video_files = {}
        self._submits = self.billed = 0
        self.new_entries.clear()
        self.storage.objects.clear()
        self.webhook_queue.clear()

    def handle(self, request: HttpRequest, *, now: float, origin: str) -> HttpResponse | Broken:
        """
        Answer *request*.

        :param now: Unix seconds.
        :param origin: scheme, host and port of the video URLs, such as `"http://127.0.0.1:8000"`.
        """
        exchange = _Exchange(now=now, origin=origin, request_id=str(uuid4()))
        try:
            public = self._public(request, exchange)
            if public is not None:
                return public
            account = self._account(request)
            call = self.emulated_api.read(request)
            self._begin(exchange, call)
            wait = account.wait_for(call, now=now)
            if wait:
                raise ApiError(evolve(self.emulated_api.refusal(ApiFault.TOO_FAST), retry_after=wait))
            if isinstance(call, BalanceCall):
                regular = self.emulated_api.answer_balance(request_id=exchange.request_id)
            elif isinstance(call, PolicyCall | GrantCall | UploadCall):
                self._carry_out(exchange)
                regular = self._visit(request, exchange).answer(call)
            else:
                call = self._with_uploads(call, request, exchange)
                regular = self._answer(call, account, exchange)
        except ApiError as error:
            regular = self.emulated_api.answer_error(error.refusal, request_id=exchange.request_id)
        response: HttpResponse | Broken = regular
        if exchange.injection is not None and exchange.context is not None:
            response = exchange.injection.apply(regular, exchange.context)
        self._log(request, exchange, response)
        return response

    def _public(self, request: HttpRequest, exchange: _Exchange) -> HttpResponse | None:
        """Answer a request that needs no API key; `None` for any other."""
        match self.emulated_api.read_public(request):
            case None:
                return None
            case KeysCall():
                return self.emulated_api.answer_keys(self._keys.signing_seed)
            case call:
                return self._visit(request, exchange).answer(call)

    def _visit(self, request: HttpRequest, exchange: _Exchange) -> Visit:
        return Visit(
            storage=self.storage,
            emulated_api=self.emulated_api,
            api_key=self.emulated_api.api_key(request) or "",
            now=exchange.now,
            origin=exchange.origin,
            request_id=exchange.request_id,
        )

    def _with_uploads(self, call: _TaskCall, request: HttpRequest, exchange: _Exchange) -> _TaskCall:
        """Check that the files of a submit were uploaded, and put their pictures into it."""
        if not isinstance(call, SubmitCall):
            return call
        visit = self._visit(request, exchange)
        return evolve(call, request=with_uploads(call.request, lambda url: visit.find(url, call)))

    def _begin(self, exchange: _Exchange, call: Call) -> None:
        """Record *call*, and find the fault to apply."""
        exchange.operation = _OPERATIONS.get(type(call))
        if isinstance(call, FetchCall | ResultCall | CancelCall):
            exchange.task_id = call.task_id
        if self._faults is None or exchange.operation is None:
            return

        def refuse(reason: ApiFault | ErrorReply) -> HttpResponse:
            error = self.emulated_api.refusal(reason) if isinstance(reason, ApiFault) else reason
            return self.emulated_api.answer_error(error, request_id=exchange.request_id)

        exchange.injection = self._faults.next(
            exchange.operation, self.emulated_api.name, now=exchange.now, task_id=exchange.task_id
        )
        exchange.context = CallContext(operation=exchange.operation, now=exchange.now, refuse=refuse)

    def _log(self, request: HttpRequest, exchange: _Exchange, response: HttpResponse | Broken) -> None:
        if self._received is None:
            return
        self._received.append(
            ReceivedRequest(
                provider=self.emulated_api.name,
                operation=exchange.operation,
                method=request.method,
                path=urlsplit(request.url).path,
                task_id=exchange.task_id,
                status=response.status if isinstance(response, HttpResponse) else None,
                fault=exchange.injection.fault.summary if exchange.injection is not None else None,
                received_at=exchange.now,
            )
        )

    def media_spec(self, video_file: str) -> MediaSpec | None:
        """Return the content of a video; `None` if there is no such video."""
        entry = self._video_files.get(video_file)
        return None if entry is None else self._media_spec(entry)

    def callback(self, entry: Entry, webhook: Webhook, *, now: float, forged: bool = False) -> HttpRequest:
        """
        Write the webhook of a task that has ended.

        :param forged: signed with a wrong secret, and with the opposite content.
        """
        exchange = _Exchange(now=now, origin=webhook.origin, request_id=webhook.event_id)
        job = self._job(entry, exchange)
        secret = self._keys.callback_secret
        if forged:
            job = evolve(job, task=_opposite(job.task))
            secret = secret and secrets.token_hex(16)
        notice = CallbackNotice(
            job=job,
            url=webhook.url,
            event_id=webhook.event_id,
            sent_at=at(now),
            secret=secret,
            signing_seed=secrets.token_bytes(32) if forged else self._keys.signing_seed,
        )
        return self.emulated_api.write_callback(notice)

    def _account(self, request: HttpRequest) -> EmulatedAccount:
        key = self.emulated_api.api_key(request)
        if key is None:
            raise self.emulated_api.refuse(ApiFault.NO_KEY)
        if self._keys.api_key not in (None, key):
            raise self.emulated_api.refuse(ApiFault.WRONG_KEY)
        if key not in self._accounts:
            task_ttl = self.emulated_api.task_ttl / self._speed
            self._accounts[key] = EmulatedAccount(self._limits, task_ttl=task_ttl, speed=self._speed)
        return self._accounts[key]

    def _answer(self, call: _TaskCall, account: EmulatedAccount, exchange: _Exchange) -> HttpResponse:
        self._carry_out(exchange)
        if isinstance(call, SubmitCall):
            return self._submit(call, account, exchange)
        if isinstance(call, ListCall):
            entries, total = account.page(call, now=exchange.now)
            jobs = (self._reported(entry, exchange) for entry in entries)
            page = JobPage(jobs=tuple(job for job in jobs if job is not None), total=total)
            return self.emulated_api.answer_list(call, page, request_id=exchange.request_id)
        entry = account.find(call.task_id, now=exchange.now)
        if entry is None:
            return self.emulated_api.answer_missing(call, request_id=exchange.request_id)
        match call:
            case CancelCall():
                return self._cancel(entry, account, exchange)
            case ResultCall():
                return self._result(call, entry, exchange)
            case FetchCall():
                return self._fetch(call, entry, exchange)

    def _carry_out(self, exchange: _Exchange) -> None:
        """Carry out the call, unless a fault prevents it."""
        if exchange.injection is not None and not exchange.injection.fault.accepted:
            raise self.emulated_api.refuse(ApiFault.UNAVAILABLE)

    def _submit(self, call: SubmitCall, account: EmulatedAccount, exchange: _Exchange) -> HttpResponse:
        try:
            entry = account.replayed(call, now=exchange.now)
            replayed = entry is not None
            if entry is None:
                entry = self._entry(call, exchange)
                account.add(entry, call, now=exchange.now)
                self.billed += 1
                if has_inline_pictures(call.request):
                    self.new_entries.append(entry)
                self._keep_video_file(entry, now=exchange.now)
                self.webhook_queue.add(entry)
        except KeyReusedError:
            raise self.emulated_api.refuse(ApiFault.KEY_REUSED) from None
        except QueueFullError:
            raise self.emulated_api.refuse(ApiFault.QUEUE_FULL) from None
        exchange.task_id = entry.id
        job = self._job(entry, exchange)
        return self.emulated_api.answer_submit(job, request_id=exchange.request_id, replayed=replayed)

    def _keep_video_file(self, entry: Entry, *, now: float) -> None:
        while self._video_files and now >= self._url_expires(next(iter(self._video_files.values()))):
            del self._video_files[next(iter(self._video_files))]
        self._video_files[entry.video_file] = entry

    def _url_expires(self, entry: Entry) -> float:
        # The client never sees the URL of a task that ends after it has expired.
        ends = min(entry.ends, entry.created + self.emulated_api.task_ttl / self._speed)
        return ends + self.emulated_api.url_lifetime / self._speed

    def _fetch(self, call: FetchCall, entry: Entry, exchange: _Exchange) -> HttpResponse:
        entry.seen = self._task(entry, exchange)
        job = self._reported(entry, exchange)
        if job is None:
            return self.emulated_api.answer_missing(call, request_id=exchange.request_id)
        return self.emulated_api.answer_fetch(job, request_id=exchange.request_id)

    def _result(self, call: ResultCall, entry: Entry, exchange: _Exchange) -> HttpResponse:
        job = self._reported(entry, exchange)
        if job is None:
            return self.emulated_api.answer_missing(call, request_id=exchange.request_id)
        return self.emulated_api.answer_result(job, request_id=exchange.request_id)

    def _reported(self, entry: Entry, exchange: _Exchange) -> Job | None:
        """Return the task as a fault reports it; `None`: as unknown."""
        job = self._job(entry, exchange)
        if exchange.injection is None or exchange.context is None:
            return job
        task = exchange.injection.change_task(job.task, exchange.context)
        return None if task is None else evolve(job, task=task, seen=task)

    def _cancel(self, entry: Entry, account: EmulatedAccount, exchange: _Exchange) -> HttpResponse:
        canceled = account.cancel(entry, now=exchange.now)
        if canceled:
            self.webhook_queue.reorder()
        job = self._job(entry, exchange)
        return self.emulated_api.answer_cancel(job, canceled=canceled, request_id=exchange.request_id)

    def _entry(self, call: SubmitCall, exchange: _Exchange) -> Entry:
        self._submits += 1
        simulated = self.scenario.simulated(call.request, self._submits, seed=self.webhook_queue.seed)
        webhook = self.webhook_queue.webhook(call, self._submits, origin=exchange.origin, event_id=str(uuid4()))
        if webhook is not None and webhook.plan.early:
            simulated = evolve(simulated, queue=0.0, run=0.0)
        return Entry(
            # Not seeded: two runs must never give two tasks the same id.
            id=self.emulated_api.task_id(secrets.randbits(128)),
            request=call.request,
            video_file=uuid4().hex,
            submit_id=exchange.request_id,
            created=exchange.now,
            queue=simulated.queue / self._speed,
            run=simulated.run / self._speed,
            failure=simulated.failure,
            webhook=webhook,
        )

    def _job(self, entry: Entry, exchange: _Exchange) -> Job:
        task = self._task(entry, exchange)
        if entry.seen is None:
            entry.seen = task
        base_url = f"{exchange.origin}/{self.emulated_api.name}{self.emulated_api.root}"
        return Job(request=entry.request, task=task, seen=entry.seen, submit_id=entry.submit_id, base_url=base_url)

    def _task(self, entry: Entry, exchange: _Exchange) -> Task:
        ref = TaskRef(self.emulated_api.name, entry.id)
        return task_at(exchange.now, entry, ref, video=lambda: self._video(entry, exchange.origin))

    def _video(self, entry: Entry, origin: str) -> Video:
        expires = self._url_expires(entry)
        media_spec = self._media_spec(entry)
        return Video(
            url=self.storage.links.make(origin, f"/videos/{entry.video_file}.mp4", expires=expires),
            cover_url=self.storage.links.make(origin, f"/videos/{entry.video_file}.jpg", expires=expires),
            expires_at=at(expires),
            width=media_spec.width,
            height=media_spec.height,
            duration=media_spec.seconds,
        )

    def _media_spec(self, entry: Entry) -> MediaSpec:
        return MediaSpec.of(
            entry.request, provider=self.emulated_api.name, pictures=entry.pictures, source=entry.source
        )


def _opposite(task: Task) -> Task:
    """Return *task* with the opposite end."""
    if task.status is TaskStatus.FAILED:
        video = Video(url="https://forged.invalid/video.mp4")
        return evolve(task, status=TaskStatus.SUCCEEDED, error=None, videos=(video,))
    failure = TaskFailure(reason=FailureReason.CONTENT_REJECTED)
    return evolve(task, status=TaskStatus.FAILED, error=failure, videos=(), usage=None)
