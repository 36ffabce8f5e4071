"""Traces and metrics: the spans of a job, what continues across callers, and what is never in them."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import AlwaysOffExemplarFilter, MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.id_generator import IdGenerator
from PIL import Image

import happyhorse_async as hh
from happyhorse_async import telemetry

from .download.videos import video_file

PROMPT = "a horse that nobody may read about in a trace"
REQUEST = hh.TextToVideo(PROMPT)
SECRET = "whsec-0123456789abcdef0123456789abcdef"


class Seen:
    """What was exported."""

    def __init__(self, exporter: InMemorySpanExporter, reader: InMemoryMetricReader) -> None:
        self._exporter = exporter
        self._reader = reader

    @property
    def spans(self) -> list[ReadableSpan]:
        """The spans that have ended, in the order of their start."""
        return sorted(self._exporter.get_finished_spans(), key=lambda span: span.start_time or 0)

    def named(self, name: str) -> list[ReadableSpan]:
        """The spans whose name begins so."""
        return [span for span in self.spans if span.name.startswith(name)]

    def children(self, parent: ReadableSpan) -> list[str]:
        """The names of the spans below *parent*."""
        mine = parent.get_span_context()
        return [span.name for span in self.spans if span.parent and mine and span.parent.span_id == mine.span_id]

    def metric(self, name: str) -> list[tuple[dict[str, Any], Any]]:
        """The attributes and values of a metric: for a histogram, its count."""
        data = self._reader.get_metrics_data()
        scopes = [scope for resource in data.resource_metrics for scope in resource.scope_metrics] if data else []
        points = [each.data.data_points for scope in scopes for each in scope.metrics if each.name == name]
        return [
            (dict(point.attributes or {}), getattr(point, "count", getattr(point, "value", None)))
            for found in points
            for point in found
        ]

    def everything(self) -> str:
        """All that was exported, as text."""
        data = self._reader.get_metrics_data()
        return "".join(span.to_json() for span in self.spans) + (data.to_json() if data else "")


class Ids(IdGenerator):
    """Makes ids without Python's shared generator, whose seed other tests of this process depend on."""

    def generate_span_id(self) -> int:
        return secrets.randbits(64) or 1

    def generate_trace_id(self) -> int:
        return secrets.randbits(128) or 1


