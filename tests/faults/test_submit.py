"""Faults of the paid request: each is billed once at most, whatever becomes of its answer."""

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
# HiAPI takes idempotency keys.
UNPROTECTED = ("dashscope", "imini", "nexusflow")


@pytest.mark.fault(8)
@pytest.mark.parametrize("provider", PROVIDERS)
async def test_an_answer_that_is_cut_after_the_task(emulator: hh.Emulator, opened: Open, provider: str) -> None:
    """A task whose whole object came before the cut is billed once, and its job is known or openly unknown."""
    emulator.inject("cut-after-object", on="submit")

    async with opened(provider) as client:
        try:
            ended = (await client.generate(REQUEST)).status.is_terminal
        except hh.SubmitOutcomeUnknownError:
            ended = [hh.JobState.OUTCOME_UNKNOWN] == [job.state for job in await client.pending()]

    assert ended
    assert 1 == emulator.billed()


@pytest.mark.fault(15)
async def test_what_a_gateway_says(emulator: hh.Emulator, opened: Open) -> None:
    """The words of a gateway's page are in the error, without its tags."""
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
async def test_a_refusal(
    emulator: hh.Emulator, opened: Open, provider: str, fault: str, expected: type[hh.HappyHorseError]
) -> None:
    """A refusal is the error that it means, is not sent again, costs nothing, and leaves nothing to settle."""
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
async def test_the_code_of_a_refusal(emulator: hh.Emulator, opened: Open, provider: str, code: str) -> None:
    """The provider's own code and words are kept."""
    emulator.inject("bad-request", on="submit")

    async with opened(provider) as client:
        with pytest.raises(hh.InvalidRequestError, match="valid") as caught:
            await client.submit(REQUEST)

    assert (code, 400) == (caught.value.code, caught.value.status_code)


@pytest.mark.fault(26)
@pytest.mark.parametrize("provider", ["dashscope", "hiapi", "imini"])
async def test_a_path_that_is_none(emulator: hh.Emulator, opened: Open, provider: str) -> None:
    """A submit that finds nobody to take it asks to check the base URL."""
    emulator.inject("no-such-path", on="submit")

    async with opened(provider) as client:
        with pytest.raises(hh.InvalidRequestError, match="check the base URL"):
            await client.submit(REQUEST)


@pytest.mark.fault(42)
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect(emulator: hh.Emulator, opened: Open, status: int) -> None:
    """A redirect is not followed, even to where the same request would be taken, and its host is named."""
    endpoint = f"http://localhost:{emulator.address.rpartition(':')[2]}/hiapi/v1/tasks"
    emulator.inject(faults.Redirected(status=status, location=endpoint), on="submit")

    async with opened("hiapi") as client:
        with pytest.raises(hh.InvalidResponseError, match="localhost"):
            await client.submit(REQUEST)

    assert 1 == emulator.calls("submit")
    assert 0 == emulator.billed()


@pytest.mark.fault(29)
@pytest.mark.parametrize("provider", UNPROTECTED)
async def test_a_conflict(emulator: hh.Emulator, opened: Open, provider: str) -> None:
    """A conflict is a refusal, and is not sent again."""
    emulator.inject("conflict", on="submit")

    async with opened(provider) as client:
        with pytest.raises(hh.InvalidRequestError):
            await client.submit(REQUEST)

    assert 1 == emulator.calls("submit")


@pytest.mark.fault(28)
async def test_a_key_that_is_in_work(emulator: hh.Emulator, opened: Open) -> None:
    """While the first request with the key is in work, the same one is sent after the time that was named."""
    emulator.inject("key-in-work", on="submit", times=2)
    began = asyncio.get_running_loop().time()

    async with opened("hiapi") as client:
        await client.submit(REQUEST)

    assert 2.0 <= asyncio.get_running_loop().time() - began
    assert 3 == emulator.calls("submit")
    assert 1 == emulator.billed()


# Each with the shortest and the longest time until the second try.
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
async def test_what_is_taken_later(
    emulator: hh.Emulator, opened: Open, provider: str, fault: str, shortest: float, longest: float
) -> None:
    """What was refused for now is sent again after the time that was named, or after one of our own, and paid once."""
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
async def test_a_provider_that_takes_nothing_now(emulator: hh.Emulator, opened: Open, provider: str) -> None:
    """A 503 that the provider documents as given before a request is taken is sent again."""
    emulator.inject("unavailable-503", on="submit")

    async with opened(provider) as client:
        await client.submit(REQUEST)

    assert 2 == emulator.calls("submit")
    assert 1 == emulator.billed()


@pytest.mark.fault(37)
async def test_a_provider_that_does_not_say_when(emulator: hh.Emulator, opened: Open) -> None:
    """A 503 of which nothing is documented leaves the outcome unknown, although nothing was taken."""
    emulator.inject("unavailable-503", on="submit")

    async with opened("imini") as client:
        with pytest.raises(hh.SubmitOutcomeUnknownError):
            await client.submit(REQUEST)

    assert 1 == emulator.calls("submit")


@pytest.mark.fault(56, 57)
@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("fault", ["more-fields", "loose-numbers", "text-numbers"])
async def test_an_acceptance_in_other_words(emulator: hh.Emulator, opened: Open, provider: str, fault: str) -> None:
    """An acceptance with fields nobody knows, or with its numbers written otherwise, is one."""
    emulator.inject(fault, on="submit")

    async with opened(provider) as client:
        await client.generate(REQUEST)

    assert 1 == emulator.calls("submit") == emulator.billed()


@pytest.fixture
def silent_host() -> Iterator[str]:
    """Listen and accept nobody: once the queue is full, packets that ask for a connection are lost."""
    with ExitStack() as stack:
        server = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):
            caller = stack.enter_context(socket.socket())
            caller.setblocking(False)
            caller.connect_ex(server.getsockname())
        yield "http://127.0.0.1:{}".format(*server.getsockname()[1:])


@pytest.mark.fault(3)
async def test_a_host_that_does_not_answer(opened: Open, silent_host: str) -> None:
    """Where no connection comes about, each try is given up after ten seconds, and nothing was sent."""
    loop = asyncio.get_running_loop()
    began = loop.time()

    async with opened("imini", base_url=silent_host) as client:
        with pytest.raises(hh.TransportError, match="no connection within 10 s") as caught:
            await client.submit(REQUEST)

        assert [] == await client.pending()
    assert not caught.value.sent
    assert 20 <= loop.time() - began <= 120


@pytest.mark.fault(5)
async def test_a_way_that_is_full(emulator: hh.Emulator, opened: Open) -> None:
    """A job that waits for a place on the way is not written down as sent, and goes once there is one."""
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
async def test_many_answers_that_are_lost(emulator: hh.Emulator, opened: Open) -> None:
    """Of a hundred requests of which every third loses its answer, none is paid twice and none is forgotten."""
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
