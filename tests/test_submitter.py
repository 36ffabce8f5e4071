"""The paid request: how often it is on the wire, and what the caller is told."""

from __future__ import annotations

import asyncio
import logging
import socket
from email.utils import formatdate
from typing import TYPE_CHECKING, Any

import pytest
from attrs import evolve

import happyhorse_async as hh

from .broken import BROKEN

if TYPE_CHECKING:
    from conftest import Fifth, Gateway


pytestmark = pytest.mark.usefixtures("no_chance")

REQUEST = hh.TextToVideo("a train at night")

LOST: dict[str, Any] = {
    **BROKEN,
    "half a header": b"HTTP/1.1 200 OK\r\nConte",
    "a cut chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n50\r\n{",
    "a 204": b"HTTP/1.1 204 No Content\r\n\r\n",
    "no task id": b'HTTP/1.1 200 OK\r\n\r\n{"status": "queued"}',
    "deep nesting": b"HTTP/1.1 200 OK\r\n\r\n" + b'{"a":' * 100_000,
}


# The rows of the fault catalogue that each of them is about.
ROWS = {
    "no answer": [10, 39],
    "a reset": [6],
    "half a header": [7],
    "a cut body": [8, 13],
    "a cut chunk": [18],
    "not HTTP": [17],
    "408": [27],
    "500": [35],
    "502": [36],
    "503": [37],
    "504": [36],
    "HTML with 502": [15],
    "HTML with 200": [16],
    "nothing with 200": [14],
    "a 204": [14],
    "deep nesting": [21],
    "a compressed body": [20],
}


def cases(*names: str) -> list[Any]:
    """Make a case of each loss, with the rows that it shows."""
    return [pytest.param(name, id=name, marks=[pytest.mark.fault(row) for row in ROWS.get(name, ())]) for name in names]


@pytest.fixture(autouse=True)
def no_looks(fifth: Fifth) -> None:
    """Look at nothing within a test's time."""
    fifth.poll = hh.PollSchedule(interval=3600)


def script(gateway: Gateway, *answers: Any) -> None:
    """Answer submits with *answers* in turn."""
    gateway.on("POST", "/videos", *(gateway.raw(*step) if isinstance(step, tuple) else step for step in answers))


def closed_port() -> str:
    """Find an address where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return "http://127.0.0.1:{}".format(*server.getsockname()[1:])


@pytest.mark.fault(6, 7, 8, 10, 13, 14, 15, 16, 17, 18, 20, 21, 27, 35, 36, 37)
@pytest.mark.parametrize("case", cases(*LOST))
async def test_an_unknown_outcome_is_said_openly(gateway: Gateway, fifth: Fifth, case: str) -> None:
    """Where the provider may have taken the request, it is on the wire once, and the error names the job."""
    script(gateway, LOST[case])

    async with fifth.open() as client:
        with pytest.raises(hh.SubmitOutcomeUnknownError) as raised:
            await client.submit(REQUEST)

    assert 1 == len(gateway.requests)
    assert (raised.value.job_id or "").startswith("hh-")
    assert "fifth" == raised.value.provider
    assert raised.value.ref is None
    assert isinstance(raised.value.__cause__, hh.HappyHorseError)


@pytest.mark.fault(39)
@pytest.mark.parametrize("case", ["no answer", "a cut body", "502", "HTML with 200", "a 204"])
async def test_a_key_makes_it_safe_to_send_again(gateway: Gateway, fifth: Fifth, case: str) -> None:
    """A provider that takes an idempotency key is sent the same bytes with the same key, and the task is found."""
    script(gateway, LOST[case], {"id": "t-1", "status": "queued"})

    async with fifth.open(fifth.adapter(idempotent=True)) as client:
        handle = await client.submit(REQUEST)

    first, second = gateway.requests
    assert first.body == second.body
    assert first.headers == second.headers
    assert handle.job_id == first.headers["idempotency-key"]
    assert "fifth:t-1" == str(handle.ref)


@pytest.mark.fault(39)
async def test_a_key_does_not_help_for_ever(gateway: Gateway, fifth: Fifth) -> None:
    """When every repetition is lost as well, the outcome is unknown, and each of them carried the same key."""
    script(gateway, 502)

    async with fifth.open(fifth.adapter(idempotent=True)) as client:
        with pytest.raises(hh.SubmitOutcomeUnknownError) as raised:
            await client.submit(REQUEST)

    assert 5 == len(gateway.requests)
    assert {raised.value.job_id} == {seen.headers["idempotency-key"] for seen in gateway.requests}


@pytest.mark.fault(39)
async def test_a_later_refusal_does_not_settle_an_earlier_loss(gateway: Gateway, fifth: Fifth) -> None:
    """A repetition that is refused says nothing of the first request, whose outcome stays unknown."""
    script(gateway, b"", 401)

    async with fifth.open(fifth.adapter(idempotent=True)) as client:
        with pytest.raises(hh.SubmitOutcomeUnknownError):
            await client.submit(REQUEST)

    assert 2 == len(gateway.requests)


async def test_an_adapter_that_breaks_over_the_answer(gateway: Gateway, fifth: Fifth) -> None:
    """An adapter's own bug, once the request is out, leaves an unknown outcome and no bare KeyError."""

    def decode_submit(self: object, response: hh.HttpResponse, account: hh.Account) -> hh.Task:
        raise KeyError("output")

    gateway.accept("t-1")

    async with fifth.open(fifth.adapter(decode_submit=decode_submit)) as client:
        with pytest.raises(hh.SubmitOutcomeUnknownError, match="KeyError") as raised:
            await client.submit(REQUEST)

    assert 1 == len(gateway.requests)
    assert raised.value.job_id