@pytest.fixture(scope="session")
def exporter() -> InMemorySpanExporter:
    """Export to memory. The provider of a process can be set once."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False, id_generator=Ids())
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    return exporter


@pytest.fixture(scope="session")
def reader() -> InMemoryMetricReader:
    """Collect metrics in memory."""
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], shutdown_on_exit=False, exemplar_filter=AlwaysOffExemplarFilter())
    metrics.set_meter_provider(provider)
    return reader


@pytest.fixture
def seen(
    exporter: InMemorySpanExporter, reader: InMemoryMetricReader, caplog: pytest.LogCaptureFixture
) -> Iterator[Seen]:
    """What a test has exported. Neither that nor what it has logged may hold a prompt, a URL or a secret."""
    caplog.set_level(logging.DEBUG, "happyhorse_async")
    exporter.clear()
    found = Seen(exporter, reader)
    yield found
    records = [record for record in caplog.records if record.name.startswith("happyhorse_async")]
    shown = found.everything() + "".join(_all_of(record) for record in records)
    for secret in (PROMPT, "://", "sk-canary", "s3cr3t", SECRET):
        assert secret not in shown, f"{secret!r} was exported or logged"


def _all_of(record: logging.LogRecord) -> str:
    return f"{logging.Formatter().format(record)} {vars(record)}"


async def test_the_spans_of_a_job(gateway: Any, fifth: Any, seen: Seen) -> None:
    """A job is one span from submit to end; its submit, polls, wait and download are below it, in this order."""
    gateway.accept("t-1")
    gateway.show("t-1", "running", 502, "done")

    async with fifth.open() as client:
        await client.generate(REQUEST)

    (job,) = seen.named("generate_content")
    assert ["submit", "wait", "poll", "poll", "poll"] == seen.children(job)
    attributes = dict(job.attributes or {})
    assert attributes.pop("happyhorse.job.id").startswith("hh-")
    assert {
        "gen_ai.operation.name": "generate_content",
        "gen_ai.output.type": "video",
        "gen_ai.provider.name": "fifth",
        "gen_ai.request.model": "fifth-t2v",
        "gen_ai.response.id": "t-1",
        "happyhorse.account": "fifth",
        "happyhorse.task.ref": "fifth:t-1",
        "happyhorse.task.status": "SUCCEEDED",
        "server.address": "127.0.0.1",
    } == attributes
    assert "generate_content fifth-t2v" == job.name
    states = [(dict(span.attributes or {}).get("happyhorse.task.status")) for span in seen.named("poll")]
    assert ["RUNNING", None, "SUCCEEDED"] == states
    failed = dict(seen.named("poll")[1].attributes or {})
    assert ("ProviderError", 502) == (failed["error.type"], failed["http.response.status_code"])
    assert not any(span.events or span.status.description for span in seen.spans), "no message of a provider"


async def test_a_job_belongs_to_the_span_that_asked_for_it(gateway: Any, fifth: Any, seen: Seen) -> None:
    """The job, its polls and what waits for it are in the trace of the request of the application's own user."""
    gateway.accept("t-1", "t-2")
    gateway.show("t-1", "done")
    gateway.show("t-2", "done")

    async def handle_request(name: str, client: hh.Client) -> None:
        with trace.get_tracer("app").start_as_current_span(name):
            await client.generate(REQUEST)

    async with fifth.open() as client:
        # Polls run in tasks that the first request has started.
        await handle_request("first request", client)
        await handle_request("second request", client)

    for name in ("first request", "second request"):
        (request,) = seen.named(name)
        (job,) = [span for span in seen.named("generate") if span.parent == request.get_span_context()]
        assert sorted([job.name, "wait"]) == sorted(seen.children(request))
        assert ["submit", "poll"] == seen.children(job)
        (wait,) = [span for span in seen.named("wait") if span.parent == request.get_span_context()]
        assert [job.get_span_context()] == [link.context for link in wait.links]


async def test_a_record_of_a_poll_is_not_attributed_to_another_request(gateway: Any, fifth: Any, seen: Seen) -> None:
    """Polls of one request's task are not logged within the span of the request that has started the poller."""
    gateway.accept("t-1", "t-2")
    gateway.show("t-1", "done")
    gateway.show("t-2", 502, "done")
    spans: list[int] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if getattr(record, "event", None) == "poll_failed":
                spans.append(trace.get_current_span().get_span_context().trace_id)

    handler, logger = Handler(), logging.getLogger("happyhorse_async")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        async with fifth.open() as client:
            with trace.get_tracer("app").start_as_current_span("first request"):
                await client.generate(REQUEST)
            await client.generate(REQUEST)
    finally:
        logger.removeHandler(handler)
        logger.setLevel(logging.NOTSET)

    assert [0] == spans


async def test_a_download_is_below_its_job(gateway: Any, fifth: Any, seen: Seen, tmp_path: Path) -> None:
    """A download outside of any span of the application belongs to the job, also one for `save_to`."""
    gateway.accept("t-1", "t-2")
    gateway.show("t-1", "done")
    gateway.show("t-2", "done")
    gateway.on("GET", "/files/*", gateway.reply(video_file()))

    async with fifth.open() as client:
        handle = await client.submit(REQUEST)
        await handle.download(tmp_path / "one.mp4")
        await client.generate(REQUEST, save_to=tmp_path / "two.mp4")

    assert [1, 1] == [seen.children(job).count("download") for job in seen.named("generate_content")]


def bitmap(side: int) -> bytes:
    """A picture that is never sent inside a request."""
    target = io.BytesIO()
    Image.new("RGB", (side, side)).save(target, "BMP")
    return target.getvalue()


