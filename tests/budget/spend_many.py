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


def store_at(place: str) -> hh.TaskStore:
    """Return the store in a file, or in a database by its URL."""
    return (
        hh.PostgresStore(place, schema="spending", timeout=60)
        if "://" in place
        else hh.SQLiteStore(place, busy_timeout=60)
    )


async def main(place: str, base_urls: str, name: str, count: str, limit: str) -> None:
    """
    Ask for *count* videos at once, and print how many were refused by the budget.

    :param base_urls: of the accounts, in the order of the routing, with commas between them.
    """
    accounts = [
        hh.Provider(
            f"account{number}",
            adapter=fifth_adapter(),
            api_key=f"k{number}",
            base_url=url,
            prices={"currency": "USD", "720P": "0.2"},
        )
        for number, url in enumerate(base_urls.split(","))
    ]
    client = hh.Client(
        accounts,
        routing=hh.Routing(patience=0),
        budget=hh.Budget(limit, per="total"),
        store=store_at(place),
        poll=hh.PollSchedule(interval=3600),
    )

    async def ask(number: int) -> bool:
        send = client.enqueue if number % 2 else client.submit
        try:
            await send(hh.TextToVideo(f"{name} {number}", resolution="720P"))
        except (hh.BudgetExceededError, hh.QuotaExceededError):
            # The first account has no money, or there is no room for the price of the second.
            return False
        return True

    async with client:
        outcomes = await asyncio.gather(*(ask(number) for number in range(int(count))))
        while any(job.state is hh.JobState.QUEUED for job in await client.pending()):
            await asyncio.sleep(0.05)
    print(outcomes.count(False))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
