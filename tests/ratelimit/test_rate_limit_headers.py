"""What a provider says, in its headers, is left of its limits."""

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
        (headers(7, "9" * 5000), None),
        (headers(7, "soon"), None),
        ({"X-RateLimit-Remaining": "7", **DATE}, None),
        ({}, None),
    ],
)
def test_the_headers(given: Mapping[str, str], read: RateLimitWindow | None) -> None:
    """The reset is read by the server's own clock, for five minutes at most; what makes no sense says nothing."""

    assert read == rate_limit_window(HttpResponse(status=200, headers=given))


@pytest.mark.parametrize("name", ["dashscope", "imini"])
def test_providers_without_such_headers(name: str) -> None:
    """A header that the provider's pages do not name is nobody's promise."""

    assert find_adapter(name).rate_limit(HttpResponse(status=200, headers=headers(0, NOW + 60))) is None


def test_hiapi_counts_everything_together() -> None:
    """Looks and submits count against the same requests."""
    read = find_adapter("hiapi").rate_limit(HttpResponse(status=429, headers=headers(0, NOW + 60)))

    assert RateLimitWindow(limit=60, remaining=0, reset_after=60, shared=True) == read


@pytest.mark.parametrize(("scope", "counts"), [({}, True), ({"X-RateLimit-Scope": "api_key"}, True),
                                               ({"X-RateLimit-Scope": "task"}, False)])  # fmt: skip
def test_nexusflow_counts_a_task_by_itself(scope: Mapping[str, str], counts: bool) -> None:
    """What is left for one task says nothing of the account."""
    response = HttpResponse(status=200, headers=headers(0, NOW + 60) | scope)

    assert counts == (find_adapter("nexusflow").rate_limit(response) is not None)


async def test_an_empty_window_is_waited_for() -> None:
    """Where nothing is left nobody asks until the next window begins, and then at the usual rate."""
    limiter = RateLimiter(10)
    await limiter.acquire()
    start = now()
    limiter.observed(RateLimitWindow(limit=60, remaining=0, reset_after=40), 0)

    assert not limiter.free()
    assert 0 == limiter.rate
    await limiter.acquire()
    assert 40 == pytest.approx(now() - start)
    assert 10 == limiter.rate


async def test_what_is_on_its_way_counts() -> None:
    """Requests that the provider has not counted yet use up what it says is left."""
    budget = AccountLimits(Limits(queries_per_second=10))
    for _ in range(4):
        await budget.queries.acquire()
    budget.observed(RateLimitWindow(limit=60, remaining=3, reset_after=40), budget.queries)

    assert not budget.queries.free()
    assert budget.submits.free()


async def test_a_common_quota_holds_for_both() -> None:
    """Where looks and submits count together, an answer to one of them tells of the other as well."""
    budget = AccountLimits(Limits())
    await budget.submits.acquire()
    budget.observed(RateLimitWindow(limit=60, remaining=0, reset_after=40, shared=True), budget.submits)

    assert not budget.queries.free()
    assert not budget.submits.free()


async def test_the_rest_of_a_window_is_spread() -> None:
    """The second half of a window is spread over its time: whoever comes late in it need not wait for the next."""
    limiter = RateLimiter(10)
    await limiter.acquire()
    start, waits = now(), list[float]()
    limiter.observed(RateLimitWindow(limit=60, remaining=20, reset_after=40), 0)
    for _ in range(21):
        await limiter.acquire()
        waits.append(now() - start)

    assert [2.0 * number for number in range(1, 21)] == pytest.approx(waits[:20], abs=0.05)
    assert waits[20] >= 40


async def test_nobody_is_refused_by_a_minute_of_sixty() -> None:
    """At a rate of ten a second, an account that has 60 a minute is asked its 60 every minute and not refused once."""
    limiter, budget = RateLimiter(10), {"used": 0, "window": 0.0}
    refused = served = 0

    def serve() -> RateLimitWindow | None:
        if now() - budget["window"] >= 60:
            budget["used"], budget["window"] = 0, now() - now() % 60
        if budget["used"] >= 60:
            return None
        budget["used"] += 1
        reset = budget["window"] + 60 - now()
        return RateLimitWindow(limit=60, remaining=int(60 - budget["used"]), reset_after=reset)

    async def ask() -> None:
        nonlocal refused, served
        async with limiter:
            await asyncio.sleep(0.1)
            found = serve()
            refused, served = refused + (found is None), served + (found is not None)
            await asyncio.sleep(0.1)
            if found is not None:
                limiter.observed(found, limiter.busy - 1)

    async def ask_on() -> None:
        while now() < 600:
            await ask()

    await asyncio.gather(*(ask_on() for _ in range(6)))

    assert 0 == refused
    assert served >= 570
