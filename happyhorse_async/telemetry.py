"""
Traces and metrics with OpenTelemetry, if its API is installed (extra `otel`) and the application has configured a
provider of traces or metrics. Otherwise every function here does nothing.

A job has one span, from when it is recorded or resumed here until it has ended. Its uploads, submits, polls, downloads
and callbacks are spans below it. A wait, a fetch, a cancellation, a download, a stream and a callback that happen
inside a span of the application belong to that span, with a link to the job's.

Names follow the semantic conventions for generative AI where these have a name:
https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-spans/. No span and no metric holds a prompt, a URL, a
message of a provider, or the caller's key.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Generator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from .errors import HappyHorseError, SubmitOutcomeUnknownError, WaitTimeoutError
from .job import Endpoint, Job
from .task import Task

# Other packages may create the namespace package without the API.
_IS_INSTALLED = find_spec("opentelemetry") is not None and find_spec("opentelemetry.trace") is not None

if TYPE_CHECKING or _IS_INSTALLED:
    from opentelemetry import metrics, trace
    from opentelemetry.context import Context
    from opentelemetry.trace import Span
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

T = TypeVar("T")

_SCOPE = "happyhorse_async"
_OPERATION = "generate_content"
# Spans in which nothing is asked of another server.
_INTERNAL = ("wait", "callback")
_API = ("opentelemetry.trace", "opentelemetry.metrics")

if TYPE_CHECKING or _IS_INSTALLED:
    _tracer = trace.get_tracer(_SCOPE)
    _meter = metrics.get_meter(_SCOPE)
    _submits = _meter.create_counter(
        "happyhorse.client.submits", unit="{request}", description="Paid requests, each attempt by its outcome."
    )
    _polls = _meter.create_counter(
        "happyhorse.client.polls", unit="{request}", description="Status requests: of one task, or of the task list."
    )
    _rate_limited = _meter.create_counter(
        "happyhorse.client.rate_limited", unit="{response}", description="Requests that were refused with 429."
    )
    _in_flight = _meter.create_up_down_counter(
        "happyhorse.client.jobs.in_flight", unit="{job}", description="Jobs that have not ended."
    )
    _notice_delay = _meter.create_histogram(
        "happyhorse.client.notice.delay",
        unit="s",
        description="From the end of a task, by the provider's clock, until it was noticed.",
    )
    _billed = _meter.create_counter(
        "happyhorse.client.billed.duration", unit="s", description="Seconds of video that the provider has billed."
    )
    _unknown = _meter.create_counter(
        "happyhorse.client.outcome_unknown", unit="{job}", description="Jobs that may have been accepted and billed."
    )
    _duration = _meter.create_histogram(
        "gen_ai.client.operation.duration", unit="s", description="From the start of a job until its end."
    )


def _is_recorded() -> bool:
    """Return whether the application has configured a provider: until then the API uses its own no-op one."""
    if not _IS_INSTALLED:
        return False
    providers = (trace.get_tracer_provider(), metrics.get_meter_provider())
    return any(not type(provider).__module__.startswith(_API) for provider in providers)


def current_span() -> str | None:
    """Return the caller's span for `Job.trace_parent`; `None` if there is none."""
    if not _is_recorded():
        return None
    carrier: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(carrier)
    return carrier.get("traceparent")


def _context_of(job: Job) -> Context | None:
    """Return the parent of the span of *job*: in the trace of the process that recorded it, if that is another."""
    if job.trace_parent is None:
        return None
    recorded = TraceContextTextMapPropagator().extract({"traceparent": job.trace_parent}, Context())
    there, here = (trace.get_current_span(context).get_span_context() for context in (recorded, None))
    return None if here.trace_id == there.trace_id else recorded


