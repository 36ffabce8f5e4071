"""Submit numbered videos through a journal on disk, many at once. Is killed, and started again to do the same."""

from __future__ import annotations

import asyncio
import importlib.util
import sys
from pathlib import Path

import happyhorse_async as hh


def fifth_adapter(*, idempotent: bool) -> hh.Adapter:
    """Load the toy provider of the tests."""
    spec = importlib.util.spec_from_file_location("fifth", Path(__file__).parents[1] / "fifth.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["fifth"] = module
    spec.loader.exec_module(module)
    adapter: hh.Adapter = module.variant(idempotent=idempotent)
    return adapter


async def main(path: str, base_url: str, idempotent: str, count: str) -> None:
    """Ask for every video by its own key. What is known already is not asked for again."""
    adapter = fifth_adapter(idempotent=idempotent == "True")
    client = hh.Client(
        adapter,
        api_key="sk-canary-0451-never-to-be-seen",
        base_url=base_url,
        store=hh.SQLiteStore(path, keep_prompts=None),
        poll=hh.PollSchedule(interval=3600),
    )

    async def submit(number: int) -> None:
        ask = client.enqueue if number % 3 == 0 else client.submit
        try:
            await ask(hh.TextToVideo(f"video {number}"), key=f"order-{number}")
        except hh.SubmitOutcomeUnknownError:
            print("unknown", number)

    async with client:
        await asyncio.gather(*(submit(number) for number in range(int(count))))
        while any(job.state in ("QUEUED", "SUBMITTING") for job in await client.pending()):
            await asyncio.sleep(0.01)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