async def test_an_upload_is_a_span(gateway: Any, seen: Seen) -> None:
    """Of the caller, since it comes before the job, and of the job if that was enqueued."""
    policy = {"upload_dir": "d", "policy": "p", "signature": "s3cr3t", "oss_access_key_id": "LTAI"}
    gateway.on("GET", "/uploads", {"data": {**policy, "upload_host": f"{gateway.url}/store"}, "request_id": "r"})
    gateway.on("POST", "/store", gateway.reply(b""), 500, gateway.reply(b""))
    gateway.on("POST", "/services/*", {"output": {"task_id": "t-1", "task_status": "PENDING"}, "request_id": "r"})
    gateway.on("GET", "/tasks/*", {"output": {"task_id": "t-1", "task_status": "RUNNING"}, "request_id": "r"})
    async with hh.Client("dashscope", api_key="sk-canary", base_url=gateway.url) as client:
        with trace.get_tracer("app").start_as_current_span("POST /videos"):
            await client.submit(hh.ImageToVideo(bitmap(400)))
            with pytest.raises(hh.ProviderError):
                await client.submit(hh.ImageToVideo(bitmap(500)))
        handle = await client.enqueue(hh.ImageToVideo(bitmap(600)))
        async with asyncio.timeout(20):
            while (await client.job(handle.job_id)).ref is None:
                await asyncio.sleep(0.01)

    (request,) = seen.named("POST")
    assert ["upload", "generate_content happyhorse-1.1-i2v", "upload"] == seen.children(request)
    failures = [(span.attributes or {}).get("error.type") for span in seen.named("upload")]
    assert [None, "ProviderError", None] == failures
    assert ["upload", "submit"] == seen.children(seen.named("generate")[-1])[:2]


async def test_what_a_caller_asks_for_is_a_span(gateway: Any, fifth: Any, seen: Seen) -> None:
    """A fetch, a cancellation and a stream belong to the job, or inside a span of the application to that."""
    gateway.accept("t-1")
    gateway.show("t-1", "running", "done")
    gateway.on("POST", "/videos/t-1/cancel", {"canceled": False})
    gateway.on("GET", "/files/*", gateway.reply(video_file()))

    async with fifth.open(poll=hh.PollSchedule(interval=3600)) as client:
        handle = await client.submit(REQUEST)
        assert (await client.fetch(handle.ref)).status is hh.TaskStatus.RUNNING
        with trace.get_tracer("app").start_as_current_span("GET /videos"):
            task = await client.fetch(handle.ref)
            async with client.stream(task) as chunks:
                assert video_file() == b"".join([chunk async for chunk in chunks])
            await client.cancel(handle.ref)

    (job,), (request,) = seen.named("generate"), seen.named("GET")
    assert "fetch" in seen.children(job)
    assert ["fetch", "stream", "cancel", "fetch"] == seen.children(request)


async def test_a_fetch_without_a_job_names_its_account(gateway: Any, fifth: Any, seen: Seen) -> None:
    """A ref that the store does not know is asked for at an account too."""
    gateway.on("GET", "/videos/t-9", 404)

    async with fifth.open() as client:
        with pytest.raises(hh.HappyHorseError):
            await client.fetch("fifth:t-9")

    (fetch,) = seen.named("fetch")
    assert ("fifth", "fifth") == tuple(
        (fetch.attributes or {})[name] for name in ("gen_ai.provider.name", "happyhorse.account")
    )


async def test_a_callback_is_linked_to_its_job(gateway: Any, fifth: Any, seen: Seen) -> None:
    """A callback belongs to the request that brought it, with a link to the job, which it ends."""
    gateway.accept("t-1")
    gateway.show("t-1", "running")

    async with fifth.open(fifth.adapter(signed=True), poll=hh.PollSchedule(interval=3600)) as client:
        receiver = hh.CallbackReceiver(client, secret=SECRET)
        handle = await client.submit(REQUEST, callback_url="https://app.example/hook")
        waiting = asyncio.ensure_future(handle.wait())
        body = json.dumps({"id": "t-1", "status": "done", "urls": [f"{gateway.url}/files/t-1.mp4?signature=s3cr3t"]})
        with trace.get_tracer("app").start_as_current_span("POST /hook"):
            await receiver.receive({"X-Fifth-Signature": fifth.sign(body.encode(), SECRET, time.time())}, body.encode())
        await waiting

    (job,), (request,), (callback,) = seen.named("generate"), seen.named("POST"), seen.named("callback")
    assert ["callback"] == seen.children(request)
    assert [job.get_span_context()] == [link.context for link in callback.links]
    assert trace.SpanKind.INTERNAL is callback.kind
    assert "SUCCEEDED" == (job.attributes or {})["happyhorse.task.status"]


