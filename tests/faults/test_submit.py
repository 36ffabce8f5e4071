"""Faults of the paid request: each is billed once at most, whatever its response."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

import happyhorse_async as hh
from happyhorse_async.emulator import faults
from happyhorse_async.registry import adapter_names

if TYPE_CHECKING:
    from conftest import Open

REQUEST = hh.TextToVideo("a train at night", resolution="720P", duration=3)

PROVIDERS = adapter_names()
# HiAPI accepts idempotency keys.
UNPROTECTED = ("dashscope", "imini", "nexusflow")


@pytest.mark.fault(8)
@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_response_that_is_cut_after_the_task_id(emulator: hh.Emulator, opened: Open, provider: str) -> None:
    """The task is billed once, and its job is either known or marked as unknown."""
    emulator.inject("cut-after-object", on="submit")

    async with opened(provider) as client:
        try:
            ended = (await client.generate(REQUEST)).status.is_terminal
        except hh.SubmitOutcomeUnknownError:
            ended = [hh.JobState.OUTCOME_UNKNOWN] == [job.state for job in await client.pending()]

    assert ended
    assert 1 == emulator.billed()


@pytest.mark.fault(15)
async def test_the_text_of_a_gateway_page_is_in_the_error(emulator: hh.Emulator, opened: Open) -> None:
    """The error quotes the page without its tags."""
    emulator.inject("html-502", on="submit")

    async with opened("imini") as client:
        with pytest.raises(hh.SubmitOutcomeUnknownError, match="502 Bad Gateway") as caught:
            await client.submit(REQUEST)

    assert "<" not in str(caught.value)


REFUSALS = [
    pytest.param("bad-request", hh.InvalidRequestError, marks=pytest.mark.fault(23)),
    pytest.param("wrong-key", hh.AuthenticationError, marks=pytest.mark.fault(24)),
    pytest.param("forbidden", hh.PermissionDeniedError, marks=pytest.mark.fault(24)),
    pytest.param("no-money", hh.QuotaExceededError, marks=pytest.mark.fault(25)),
    pytest.param("no-such-path", hh.InvalidRequestError, marks=pytest.mark.fault(26)),
    pytest.param("key-mismatch", hh.InvalidRequestError, marks=pytest.mark.fault(29)),
    pytest.param("error-in-200", hh.InvalidRequestError, marks=pytest.mark.fault(38)),
    pytest.param("redirect", hh.InvalidResponseError, marks=pytest.mark.fault(42)),
    pytest.param("redirect-302", hh.InvalidResponseError, marks=pytest.mark.fault(42)),
]


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize(("fault", "expected"), REFUSALS)
async def test_a_refused_submit_is_not_repeated_and_costs_nothing(
    emulator: hh.Emulator, opened: Open, provider: str, fault: str, expected: type[hh.HappyHorseError]
) -> None:
    """It raises the error that it means, and leaves no pending job."""
    emulator.inject(fault, on="submit")

    async with opened(provider) as client:
        with pytest.raises(expected):
            await client.submit(REQUEST)

        assert [] == await client.pending()
    assert 1 == emulator.calls("submit")
    assert 0 == emulator.billed()


@pytest.mark.fault(23)
@pytest.mark.parametrize(
    ("provider", "code"),
    [
        ("dashscope", "InvalidParameter"),
        ("hiapi", "INVALID_REQUEST"),
        ("imini", "INVALID_PARAMETER"),
        ("nexusflow", "invalid_request"),
    ],
)
async def test_the_error_has_the_code_and_message_of_the_provider(
    emulator: hh.Emulator, opened: Open, provider: str, code: str
) -> None:
    """The provider's own code and message are kept."""
    emulator.inject("bad-request", on="submit")

    async with opened(provider) as client:
        with pytest.raises(hh.InvalidRequestError, match="valid") as caught:
            await client.submit(REQUEST)

    assert (code, 400) == (caught.value.code, caught.value.status_code)


@pytest.mark.fault(26)
@pytest.mark.parametrize("provider", ["dashscope", "hiapi", "imini"])
async def test_a_404_for_the_path_asks_to_check_the_base_url(
    emulator: hh.Emulator, opened: Open, provider: str
) -> None:
    """The error names the likely cause."""
    emulator.inject("no-such-path", on="submit")

    async with opened(provider) as client:
        with pytest.raises(hh.InvalidRequestError, match="check the base URL"):
            await client.submit(REQUEST)


@pytest.mark.fault(42)
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_of_a_submit_is_not_followed(emulator: hh.Emulator, opened: Open, status: int) -> None:
    """Not even to an address that would accept the request; the error names its host."""
    endpoint = f"http://localhost:{emulator.address.rpartition(':')[2]}/hiapi/v1/tasks"
    emulator.inject(faults.redirected(endpoint, status=status), on="submit")

    async with opened("hiapi") as client:
        with pytest.raises(hh.InvalidResponseError, match="localhost"):
            await client.submit(REQUEST)

    assert 1 == emulator.calls("submit")
    assert 0 == emulator.billed()


