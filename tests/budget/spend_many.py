"""Submit and enqueue videos under a budget, as many as it allows. Started several times at once, and killed."""

from __future__ import annotations

import asyncio
import importlib.util
import sys
from pathlib import Path

import happyhorse_async as hh


def fifth_adapter() -> hh.Adapter:
    """Load the toy provider of the tests."""
    spec = importlib.util.spec_from_file_location("fifth", Path(__file__).parents[1] / "fifth.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["fifth"] = module
    spec.loader.exec_module(module)
    adapter: hh.Adapter = module.variant(idempotent=False)
    return adapter


async def main(path: str, base_url: str, name: str, count: str, limit: str) -> None:
    """Ask for *count* videos at once, and print how many were refused by the budget."""
    account = hh.Provider(
        "fifth", adapter=fifth_adapter(), api_key="k", base_url=base_url, prices={"currency": "USD", "720P": "0.2"}
    )
    client = hh.Client(
        account,
        budget=hh.Budget(limit, per="total"),
        store=hh.SQLiteStore(path, busy_timeout=60),
        poll=hh.PollSchedule(interval=3600),
    )

    async def ask(number: int) -> bool:
        send = client.enqueue if number % 2 else client.submit
        try:
            await send(hh.TextToVideo(f"{name} {number}", resolution="720P"))
        except hh.BudgetExceededError:
            return False
        return True

    async with client:
        outcomes = await asyncio.gather(*(ask(number) for number in range(int(count))))
        while any(job.state is hh.JobState.QUEUED for job in await client.pending()):
            await asyncio.sleep(0.05)
    print(outcomes.count(False))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
