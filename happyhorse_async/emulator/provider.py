"""
One emulated provider: a dialect, the accounts that use it and the scenario that decides what becomes of their tasks.

No network and no clock: a message comes in with the time, and a message goes out.
"""

from __future__ import annotations

import math
import secrets
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import uuid4

from attrs import evolve, frozen

from ..emulation import (
    ApiError,
    ApiFault,
    Call,
    CallbackNotice,
    CancelCall,
    EmulatedAPI,
    FetchCall,
    Job,
    JobPage,
    ListCall,
    ProviderLimits,
    SubmitCall,
)
from ..messages import HttpRequest, HttpResponse
from ..task import FailureReason, Task, TaskFailure, TaskRef, TaskStatus, Usage, Video
from .account import Account, Entry, KeyReusedError, QueueFullError
from .faults.fault import CallContext, Operation
from .media_spec import MediaSpec, ratio_of, resolution_of, seconds_of, source_seconds_of
from .scenario import Scenario
from .signed_urls import SignedUrls
from .webhook_plan import CallbackScenario, Webhook
from .webhook_queue import WebhookQueue

if TYPE_CHECKING:
    from .faults.injection import Broken, Faults, Injection

_OPERATIONS: dict[type[Call], Operation] = {
    SubmitCall: Operation.SUBMIT,
    FetchCall: Operation.QUERY,
    ListCall: Operation.LIST,
    CancelCall: Operation.CANCEL,
}


@frozen
class _Moment:
    """One call: when and where it came in, and its id."""

    now: float
    origin: str
    request_id: str
    play: _AppliedFault | None = None
    """The fault that is played on it."""


@frozen
class _AppliedFault:
    injection: Injection
    context: CallContext

    def shown(self, job: Job) -> Job | None:
        """Change what is said of *job*; `None`: it is not known."""
        task = self.injection.fault.seen(job.task, self.context)
        return None if task is None else evolve(job, task=task, seen=task)


