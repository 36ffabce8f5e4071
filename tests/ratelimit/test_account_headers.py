"""Rate limit windows that the provider announces in its headers."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from email.utils import formatdate

import pytest

from happyhorse_async.messages import HttpResponse
from happyhorse_async.ratelimit import AccountLimits, RateLimiter
from happyhorse_async.registry import find_adapter
from happyhorse_async.timing import Limits, RateLimitWindow, rate_limit_window

from .slots import now

NOW = 1_780_000_000
DATE = {"Date": formatdate(NOW, usegmt=True)}


def headers(remaining: object, reset: object, limit: object = 60) -> dict[str, str]:
    """Write the usual headers."""
    return {
        "X-RateLimit-Limit": str(limit),
        "X-RateLimit-Remaining": str(remaining),
        "X-RateLimit-Reset": str(reset),
        **DATE,
    }


@pytest.mark.parametrize(
    ("given", "read"),
    [
        (headers(7, NOW + 20), RateLimitWindow(limit=60, remaining=7, reset_after=20)),
        (headers(0, NOW - 5), RateLimitWindow(limit=60, remaining=0, reset_after=0)),
        (headers(0, NOW + 86_400), RateLimitWindow(limit=60, remaining=0, reset_after=300)),
        (headers(7, NOW + 20, limit="many"), RateLimitWindow(limit=7, remaining=7, reset_after=20)),
        (headers(-1, NOW + 20), None),
        (headers("٣", NOW + 20), None),
        (headers(7, "9" * 5000), RateLimitWindow(limit=60, remaining=7, reset_after=None)),
        (headers(7, "soon"), RateLimitWindow(limit=60, remaining=7, reset_after=None)),
        ({"X-RateLimit-Reset": str(NOW + 20), **DATE}, None),
        ({"X-RateLimit-Remaining": "7", **DATE}, RateLimitWindow(limit=7, remaining=7, reset_after=None)),
        (
            {"X-RateLimit-Remaining": "0", "Retry-After": "12"},
            RateLimitWindow(limit=0, remaining=0, reset_after=12),
        ),
        (
            {"X-RateLimit-Remaining": "0", "Retry-After": "3600"},
            RateLimitWindow(limit=0, remaining=0, reset_after=300),
        ),
        (headers(7, NOW + 20) | {"Retry-After": "3"}, RateLimitWindow(limit=60, remaining=7, reset_after=20)),
        ({"X-RateLimit-Remaining": "", **DATE}, None),
        ({"X-RateLimit-Remaining": "1.5", **DATE}, None),
        ({}, None),
    ],
)
def test_headers_are_read_as_far_as_they_are_present(given: Mapping[str, str], read: RateLimitWindow | None) -> None:
    """The reset time is compared with the server's own clock, and is five minutes away at most."""
    assert read == rate_limit_window(HttpResponse(status=200, headers=given))


@pytest.mark.parametrize("name", ["dashscope", "imini"])
def test_headers_that_the_provider_does_not_document_are_ignored(name: str) -> None:
    assert find_adapter(name).rate_limit(HttpResponse(status=200, headers=headers(0, NOW + 60))) is None


def test_hiapi_has_one_window_for_submits_and_queries() -> None:
    read = find_adapter("hiapi").rate_limit(HttpResponse(status=429, headers=headers(0, NOW + 60)))

    assert RateLimitWindow(limit=60, remaining=0, reset_after=60, shared=True) == read


@pytest.mark.parametrize(("scope", "counts"), [({}, True), ({"X-RateLimit-Scope": "api_key"}, True),
                                               ({"X-RateLimit-Scope": "task"}, False)])  # fmt: skip
def test_nexusflows_window_for_one_task_is_ignored(scope: Mapping[str, str], counts: bool) -> None:
    response = HttpResponse(status=200, headers=headers(0, NOW + 60) | scope)

    assert counts == (find_adapter("nexusflow").rate_limit(response) is not None)


def test_nexusflows_documented_headers_alone_are_enough() -> None:
    """Its page promises `X-RateLimit-Remaining` and, for a limited request, `Retry-After`; no reset time."""
    left = find_adapter("nexusflow").rate_limit(HttpResponse(status=200, headers={"X-RateLimit-Remaining": "3"}))

    assert RateLimitWindow(limit=3, remaining=3, reset_after=None) == left


async def test_an_empty_window_of_unknown_end_is_tried_again_after_ten_seconds() -> None:
    limiter = RateLimiter(10)
    await limiter.acquire()
    start = now()
    limiter.apply_window(RateLimitWindow(limit=0, remaining=0, reset_after=None), 0)

    await limiter.acquire()
    assert 10 == pytest.approx(now() - start)


async def test_no_slot_is_granted_until_an_empty_window_ends() -> None:
    """From then on slots come at the usual rate."""
    limiter = RateLimiter(10)
    await limiter.acquire()
    start = now()
    limiter.apply_window(RateLimitWindow(limit=60, remaining=0, reset_after=40), 0)

    assert not limiter.free()
    assert 0 == limiter.rate
    await limiter.acquire()
    assert 40 == pytest.approx(now() - start)
    assert 10 == limiter.rate


async def test_requests_in_flight_count_against_what_is_left() -> None:
    account = AccountLimits(Limits(queries_per_second=10))
    for _ in range(4):
        await account.queries.acquire()
    account.apply_window(RateLimitWindow(limit=60, remaining=3, reset_after=40), account.queries)

    assert not account.queries.free()
    assert account.submits.free()


async def test_a_shared_window_limits_queries_and_submits() -> None:
    account = AccountLimits(Limits())
    await account.submits.acquire()
    account.apply_window(RateLimitWindow(limit=60, remaining=0, reset_after=40, shared=True), account.submits)

    assert not account.queries.free()
    assert not account.submits.free()


async def test_the_second_half_of_a_window_is_spread_over_its_time() -> None:
    """So that a late request does not wait for the next window."""
    limiter = RateLimiter(10)
    await limiter.acquire()
    start, waits = now(), list[float]()
    limiter.apply_window(RateLimitWindow(limit=60, remaining=20, reset_after=40), 0)
    for _ in range(21):
        await limiter.acquire()
        waits.append(now() - start)

    assert [2.0 * number for number in range(1, 21)] == pytest.approx(waits[:20], abs=0.05)
    assert waits[20] >= 40


async def test_headers_alone_keep_a_limiter_of_10_per_second_within_60_per_minute() -> None:
    """All 60 are used every minute, and none is refused."""
    limiter, minute = RateLimiter(10), {"used": 0, "window": 0.0}
    refused = served = 0

    def serve() -> RateLimitWindow | None:
        if now() - minute["window"] >= 60:
            minute["used"], minute["window"] = 0, now() - now() % 60
        if minute["used"] >= 60:
            return None
        minute["used"] += 1
        reset = minute["window"] + 60 - now()
        return RateLimitWindow(limit=60, remaining=int(60 - minute["used"]), reset_after=reset)

    async def request() -> None:
        nonlocal refused, served
        async with limiter:
            await asyncio.sleep(0.1)
            found = serve()
            refused, served = refused + (found is None), served + (found is not None)
            await asyncio.sleep(0.1)
            if found is not None:
                limiter.apply_window(found, limiter.in_use - 1)

    async def request_repeatedly() -> None:
        while now() < 600:
            await request()

    await asyncio.gather(*(request_repeatedly() for _ in range(6)))

    assert 0 == refused
    assert served >= 570
