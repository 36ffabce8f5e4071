"""Ask for one video and save it. Is killed meanwhile, and started again to do the same."""

from __future__ import annotations

import asyncio
import runpy
import sys
from pathlib import Path

import happyhorse_async as hh

# No import: where the folder of a script is not searched, the one beside it is not found.
fifth_adapter = runpy.run_path(str(Path(__file__).with_name("submit_many.py")))["fifth_adapter"]


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