@pytest.mark.fault(2)
async def test_nobody_listens(fifth: Fifth) -> None:
    """A refused connection is tried again, and then it is said that nothing was sent."""
    async with fifth.open(base_url=closed_port()) as client:
        with pytest.raises(hh.TransportError) as raised:
            await client.submit(REQUEST)

    assert not raised.value.sent
    assert raised.value.job_id
    assert "fifth" == raised.value.provider


@pytest.mark.fault(2)
async def test_somebody_listens_later(gateway: Gateway, fifth: Fifth) -> None:
    """A submit that met a refused connection succeeds once the server is there."""
    gateway.accept("t-1")
    await gateway.stop()

    async with fifth.open() as client:
        submitting = asyncio.create_task(client.submit(REQUEST))
        await asyncio.sleep(0.05)
        await gateway.start()
        handle = await submitting

    assert "t-1" == handle.id
    assert 1 == len(gateway.requests)


@pytest.mark.fault(31)
async def test_too_many_requests(gateway: Gateway, fifth: Fifth) -> None:
    """A 429 was not taken: the same request goes out again."""
    script(gateway, 429, 429, {"id": "t-1", "status": "queued"})

    async with fifth.open() as client:
        handle = await client.submit(REQUEST)

    assert "t-1" == handle.id
    assert 3 == len(gateway.requests)
    assert 1 == len({seen.body for seen in gateway.requests})


@pytest.mark.fault(31)
async def test_too_many_requests_at_once(gateway: Gateway, fifth: Fifth) -> None:
    """Ten requests that are refused in one breath are one reason to slow down, not ten."""
    numbers = iter(range(10))
    script(gateway, *[429] * 10, lambda seen: {"id": f"t-{next(numbers)}", "status": "queued"})

    async with fifth.open(fifth.adapter(idempotent=True)) as client:
        async with asyncio.timeout(20):
            await asyncio.gather(*(client.submit(REQUEST) for _ in range(10)))

    assert 20 == len(gateway.requests)