@pytest.mark.fault(29)
@pytest.mark.parametrize("provider", UNPROTECTED)
async def test_a_409_without_an_idempotency_key_is_not_repeated(
    emulator: hh.Emulator, opened: Open, provider: str
) -> None:
    """It is a refusal."""
    emulator.inject("conflict", on="submit")

    async with opened(provider) as client:
        with pytest.raises(hh.InvalidRequestError):
            await client.submit(REQUEST)

    assert 1 == emulator.calls("submit")


@pytest.mark.fault(28)
async def test_a_409_for_an_idempotency_key_in_use_is_repeated_after_its_time(
    emulator: hh.Emulator, opened: Open
) -> None:
    """While the first request with the key is processed, the same one is sent after `Retry-After`."""
    emulator.inject("key-in-work", on="submit", times=2)
    began = asyncio.get_running_loop().time()

    async with opened("hiapi") as client:
        await client.submit(REQUEST)

    assert 2.0 <= asyncio.get_running_loop().time() - began
    assert 3 == emulator.calls("submit")
    assert 1 == emulator.billed()


# Each with the shortest and the longest time until the second attempt.
LATER = [
    pytest.param("too-early", 0.2, 2.0, marks=pytest.mark.fault(30)),
    pytest.param("too-fast", 0.2, 2.0, marks=pytest.mark.fault(31)),
    pytest.param("too-fast-seconds", 1.0, 3.0, marks=pytest.mark.fault(32)),
    pytest.param("too-fast-date", 1.0, 3.0, marks=pytest.mark.fault(33)),
    pytest.param("too-fast-past", 0.0, 1.0, marks=pytest.mark.fault(33)),
    pytest.param("too-fast-absurd", 300.0, 302.0, marks=pytest.mark.fault(33)),
    pytest.param("too-fast-negative", 0.2, 2.0, marks=pytest.mark.fault(33)),
    pytest.param("too-fast-garbage", 0.2, 2.0, marks=pytest.mark.fault(33)),
]


@pytest.mark.parametrize("provider", ["dashscope", "imini"])
@pytest.mark.parametrize(("fault", "shortest", "longest"), LATER)
async def test_a_429_or_425_is_repeated_and_billed_once(
    emulator: hh.Emulator, opened: Open, provider: str, fault: str, shortest: float, longest: float
) -> None:
    """The next attempt comes after `Retry-After`, or after the client's own backoff."""
    emulator.inject(fault, on="submit")
    loop = asyncio.get_running_loop()
    began = loop.time()

    async with opened(provider) as client:
        await client.submit(REQUEST)
        lasted = loop.time() - began

    assert shortest <= lasted <= longest
    assert 2 == emulator.calls("submit")
    assert 1 == emulator.billed()


@pytest.mark.fault(37)
@pytest.mark.parametrize("provider", ["dashscope", "hiapi", "nexusflow"])
async def test_a_503_that_is_documented_as_not_accepted_is_repeated(
    emulator: hh.Emulator, opened: Open, provider: str
) -> None:
    """Some providers document a 503 as sent before a request is accepted."""
    emulator.inject("unavailable-503", on="submit")

    async with opened(provider) as client:
        await client.submit(REQUEST)

    assert 2 == emulator.calls("submit")
    assert 1 == emulator.billed()


@pytest.mark.fault(37)
async def test_a_503_that_is_not_documented_leaves_the_outcome_unknown(emulator: hh.Emulator, opened: Open) -> None:
    """The request may have been accepted, as far as the client can know."""
    emulator.inject("unavailable-503", on="submit")

    async with opened("imini") as client:
        with pytest.raises(hh.SubmitOutcomeUnknownError):
            await client.submit(REQUEST)

    assert 1 == emulator.calls("submit")


@pytest.mark.fault(56, 57)
@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("fault", ["more-fields", "loose-numbers", "text-numbers"])
async def test_an_acceptance_with_other_fields_and_types_is_accepted(
    emulator: hh.Emulator, opened: Open, provider: str, fault: str
) -> None:
    """Undocumented fields and numbers of another type change nothing."""
    emulator.inject(fault, on="submit")

    async with opened(provider) as client:
        await client.generate(REQUEST)

    assert 1 == emulator.calls("submit") == emulator.billed()