class EmulatedProvider:
    """
    Answers like the provider whose *dialect* it is given.

    Every API key is an account of its own, which sees its own tasks only.

    :param speed: every duration is divided by it.
    :param limits: `None`: the account may do all it likes.
    :param api_key: the only key that is accepted; `None`: any is.
    :param callbacks: how callbacks fare.
    :param callback_secret: what they are signed with.
    :param events_url: where they go if the provider has that set up outside its API.
    :param faults: what goes wrong; `None`: nothing does.
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
        api_key: str | None = None,
        callbacks: CallbackScenario | None = None,
        callback_secret: str | None = None,
        events_url: str | None = None,
        faults: Faults | None = None,
    ) -> None:
        self.emulated_api = emulated_api
        self.billed = 0
        """How many tasks were taken, and would have been paid for."""
        self._scenario = scenario
        self._links = links
        self._seed = f"{seed}/{emulated_api.name}"
        self._speed = speed
        self._limits = limits or ProviderLimits()
        self._api_key = api_key
        self._faults = faults
        self._accounts: dict[str, Account] = {}
        self._films: dict[str, Entry] = {}
        self._submits = 0
        self._callback_secret = callback_secret
        self.webhook_queue = WebhookQueue(
            emulated_api.callback_rules,
            callbacks or CallbackScenario(),
            events_url=events_url,
            seed=self._seed,
            task_ttl=emulated_api.task_ttl / speed,
        )

    def handle(self, request: HttpRequest, *, now: float, origin: str) -> HttpResponse | Broken:
        """
        Answer *request*.

        :param now: Unix seconds.
        :param origin: where videos can be fetched, such as `"http://127.0.0.1:8000"`.
        """
        moment = _Moment(now, origin, str(uuid4()))
        try:
            account = self._account(request)
            call = self.emulated_api.read(request)
            moment = evolve(moment, play=self._play(call, moment))
            wait = account.wait_for(call, now=now)
            if wait:
                raise ApiError(evolve(self.emulated_api.refusal(ApiFault.TOO_FAST), retry_after=wait))
            answer = self._answer(call, account, moment)
        except ApiError as error:
            answer = self.emulated_api.answer_error(error.refusal, request_id=moment.request_id)
        return answer if moment.play is None else moment.play.injection.play(answer, moment.play.context)

    def _play(self, call: Call, moment: _Moment) -> _AppliedFault | None:
        operation = _OPERATIONS[type(call)]
        injection = self._faults.next(operation, self.emulated_api.name) if self._faults is not None else None
        if injection is None:
            return None

        def refuse(problem: ApiFault) -> HttpResponse:
            return self.emulated_api.answer_error(self.emulated_api.refusal(problem), request_id=moment.request_id)

        context = CallContext(operation=operation, now=moment.now, refuse=refuse)
        return _AppliedFault(injection, context)

    def media_spec(self, video_file: str) -> MediaSpec | None:
        """Say what the video called *film* shows; `None` where there is no such video."""
        entry = self._films.get(video_file)
        return None if entry is None else MediaSpec.of(entry.request, provider=self.emulated_api.name)

    def callback(self, entry: Entry, webhook: Webhook, *, now: float, forged: bool = False) -> HttpRequest:
        """
        Write the message that tells of the end of a task.

        :param forged: as one who does not know the secret, and who tells the contrary.
        """
        job = self._job(entry, _Moment(now, webhook.origin, webhook.event_id))
        secret = self._callback_secret
        if forged:
            job = evolve(job, task=_contrary(job.task))
            secret = secret and secrets.token_hex(16)
        notice = CallbackNotice(job=job, url=webhook.url, event_id=webhook.event_id, sent_at=_at(now), secret=secret)
        return self.emulated_api.write_callback(notice)

    def _account(self, request: HttpRequest) -> Account:
        key = self.emulated_api.api_key(request)
        if key is None:
            raise self.emulated_api.refuse(ApiFault.NO_KEY)
        if self._api_key not in (None, key):
            raise self.emulated_api.refuse(ApiFault.WRONG_KEY)
        if key not in self._accounts:
            task_ttl = self.emulated_api.task_ttl / self._speed
            self._accounts[key] = Account(self._limits, task_ttl=task_ttl, speed=self._speed)
        return self._accounts[key]

    def _answer(self, call: Call, account: Account, moment: _Moment) -> HttpResponse:
        if moment.play is not None and not moment.play.injection.fault.taken:
            raise self.emulated_api.refuse(ApiFault.UNAVAILABLE)
        if isinstance(call, SubmitCall):
            return self._submit(call, account, moment)
        if isinstance(call, ListCall):
            entries, total = account.page(call, now=moment.now)
            jobs = (self._shown(entry, moment) for entry in entries)
            page = JobPage(jobs=tuple(job for job in jobs if job is not None), total=total)
            return self.emulated_api.answer_list(call, page, request_id=moment.request_id)
        entry = account.find(call.task_id, now=moment.now)
        if entry is None:
            return self.emulated_api.answer_missing(call, request_id=moment.request_id)
        if isinstance(call, CancelCall):
            return self._cancel(entry, account, moment)
        return self._fetch(call, entry, moment)

    def _submit(self, call: SubmitCall, account: Account, moment: _Moment) -> HttpResponse:
        try:
            entry = account.earlier(call, now=moment.now)
            replayed = entry is not None
            if entry is None:
                entry = self._entry(call, moment)
                account.add(entry, call, now=moment.now)
                self.billed += 1
                self._keep_video_file(entry, now=moment.now)
                self.webhook_queue.add(entry)
        except KeyReusedError:
            raise self.emulated_api.refuse(ApiFault.KEY_REUSED) from None
        except QueueFullError:
            raise self.emulated_api.refuse(ApiFault.QUEUE_FULL) from None
        return self.emulated_api.answer_submit(
            self._job(entry, moment), request_id=moment.request_id, replayed=replayed
        )

    def _keep_video_file(self, entry: Entry, *, now: float) -> None:
        while self._films and now >= self._video_file_expires(next(iter(self._films.values()))):
            del self._films[next(iter(self._films))]
        self._films[entry.video_file] = entry

    def _video_file_expires(self, entry: Entry) -> float:
        # Nobody can learn the URL of a task that ends after it was forgotten.
        ends = min(entry.ends, entry.created + self.emulated_api.task_ttl / self._speed)
        return ends + self.emulated_api.url_lifetime / self._speed

    def _fetch(self, call: FetchCall, entry: Entry, moment: _Moment) -> HttpResponse:
        entry.seen = self._task(entry, moment)
        job = self._shown(entry, moment)
        if job is None:
            return self.emulated_api.answer_missing(call, request_id=moment.request_id)
        return self.emulated_api.answer_fetch(job, request_id=moment.request_id)

    def _shown(self, entry: Entry, moment: _Moment) -> Job | None:
        job = self._job(entry, moment)
        return job if moment.play is None else moment.play.shown(job)

    def _cancel(self, entry: Entry, account: Account, moment: _Moment) -> HttpResponse:
        canceled = account.cancel(entry, now=moment.now)
        if canceled:
            self.webhook_queue.rearrange()
        return self.emulated_api.answer_cancel(
            self._job(entry, moment), canceled=canceled, request_id=moment.request_id
        )

    def _entry(self, call: SubmitCall, moment: _Moment) -> Entry:
        self._submits += 1
        simulated = self._scenario.simulated(call.request, self._submits, seed=self._seed)
        webhook = self._webhook(call, moment)
        if webhook is not None and webhook.delivery_plan.early:
            simulated = evolve(simulated, queue=0.0, run=0.0)
        return Entry(
            # Not seeded: two runs must never give two tasks the same id.
            id=self.emulated_api.task_id(secrets.randbits(128)),
            request=call.request,
            video_file=uuid4().hex,
            submit_id=moment.request_id,
            created=moment.now,
            queue=simulated.queue / self._speed,
            run=simulated.run / self._speed,
            failure=simulated.failure,
            webhook=webhook,
        )

    def _webhook(self, call: SubmitCall, moment: _Moment) -> Webhook | None:
        url = self.webhook_queue.destination(call)
        if url is None:
            return None
        delivery_plan = self.webhook_queue.delivery_plan(self._submits)
        return Webhook(url=url, origin=moment.origin, event_id=str(uuid4()), delivery_plan=delivery_plan)

    def _job(self, entry: Entry, moment: _Moment) -> Job:
        task = self._task(entry, moment)
        if entry.seen is None:
            entry.seen = task
        return Job(request=entry.request, task=task, seen=entry.seen, submit_id=entry.submit_id)

    def _task(self, entry: Entry, moment: _Moment) -> Task:
        status = entry.status(moment.now)
        delivered = status is TaskStatus.SUCCEEDED and entry.failure is None
        return Task(
            ref=TaskRef(self.emulated_api.name, entry.id),
            status=status,
            progress=_progress(entry, status, moment.now),
            videos=(self._video(entry, moment.origin),) if delivered else (),
            error=TaskFailure(reason=entry.failure) if status is TaskStatus.FAILED and entry.failure else None,
            usage=_usage(entry) if delivered else None,
            model=entry.request.model,
            created_at=_at(entry.created),
            started_at=_at(entry.begins) if status not in (TaskStatus.PENDING, TaskStatus.CANCELED) else None,
            finished_at=_finished_at(entry, status),
        )

    def _video(self, entry: Entry, origin: str) -> Video:
        expires = self._video_file_expires(entry)
        media_spec = MediaSpec.of(entry.request, provider=self.emulated_api.name)
        return Video(
            url=self._links.make(origin, f"/videos/{entry.video_file}.mp4", expires=expires),
            cover_url=self._links.make(origin, f"/videos/{entry.video_file}.jpg", expires=expires),
            expires_at=_at(expires),
            width=media_spec.width,
            height=media_spec.height,
            duration=media_spec.seconds,
        )


def _progress(entry: Entry, status: TaskStatus, now: float) -> float:
    if status is TaskStatus.RUNNING and entry.run < math.inf:
        return 100 * (now - entry.begins) / entry.run
    return 100.0 if status is TaskStatus.SUCCEEDED else 0.0


def _finished_at(entry: Entry, status: TaskStatus) -> datetime | None:
    if entry.canceled is not None:
        return _at(entry.canceled)
    return _at(entry.ends) if status.is_terminal else None


def _contrary(task: Task) -> Task:
    """Tell of the end of *task* what is not true."""
    if task.status is TaskStatus.FAILED:
        video = Video(url="https://forged.invalid/video.mp4")
        return evolve(task, status=TaskStatus.SUCCEEDED, error=None, videos=(video,))
    failure = TaskFailure(reason=FailureReason.CONTENT_REJECTED)
    return evolve(task, status=TaskStatus.FAILED, error=failure, videos=(), usage=None)


def _usage(entry: Entry) -> Usage:
    made, taken = seconds_of(entry.request), source_seconds_of(entry.request)
    return Usage(
        duration=made + taken,
        input_duration=taken,
        output_duration=made,
        resolution=resolution_of(entry.request),
        ratio=ratio_of(entry.request),
        count=1,
    )


def _at(moment: float) -> datetime:
    return datetime.fromtimestamp(moment, UTC)
