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

from ..dialect import (
    Call,
    CallbackNotice,
    CancelCall,
    Dialect,
    FetchCall,
    Job,
    JobPage,
    ListCall,
    Problem,
    Quotas,
    RefusalError,
    SubmitCall,
)
from ..messages import HttpRequest, HttpResponse
from ..task import FailureReason, Task, TaskFailure, TaskRef, TaskStatus, Usage, Video
from .account import Account, Entry, KeyReusedError, QueueFullError
from .callbacks import CallbackScenario, Posting
from .faults.fault import Operation, Scene
from .footage import Footage, ratio_of, resolution_of, seconds_of, source_seconds_of
from .links import Links
from .outbox import Outbox
from .scenario import Scenario

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
    play: _Play | None = None
    """The fault that is played on it."""


@frozen
class _Play:
    injection: Injection
    scene: Scene

    def shown(self, job: Job) -> Job | None:
        """Change what is said of *job*; `None`: it is not known."""
        task = self.injection.fault.seen(job.task, self.scene)
        return None if task is None else evolve(job, task=task, seen=task)


class EmulatedProvider:
    """
    Answers like the provider whose *dialect* it is given.

    Every API key is an account of its own, which sees its own tasks only.

    :param speed: every duration is divided by it.
    :param quotas: `None`: the account may do all it likes.
    :param api_key: the only key that is accepted; `None`: any is.
    :param callbacks: how callbacks fare.
    :param callback_secret: what they are signed with.
    :param events_url: where they go if the provider has that set up outside its API.
    :param faults: what goes wrong; `None`: nothing does.
    """

    def __init__(
        self,
        dialect: Dialect,
        *,
        scenario: Scenario,
        links: Links,
        seed: int = 0,
        speed: float = 1.0,
        quotas: Quotas | None = None,
        api_key: str | None = None,
        callbacks: CallbackScenario | None = None,
        callback_secret: str | None = None,
        events_url: str | None = None,
        faults: Faults | None = None,
    ) -> None:
        self.dialect = dialect
        self.billed = 0
        """How many tasks were taken, and would have been paid for."""
        self._scenario = scenario
        self._links = links
        self._seed = f"{seed}/{dialect.name}"
        self._speed = speed
        self._quotas = quotas or Quotas()
        self._api_key = api_key
        self._faults = faults
        self._accounts: dict[str, Account] = {}
        self._films: dict[str, Entry] = {}
        self._submits = 0
        self._callback_secret = callback_secret
        self.outbox = Outbox(
            dialect.callback_rules,
            callbacks or CallbackScenario(),
            events_url=events_url,
            seed=self._seed,
            lifetime=dialect.lifetime / speed,
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
            call = self.dialect.read(request)
            moment = evolve(moment, play=self._play(call, moment))
            wait = account.wait_for(call, now=now)
            if wait:
                raise RefusalError(evolve(self.dialect.refusal(Problem.TOO_FAST), retry_after=wait))
            answer = self._answer(call, account, moment)
        except RefusalError as error:
            answer = self.dialect.answer_refusal(error.refusal, request_id=moment.request_id)
        return answer if moment.play is None else moment.play.injection.play(answer, moment.play.scene)

    def _play(self, call: Call, moment: _Moment) -> _Play | None:
        operation = _OPERATIONS[type(call)]
        injection = self._faults.next(operation, self.dialect.name) if self._faults is not None else None
        if injection is None:
            return None

        def refuse(problem: Problem) -> HttpResponse:
            return self.dialect.answer_refusal(self.dialect.refusal(problem), request_id=moment.request_id)

        scene = Scene(operation=operation, now=moment.now, refuse=refuse)
        return _Play(injection, scene)

    def footage(self, film: str) -> Footage | None:
        """Say what the video called *film* shows; `None` where there is no such video."""
        entry = self._films.get(film)
        return None if entry is None else Footage.of(entry.request, provider=self.dialect.name)

    def callback(self, entry: Entry, posting: Posting, *, now: float, forged: bool = False) -> HttpRequest:
        """
        Write the message that tells of the end of a task.

        :param forged: as one who does not know the secret, and who tells the contrary.
        """
        job = self._job(entry, _Moment(now, posting.origin, posting.event_id))
        secret = self._callback_secret
        if forged:
            job = evolve(job, task=_contrary(job.task))
            secret = secret and secrets.token_hex(16)
        notice = CallbackNotice(job=job, url=posting.url, event_id=posting.event_id, sent_at=_at(now), secret=secret)
        return self.dialect.write_callback(notice)

    def _account(self, request: HttpRequest) -> Account:
        key = self.dialect.api_key(request)
        if key is None:
            raise self.dialect.refuse(Problem.NO_KEY)
        if self._api_key not in (None, key):
            raise self.dialect.refuse(Problem.WRONG_KEY)
        if key not in self._accounts:
            lifetime = self.dialect.lifetime / self._speed
            self._accounts[key] = Account(self._quotas, lifetime=lifetime, speed=self._speed)
        return self._accounts[key]

    def _answer(self, call: Call, account: Account, moment: _Moment) -> HttpResponse:
        if moment.play is not None and not moment.play.injection.fault.taken:
            raise self.dialect.refuse(Problem.UNAVAILABLE)
        if isinstance(call, SubmitCall):
            return self._submit(call, account, moment)
        if isinstance(call, ListCall):
            entries, total = account.page(call, now=moment.now)
            jobs = (self._shown(entry, moment) for entry in entries)
            page = JobPage(jobs=tuple(job for job in jobs if job is not None), total=total)
            return self.dialect.answer_list(call, page, request_id=moment.request_id)
        entry = account.find(call.task_id, now=moment.now)
        if entry is None:
            return self.dialect.answer_missing(call, request_id=moment.request_id)
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
                self._keep_film(entry, now=moment.now)
                self.outbox.add(entry)
        except KeyReusedError:
            raise self.dialect.refuse(Problem.KEY_REUSED) from None
        except QueueFullError:
            raise self.dialect.refuse(Problem.QUEUE_FULL) from None
        return self.dialect.answer_submit(self._job(entry, moment), request_id=moment.request_id, replayed=replayed)

    def _keep_film(self, entry: Entry, *, now: float) -> None:
        while self._films and now >= self._film_dies(next(iter(self._films.values()))):
            del self._films[next(iter(self._films))]
        self._films[entry.film] = entry

    def _film_dies(self, entry: Entry) -> float:
        # Nobody can learn the URL of a task that ends after it was forgotten.
        ends = min(entry.ends, entry.created + self.dialect.lifetime / self._speed)
        return ends + self.dialect.url_lifetime / self._speed

    def _fetch(self, call: FetchCall, entry: Entry, moment: _Moment) -> HttpResponse:
        entry.seen = self._task(entry, moment)
        job = self._shown(entry, moment)
        if job is None:
            return self.dialect.answer_missing(call, request_id=moment.request_id)
        return self.dialect.answer_fetch(job, request_id=moment.request_id)

    def _shown(self, entry: Entry, moment: _Moment) -> Job | None:
        job = self._job(entry, moment)
        return job if moment.play is None else moment.play.shown(job)

    def _cancel(self, entry: Entry, account: Account, moment: _Moment) -> HttpResponse:
        canceled = account.cancel(entry, now=moment.now)
        if canceled:
            self.outbox.rearrange()
        return self.dialect.answer_cancel(self._job(entry, moment), canceled=canceled, request_id=moment.request_id)

    def _entry(self, call: SubmitCall, moment: _Moment) -> Entry:
        self._submits += 1
        course = self._scenario.course(call.request, self._submits, seed=self._seed)
        posting = self._posting(call, moment)
        if posting is not None and posting.passage.early:
            course = evolve(course, queue=0.0, run=0.0)
        return Entry(
            # Not seeded: two runs must never give two tasks the same id.
            id=self.dialect.task_id(secrets.randbits(128)),
            request=call.request,
            film=uuid4().hex,
            submit_id=moment.request_id,
            created=moment.now,
            queue=course.queue / self._speed,
            run=course.run / self._speed,
            failure=course.failure,
            posting=posting,
        )

    def _posting(self, call: SubmitCall, moment: _Moment) -> Posting | None:
        url = self.outbox.destination(call)
        if url is None:
            return None
        passage = self.outbox.passage(self._submits)
        return Posting(url=url, origin=moment.origin, event_id=str(uuid4()), passage=passage)

    def _job(self, entry: Entry, moment: _Moment) -> Job:
        task = self._task(entry, moment)
        if entry.seen is None:
            entry.seen = task
        return Job(request=entry.request, task=task, seen=entry.seen, submit_id=entry.submit_id)

    def _task(self, entry: Entry, moment: _Moment) -> Task:
        status = entry.status(moment.now)
        delivered = status is TaskStatus.SUCCEEDED and entry.failure is None
        return Task(
            ref=TaskRef(self.dialect.name, entry.id),
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
        expires = self._film_dies(entry)
        footage = Footage.of(entry.request, provider=self.dialect.name)
        return Video(
            url=self._links.make(origin, f"/videos/{entry.film}.mp4", expires=expires),
            cover_url=self._links.make(origin, f"/videos/{entry.film}.jpg", expires=expires),
            expires_at=_at(expires),
            width=footage.width,
            height=footage.height,
            duration=footage.seconds,
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