class JobSpan:
    """The span of one job, and the common attributes of its metrics."""

    __slots__ = ("_began_at", "_span", "context", "has_ended", "labels")

    def __init__(self, job: Job) -> None:
        self.labels = labels(job.endpoint, job.model)
        self.has_ended = False
        self._began_at = time.monotonic()
        self._span = _tracer.start_span(
            f"{_OPERATION} {job.model}".rstrip(),
            context=_context_of(job),
            kind=trace.SpanKind.CLIENT,
            attributes=_attributes(job, self.labels),
        )
        self.context = trace.set_span_in_context(self._span)
        _in_flight.add(1, self.labels)

    @property
    def link(self) -> trace.Link:
        """A link to the span, for a span that belongs to the application."""
        return trace.Link(self._span.get_span_context())

    def moved(self, job: Job, reason: HappyHorseError) -> None:
        """Note that another account gets the job."""
        left, now = self.labels, labels(job.endpoint, job.model)
        _in_flight.add(-1, left)
        _in_flight.add(1, now)
        self.labels = now
        self._span.set_attributes(now)
        account = "happyhorse.account"
        self._span.add_event(
            "happyhorse.job.moved",
            {f"{account}.left": left[account], account: now[account], "error.type": type(reason).__name__},
        )

    def end(self, task: Task | None, error: HappyHorseError | None) -> None:
        """End the span: the task has ended, or no further event is expected."""
        self.has_ended = True
        _in_flight.add(-1, self.labels)
        if task is not None:
            self._span.set_attribute("gen_ai.response.id", task.id)
            _show(self._span, task)
            self._measure(task)
        if isinstance(error, WaitTimeoutError):
            # The client is closed, and the job goes on: the next process that polls it has the rest of the trace.
            self._span.add_event("happyhorse.job.left")
            self._span.end()
            return
        if isinstance(error, SubmitOutcomeUnknownError):
            _unknown.add(1, self.labels)
        failure = None if error is None else type(error).__name__
        if failure is None and task is not None and not task.videos:
            failure = task.error.reason if task.error else task.status
        if failure is not None:
            _fail(self._span, failure)
        outcome = {**self.labels, **({} if failure is None else {"error.type": str(failure)})}
        _duration.record(time.monotonic() - self._began_at, {**outcome, "gen_ai.operation.name": _OPERATION})
        self._span.end()

    def _measure(self, task: Task) -> None:
        if task.usage is not None and task.usage.duration:
            self._span.set_attribute("happyhorse.billed.duration", task.usage.duration)
            _billed.add(task.usage.duration, self.labels)
        if task.finished_at is not None and task.observed_at is not None and task.status.is_terminal:
            # The two clocks may differ.
            _notice_delay.record(max(0.0, (task.observed_at - task.finished_at).total_seconds()), self.labels)


def begin(job: Job, current: JobSpan | None = None) -> JobSpan | None:
    """Return the span of *job*: *current*, or a new one below the caller's span if that has ended."""
    if current is not None and not current.has_ended:
        return current
    return JobSpan(job) if _is_recorded() else None


def end(span: JobSpan, task: Task | None, error: HappyHorseError | None) -> None:
    """End the span of a job, if it has not ended."""
    if not span.has_ended:
        span.end(task, error)


def moved(span: JobSpan | None, job: Job, reason: HappyHorseError) -> None:
    """Note in the span of *job* that another account gets it."""
    if span is not None and not span.has_ended:
        span.moved(job, reason)


def submit(job: JobSpan, request: Awaitable[Task]) -> Awaitable[Task]:
    """Return *request* as a span of the job, and count it."""
    return _traced("submit", request, job, counter=_submits, counted=job.labels)


def poll(job: JobSpan, request: Awaitable[Task]) -> Awaitable[Task]:
    """Return *request* as a span of the job, and count it."""
    return _traced("poll", request, job, counter=_polls, counted={**job.labels, "happyhorse.poll": "task"})


def poll_list(endpoint: Endpoint, request: Awaitable[T]) -> Awaitable[T]:
    """Return *request* as its own span, since it is for many jobs, and count it."""
    if not _is_recorded():
        return request
    counted = {**labels(endpoint), "happyhorse.poll": "list"}
    return _traced("poll list", request, None, counter=_polls, counted=counted)


def wait(job: JobSpan, waiting: Awaitable[T]) -> Awaitable[T]:
    """Return *waiting* as a span of the caller's, or else of the job."""
    return _traced("wait", waiting, job, is_callers=True)


def download(job: JobSpan | None, downloading: Awaitable[T], *, is_callers: bool = True) -> Awaitable[T]:
    """Return *downloading* as a span of the caller's, or else of the job."""
    return _traced("download", downloading, job, is_callers=is_callers) if _is_recorded() else downloading