async def test_a_job_that_is_resumed_has_a_span_of_its_own(gateway: Any, fifth: Any, seen: Seen) -> None:
    """Another process knows nothing of the first trace: its span begins with the resume, and has the same ref."""
    gateway.show("t-9", "done")

    async with fifth.open() as client:
        await client.resume("fifth:t-9")

    (job,) = seen.named("generate_content")
    assert ["poll"] == [name for name in seen.children(job) if name != "wait"]
    assert "fifth:t-9" == (job.attributes or {})["happyhorse.task.ref"]


async def test_a_client_that_is_closed_leaves_no_span_open(gateway: Any, fifth: Any, seen: Seen) -> None:
    """Jobs that go on at the provider end here. They have not failed, and are no operation that has ended."""
    gateway.accept("t-1")
    gateway.show("t-1", "running")
    before = sum(value for _, value in seen.metric("happyhorse.client.jobs.in_flight"))
    ended = seen.metric("gen_ai.client.operation.duration")

    async with fifth.open() as client:
        await client.submit(REQUEST)
        during = sum(value for _, value in seen.metric("happyhorse.client.jobs.in_flight"))

    (job,) = seen.named("generate_content")
    assert ["happyhorse.job.left"] == [event.name for event in job.events]
    assert trace.StatusCode.UNSET is job.status.status_code
    assert "error.type" not in (job.attributes or {})
    assert ended == seen.metric("gen_ai.client.operation.duration")
    assert (before + 1, before) == (
        during,
        sum(value for _, value in seen.metric("happyhorse.client.jobs.in_flight")),
    )


async def test_the_metrics(gateway: Any, fifth: Any, seen: Seen) -> None:
    """Submits, polls, 429s, unknown outcomes and durations are counted by account and model."""

    def count(name: str, **labels: str) -> float:
        wanted = {key.replace("_", "."): value for key, value in labels.items()}.items()
        return sum(value for attributes, value in seen.metric(name) if wanted <= attributes.items())

    names = ("submits", "polls", "rate_limited", "outcome_unknown")
    before = {name: count(f"happyhorse.client.{name}") for name in names}
    gateway.on("POST", "/videos", 429, {"id": "t-1", "status": "queued"}, gateway.raw(b""))
    gateway.show("t-1", "done")

    async with fifth.open() as client:
        await client.generate(REQUEST)
        with pytest.raises(hh.SubmitOutcomeUnknownError):
            await client.submit(REQUEST)

    after = {name: count(f"happyhorse.client.{name}") for name in names}
    assert {"submits": 3, "polls": 1, "rate_limited": 1, "outcome_unknown": 1} == {
        name: after[name] - before[name] for name in names
    }
    assert count("happyhorse.client.submits", outcome="RateLimitError")
    assert count("gen_ai.client.operation.duration", gen_ai_operation_name="x") == 0
    assert all(
        (attributes["gen_ai.provider.name"], attributes["happyhorse.account"]) in (("fifth",) * 2, ("dashscope",) * 2)
        for name in names
        for attributes, _ in seen.metric(f"happyhorse.client.{name}")
    )


def test_what_was_billed_and_when_it_was_noticed(seen: Seen) -> None:
    """Billed seconds are summed up, and the delay is that from the provider's end to the observation."""
    from datetime import UTC, datetime, timedelta

    ref, now = hh.TaskRef("main", "1"), datetime.now(UTC)
    endpoint = hh.Endpoint(provider="billing", adapter="fifth", base_url="http://localhost")
    job = hh.Job(job_id="hh-1", endpoint=endpoint, model="m", created_at=now, task_id="1")
    task = hh.Task(
        ref=ref,
        status=hh.TaskStatus.SUCCEEDED,
        usage=hh.Usage(duration=5.0),
        finished_at=now - timedelta(seconds=3),
        observed_at=now,
    )

    span = telemetry.begin(job)
    assert span is not None
    telemetry.end(span, task, None)
    telemetry.end(span, task, None)

    mine = [value for labels, value in seen.metric("happyhorse.client.billed.duration") if "billing" in labels.values()]
    assert [5.0] == mine
    delays = [count for labels, count in seen.metric("happyhorse.client.notice.delay") if "billing" in labels.values()]
    assert [1] == delays


