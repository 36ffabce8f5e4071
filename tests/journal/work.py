"""Work on the jobs of a journal in PostgreSQL until the standard input ends. Is killed meanwhile."""

from __future__ import annotations

import asyncio
import sys

from submit_many import fifth_adapter

import happyhorse_async as hh


async def main(url: str, schema: str, base_url: str) -> None:
    """Open a client, which takes over what is queued or orphaned, and wait."""
    client = hh.Client(
        fifth_adapter(idempotent=False),
        api_key="sk-canary-0451-never-to-be-seen",
        base_url=base_url,
        store=hh.PostgresStore(url, schema=schema, takeover_after=3.0),
        poll=hh.PollSchedule(interval=0.2),
    )
    async with client:
        print("open", flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