def query(name: str, endpoint: Endpoint, job: JobSpan | None, request: Awaitable[T]) -> Awaitable[T]:
    """Return *request*, a caller's `fetch` or `cancel`, as a span of the caller's, or else of the job."""
    if not _is_recorded():
        return request
    account = labels(endpoint)
    if name != "fetch":
        return _traced(name, request, job, is_callers=True, counted=account)
    counted = {**account, "happyhorse.poll": "task"}
    return _traced(name, request, job, is_callers=True, counter=_polls, counted=counted)


@contextmanager
def stream(job: JobSpan | None) -> Generator[None]:
    """Make the block, in which a video is streamed, a span of the caller's, or else of the job."""
    if not _is_recorded():
        yield
        return
    # Not the current span: the block is the caller's, and may be left in another context.
    with _tracer.start_span("stream", **_place("stream", job, is_callers=True)) as span:
        try:
            yield
        except (Exception, asyncio.CancelledError) as error:
            _fail(span, type(error).__name__, getattr(error, "status_code", None))
            raise


def upload(job: JobSpan | None, uploading: Awaitable[T]) -> Awaitable[T]:
    """Return *uploading*, of local media, as a span of the job, or else, before there is one, of the caller's."""
    return _traced("upload", uploading, job, is_callers=job is None) if _is_recorded() else uploading


def callback(job: JobSpan | None, processing: Awaitable[T]) -> Awaitable[T]:
    """Return the *processing* of a callback as a span of the incoming request, or else of the job."""
    return _traced("callback", processing, job, is_callers=True) if _is_recorded() else processing


def rate_limited(endpoint: Endpoint, requests: str) -> None:
    """Count a 429 in answer to *requests*: queries or submits."""
    if _is_recorded():
        _rate_limited.add(1, {**labels(endpoint), "happyhorse.requests": requests})


def labels(endpoint: Endpoint, model: str = "") -> dict[str, str]:
    """Return the attributes of metrics, which have low cardinality."""
    found = {"gen_ai.provider.name": endpoint.adapter, "happyhorse.account": endpoint.provider}
    return {**found, "gen_ai.request.model": model} if model else found


async def _traced(
    name: str,
    work: Awaitable[T],
    job: JobSpan | None,
    *,
    is_callers: bool = False,
    counter: metrics.Counter | None = None,
    counted: Mapping[str, str] | None = None,
) -> T:
    outcome = "ok"
    place = _place(name, job, is_callers=is_callers, account=counted)
    with _tracer.start_as_current_span(name, **place) as span:
        try:
            done = await work
            if isinstance(done, Task):
                _show(span, done)
        except (Exception, asyncio.CancelledError) as error:
            outcome = type(error).__name__
            _fail(span, outcome, getattr(error, "status_code", None))
            raise
        finally:
            if counter is not None:
                counter.add(1, {**(counted or {}), "outcome": outcome})
    return done


def _place(
    name: str, job: JobSpan | None, *, is_callers: bool, account: Mapping[str, str] | None = None
) -> dict[str, Any]:
    is_inside = is_callers and trace.get_current_span().get_span_context().is_valid
    return {
        # The background tasks that poll and submit were started in the context of an arbitrary caller, not of the job.
        "context": None if is_inside else Context() if job is None else job.context,
        "kind": trace.SpanKind.INTERNAL if name in _INTERNAL else trace.SpanKind.CLIENT,
        "attributes": account if job is None else job.labels,
        "links": [job.link] if is_inside and job is not None else None,
        # Messages and tracebacks may hold a prompt that a provider has echoed.
        "record_exception": False,
        "set_status_on_exception": False,
    }


def _attributes(job: Job, shared: dict[str, str]) -> dict[str, str]:
    host = urlsplit(job.endpoint.base_url).hostname
    return {
        **shared,
        "gen_ai.operation.name": _OPERATION,
        "gen_ai.output.type": "video",
        "happyhorse.job.id": job.job_id,
        **({"server.address": host} if host else {}),
    }


def _show(span: Span, task: Task) -> None:
    span.set_attributes({"happyhorse.task.ref": str(task.ref), "happyhorse.task.status": task.status.value})
    if task.progress is not None:
        span.set_attribute("happyhorse.task.progress", task.progress)


def _fail(span: Span, kind: str, status: int | None = None) -> None:
    span.set_attribute("error.type", str(kind))
    if status is not None:
        span.set_attribute("http.response.status_code", status)
    if kind != asyncio.CancelledError.__name__:
        span.set_status(trace.StatusCode.ERROR)
