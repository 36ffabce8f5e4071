"""Ask for one video and save it. Is killed meanwhile, and started again to do the same."""

from __future__ import annotations

import asyncio
import sys

from submit_many import fifth_adapter

import happyhorse_async as hh


async def main(path: str, base_url: str, target: str) -> None:
    """Generate the video into a file, through a journal on disk."""
    client = hh.Client(
        fifth_adapter(idempotent=True),
        api_key="sk-canary-0451-never-to-be-seen",
        base_url=base_url,
        store=hh.SQLiteStore(path),
        poll=hh.PollSchedule(interval=0.01),
    )
    async with client:
        await client.generate(hh.TextToVideo("a train at night"), key="order-1", save_to=target)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