@pytest.mark.fault(32, 33)
@pytest.mark.parametrize(
    ("headers", "shortest", "longest"),
    [
        ({"Retry-After": "1"}, 1.0, 2.0),
        ({"Retry-After": formatdate(1_700_000_001, usegmt=True), "Date": formatdate(1_700_000_000, usegmt=True)}, 1, 2),
        ({"Retry-After": formatdate(1_700_000_000, usegmt=True), "Date": formatdate(1_700_000_001, usegmt=True)}, 0, 1),
        ({"Retry-After": "0"}, 0.0, 0.24),
        ({"Retry-After": "soon"}, 0.24, 1.0),
        ({"Retry-After": "-5"}, 0.24, 1.0),
    ],
    ids=["seconds", "date", "past date", "at once", "junk", "negative"],
)
async def test_retry_after(
    gateway: Gateway, fifth: Fifth, headers: dict[str, str], shortest: float, longest: float
) -> None:
    """The provider's wish is kept, as seconds or as a date by its own clock; what cannot be read is no wish."""
    script(gateway, gateway.reply({}, status=429, headers=headers), {"id": "t-1", "status": "queued"})

    async with fifth.open() as client:
        await client.submit(REQUEST)

    first, second = gateway.requests
    assert shortest <= second.at - first.at < longest


@pytest.mark.fault(37)
async def test_a_refusal_before_acceptance(gateway: Gateway, fifth: Fifth) -> None:
    """A 503 that the provider documents as "not taken" is tried again, key or no key."""
    script(gateway, gateway.reply({"refused": True}, status=503), {"id": "t-1", "status": "queued"})

    async with fifth.open() as client:
        await client.submit(REQUEST)

    assert 2 == len(gateway.requests)


@pytest.mark.fault(23, 24, 25, 29)
@pytest.mark.parametrize(
    ("status", "expected"),
    [
        pytest.param(400, hh.InvalidRequestError, marks=pytest.mark.fault(23)),
        pytest.param(401, hh.AuthenticationError, marks=pytest.mark.fault(24)),
        pytest.param(402, hh.QuotaExceededError, marks=pytest.mark.fault(25)),
        pytest.param(403, hh.PermissionDeniedError, marks=pytest.mark.fault(24)),
        pytest.param(409, hh.InvalidRequestError, marks=pytest.mark.fault(29)),
        pytest.param(422, hh.InvalidRequestError, marks=pytest.mark.fault(29)),
    ],
)
async def test_a_refusal(gateway: Gateway, fifth: Fifth, status: int, expected: type[hh.HappyHorseError]) -> None:
    """What another try cannot better is raised at once, by what it means, with the job it is about."""
    script(gateway, status)

    async with fifth.open(fifth.adapter(idempotent=True)) as client:
        with pytest.raises(expected) as raised:
            await client.submit(REQUEST)

    assert expected is type(raised.value)
    assert 1 == len(gateway.requests)
    assert (status, "fifth") == (raised.value.status_code, raised.value.provider)
    assert raised.value.job_id


@pytest.mark.fault(26)
async def test_a_wrong_address(gateway: Gateway, fifth: Fifth) -> None:
    """A 404 on a submit is about no task: the error asks to check the base URL."""
    script(gateway, 404)

    async with fifth.open() as client:
        with pytest.raises(hh.InvalidRequestError, match="base URL") as raised:
            await client.submit(REQUEST)

    assert 1 == len(gateway.requests)
    assert raised.value.job_id


@pytest.mark.fault(42)
@pytest.mark.parametrize("location", ["http://elsewhere.example/videos", "/other", "http://[", ""])
async def test_a_redirect(gateway: Gateway, fifth: Fifth, location: str) -> None:
    """A redirect of the paid request is not followed, whatever it points at, and nothing was paid."""
    script(gateway, gateway.reply(status=307, headers={"Location": location}))

    async with fifth.open(fifth.adapter(idempotent=True)) as client:
        with pytest.raises(hh.InvalidResponseError, match="redirects to") as raised:
            await client.submit(REQUEST)

    assert 1 == len(gateway.requests)
    assert 307 == raised.value.status_code
    assert raised.value.job_id


@pytest.mark.fault(4)
async def test_a_connection_that_is_not_secure(gateway: Gateway, fifth: Fifth) -> None:
    """A TLS failure is not tried again, and nothing was sent."""
    gateway.greeting = b"HTTP/1.1 200 OK\r\n"

    async with fifth.open(base_url=gateway.url.replace("http:", "https:")) as client:
        with pytest.raises(hh.TransportError) as raised:
            await client.submit(REQUEST)

    assert not raised.value.sent
    assert 1 == gateway.connections