@pytest.mark.fault(95)
@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("fault", ["html-400", "html-401", "html-403", "html-404", "html-405", "gateway-json-404"])
async def test_a_4xx_of_a_gateway_is_a_transport_error(
    emulator: hh.Emulator, opened: Open, provider: str, fault: str
) -> None:
    """A 4xx that is not in the provider's format says nothing of key, money or request, and nothing was paid."""
    emulator.inject(fault, on="submit", times=None)

    async with opened(provider) as client:
        with pytest.raises(hh.TransportError):
            await client.submit(REQUEST)

        assert [] == await client.pending()
    assert (1, 0) == (emulator.calls("submit"), emulator.billed())


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize(
    "fault",
    [
        pytest.param("gzip", marks=pytest.mark.fault(98)),
        pytest.param("deflate", marks=pytest.mark.fault(98)),
        pytest.param("zlib-unlabelled", marks=pytest.mark.fault(98)),
        pytest.param("coding-utf-8", marks=pytest.mark.fault(98)),
        pytest.param("partial-content", marks=pytest.mark.fault(99)),
        pytest.param("submit-succeeded", marks=pytest.mark.fault(103)),
    ],
)
async def test_an_unusual_acceptance_is_accepted(
    emulator: hh.Emulator, opened: Open, provider: str, fault: str
) -> None:
    """An acceptance that can be read brings the video, and is billed once."""
    emulator.inject(fault, on="submit")

    async with opened(provider) as client:
        task = await client.generate(REQUEST)

    assert task.video_url
    assert 1 == emulator.calls("submit") == emulator.billed()


@pytest.mark.fault(105)
@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ("internal-content-400", hh.ContentRejectedError),
        ("internal-parameter-400", hh.InvalidRequestError),
        ("internal-400", hh.InvalidRequestError),
    ],
)
async def test_a_400_with_an_internal_error_code_is_a_refusal(
    emulator: hh.Emulator, opened: Open, fault: str, expected: type[hh.HappyHorseError]
) -> None:
    """DashScope's codes for refused inputs begin with `InternalError`; the status says that nothing was accepted."""
    emulator.inject(fault, on="submit")

    async with opened("dashscope") as client:
        with pytest.raises(expected):
            await client.submit(REQUEST)

        assert [] == await client.pending()
    assert 1 == emulator.calls("submit")


@pytest.mark.fault(105)
async def test_a_429_with_an_internal_error_code_is_repeated(emulator: hh.Emulator, opened: Open) -> None:
    """The status decides: nothing was accepted, and the next attempt is billed once."""
    emulator.inject("internal-429", on="submit")

    async with opened("dashscope") as client:
        await client.submit(REQUEST)

    assert (2, 1) == (emulator.calls("submit"), emulator.billed())


@pytest.fixture
def silent_host() -> Iterator[str]:
    """Listen without accepting: once the backlog is full, connection attempts get no answer."""
    with ExitStack() as stack:
        server = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):
            caller = stack.enter_context(socket.socket())
            caller.setblocking(False)
            caller.connect_ex(server.getsockname())
        yield "http://127.0.0.1:{}".format(*server.getsockname()[1:])


@pytest.mark.fault(3)
async def test_a_host_that_does_not_accept_connections_times_out_unsent(opened: Open, silent_host: str) -> None:
    """Each attempt to connect ends after ten seconds, and nothing was sent."""
    loop = asyncio.get_running_loop()
    began = loop.time()

    async with opened("imini", base_url=silent_host) as client:
        with pytest.raises(hh.TransportError, match="no connection within 10 s") as caught:
            await client.submit(REQUEST)

        assert [] == await client.pending()
    assert not caught.value.sent
    assert 20 <= loop.time() - began <= 120


@pytest.mark.fault(5)
async def test_a_job_without_a_slot_stays_queued(emulator: hh.Emulator, opened: Open) -> None:
    """A job that waits for a slot is not recorded as submitting, and is sent once there is one."""
    hanging = emulator.inject("hang", on="submit")

    async with opened("hiapi", limits=hh.Limits(max_concurrent_submits=1)) as client:
        first = asyncio.create_task(client.submit(REQUEST))
        await hanging.until()
        second = asyncio.create_task(client.submit(REQUEST))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        states = [job.state for job in await client.pending()]
        hanging.release()
        await asyncio.gather(first, second)

    assert [hh.JobState.SUBMITTING, hh.JobState.QUEUED] == states
    assert 2 == emulator.calls("submit") == emulator.billed()


@pytest.mark.fault(39)
async def test_of_many_lost_responses_none_is_paid_twice_or_forgotten(emulator: hh.Emulator, opened: Open) -> None:
    """Every third of a hundred submits loses its response."""
    requests = [hh.TextToVideo(f"kite number {number}", resolution="720P", duration=3) for number in range(100)]
    for _ in range(33):
        emulator.inject("reset-before-answer", on="submit", after=2)

    async with opened("nexusflow") as client:
        outcomes = [outcome async for outcome in client.generate_many(requests)]
        unknown = [job for job in await client.pending() if job.state is hh.JobState.OUTCOME_UNKNOWN]

    done = sum(outcome.error is None for outcome in outcomes)
    assert 100 == emulator.calls("submit") == emulator.billed()
    assert 100 == done + len(unknown)
    assert 33 == len(unknown)