def test_without_the_package_nothing_happens() -> None:
    """Where OpenTelemetry is not installed, the awaitables are returned as they are, and there are no spans."""
    script = """
import sys
for name in ("opentelemetry", "opentelemetry.trace"):
    sys.modules[name] = None
import importlib.util
import happyhorse_async.telemetry as telemetry
work = object()
assert telemetry.begin(work) is None
for name in ("download", "upload", "callback"):
    assert getattr(telemetry, name)(None, work) is work
assert telemetry.poll_list(None, work) is work
import happyhorse_async.client
"""
    command = [sys.executable, "-W", "error", "-c", script]
    run = subprocess.run(command, check=False, capture_output=True, text=True, timeout=150)
    assert (0, "") == (run.returncode, run.stderr)


def test_an_application_without_a_provider_gets_no_spans() -> None:
    """OpenTelemetry is often installed for something else. Until a provider is configured, no span is made."""
    script = """
from datetime import UTC, datetime
import happyhorse_async as hh
from happyhorse_async import telemetry
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider

endpoint = hh.Endpoint(provider="main", adapter="main", base_url="http://localhost")
job = hh.Job(job_id="hh-1", endpoint=endpoint, model="m", created_at=datetime.now(UTC))
work = object()
assert telemetry.begin(job) is None
for name in ("download", "upload", "callback"):
    assert getattr(telemetry, name)(None, work) is work
trace.set_tracer_provider(trace.NoOpTracerProvider())
assert telemetry.begin(job) is None
metrics.set_meter_provider(MeterProvider(shutdown_on_exit=False))
assert telemetry.begin(job) is not None
"""
    command = [sys.executable, "-W", "error", "-c", script]
    run = subprocess.run(command, check=False, capture_output=True, text=True, timeout=150)
    assert (0, "") == (run.returncode, run.stderr)


async def test_a_move_to_another_account_is_an_event_of_the_job(gateway: Any, fifth: Any, seen: Seen) -> None:
    """The span of a job that has moved names the account that has it, and says which one did not accept it, and why."""
    gateway.on("POST", "/videos", 401, {"id": "t-1", "status": "queued"})
    gateway.show("t-1", "done")
    accounts = [
        hh.Provider(name, adapter=fifth.adapter(), api_key=f"sk-canary-{name}", base_url=gateway.url)
        for name in ("main", "backup")
    ]

    async with hh.Client(accounts, routing=hh.Routing(), poll=fifth.poll) as client:
        await client.generate(REQUEST)

    (job,) = seen.named("generate_content")
    (event,) = job.events
    assert "happyhorse.job.moved" == event.name
    assert {
        "happyhorse.account.left": "main",
        "happyhorse.account": "backup",
        "error.type": "AuthenticationError",
    } == dict(event.attributes or {})
    assert "backup" == (job.attributes or {})["happyhorse.account"]
    in_flight = {
        labels["happyhorse.account"]: count for labels, count in seen.metric("happyhorse.client.jobs.in_flight")
    }
    assert {"main": 0, "backup": 0} == {name: in_flight[name] for name in ("main", "backup")}


async def test_another_process_goes_on_with_the_trace_of_the_one_that_recorded_the_job(
    gateway: Any, fifth: Any, seen: Seen, tmp_path: Path
) -> None:
    """The span of the process that sends a job belongs to the request of a web app that enqueued it elsewhere."""
    gateway.accept("t-1")
    gateway.show("t-1", "done")
    journal = tmp_path / "jobs.sqlite"

    async with fifth.client(store=hh.SQLiteStore(journal), work=False) as web:
        with trace.get_tracer("app").start_as_current_span("POST /videos") as request:
            handle = await web.enqueue(REQUEST)
    async with fifth.client(store=hh.SQLiteStore(journal)) as worker:
        await worker.run(handle.job_id)

    (job,) = seen.named("generate_content")
    assert job.parent is not None
    assert request.get_span_context().span_id == job.parent.span_id
    assert request.get_span_context().trace_id == job.context.trace_id