@pytest.mark.fault(77)
async def test_a_caller_who_leaves(gateway: Gateway, fifth: Fifth, caplog: pytest.LogCaptureFixture) -> None:
    """Cancelling the caller while the request is out does not cut it off: its task is recorded and looked at."""
    answer = asyncio.Event()
    script(gateway, gateway.reply({"id": "t-1", "status": "queued"}, after=answer))
    gateway.show("t-1", "done")

    async with fifth.open(poll=hh.PollSchedule(interval=0.01)) as client:
        submitting = asyncio.create_task(client.submit(REQUEST))
        await gateway.until(1, "POST")
        submitting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await submitting
        answer.set()
        await gateway.until(1, "GET", "/videos/t-1")
        task = await client.resume("fifth:t-1")

    assert 1 == len(gateway.seen("POST"))
    assert "t-1" == task.id
    assert "was accepted as fifth:t-1" in caplog.text


async def test_a_caller_who_leaves_a_failure(gateway: Gateway, fifth: Fifth, caplog: pytest.LogCaptureFixture) -> None:
    """What a request came to whose caller has left is in the log, under its job."""
    answer = asyncio.Event()
    script(gateway, gateway.reply({}, status=502, after=answer))

    async with fifth.open() as client:
        submitting = asyncio.create_task(client.submit(REQUEST))
        await gateway.until(1, "POST")
        submitting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await submitting
        answer.set()

    assert 1 == len(gateway.requests)
    assert any("HTTP 502" in record.getMessage() and "hh-" in record.getMessage() for record in caplog.records)


@pytest.mark.fault(77)
async def test_a_caller_who_leaves_between_two_tries(gateway: Gateway, fifth: Fifth) -> None:
    """Cancelling the caller while the request waits for another try ends it: nothing more is sent."""
    script(gateway, gateway.reply({}, status=429, headers={"Retry-After": "1"}))

    async with fifth.open() as client:
        submitting = asyncio.create_task(client.submit(REQUEST))
        await gateway.until(1, "POST")
        await asyncio.sleep(0.05)
        submitting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await submitting

    assert 1 == len(gateway.requests)


async def test_one_line_for_each_submit(gateway: Gateway, fifth: Fifth, caplog: pytest.LogCaptureFixture) -> None:
    """The log says which job became which task, without being asked to say more."""
    caplog.set_level(logging.INFO)
    gateway.accept("t-1")

    async with fifth.open() as client:
        handle = await client.submit(REQUEST)

    assert [f"job {handle.job_id} was accepted as fifth:t-1"] == [
        record.getMessage() for record in caplog.records if record.name.startswith("happyhorse_async")
    ]


async def test_a_process_that_was_suspended_asks_the_journal_again(
    gateway: Gateway, fifth: Fifth, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An intent that is older than five seconds is recorded again before the POST."""
    times = iter([0.0, 60.0, 60.0, 60.1])
    monkeypatch.setattr("happyhorse_async.jobs.submit._clock", lambda: next(times))
    gateway.accept("t-1")
    store = CountingStore()
    async with fifth.open(store=store) as client:
        await client.submit(REQUEST)

    assert 2 == store.intents
    assert 1 == len(gateway.seen("POST"))


async def test_a_job_that_was_taken_over_during_a_suspension_is_not_sent(
    gateway: Gateway, fifth: Fifth, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that wakes up after another one has taken its job over sends nothing."""
    times = iter([0.0, 60.0, 60.0, 60.1])
    monkeypatch.setattr("happyhorse_async.jobs.submit._clock", lambda: next(times))
    async with fifth.open(store=CountingStore(thief="another process")) as client:
        with pytest.raises(hh.StoreError, match="another process has taken the job over"):
            await client.submit(REQUEST)

    assert [] == gateway.seen("POST")


class CountingStore(hh.MemoryStore):
    """A store that counts intents; the first can be followed by a takeover."""

    def __init__(self, thief: str | None = None) -> None:
        super().__init__()
        self.intents = 0
        self._thief = thief

    async def change(self, job: hh.Job, **conditions: Any) -> hh.Job | None:
        kept = await super().change(job, **conditions)
        if job.state is hh.JobState.SUBMITTING:
            self.intents += 1
            if self._thief is not None and self.intents == 1:
                await super().change(evolve(job, owner=self._thief))
        return kept
