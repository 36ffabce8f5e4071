"""When slots are granted, by the time of the event loop."""

from __future__ import annotations

import asyncio

from happyhorse_async.ratelimit import RateLimiter


def now() -> float:
    """Return the time of the event loop."""
    return asyncio.get_running_loop().time()


async def granted(limiter: RateLimiter, count: int) -> list[float]:
    """Ask for *count* slots at once, and return after how many seconds each was granted."""
    start = now()

    async def one() -> float:
        await limiter.acquire()
        return now() - start

    return list(await asyncio.gather(*(one() for _ in range(count))))
