"""Run the workflows of enqueued jobs until the standard input ends. Is killed meanwhile."""

from __future__ import annotations

import asyncio
import importlib.util
import sys
from pathlib import Path

from dbos import DBOS

import happyhorse_async as hh


@DBOS.workflow(name="program_nap")
async def nap(seconds: float) -> str:
    """A workflow of the program's own."""
    await DBOS.sleep_async(seconds)
    return "rested"


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


async def main(url: str, schema: str, base_url: str) -> None:
    """Open a client with an engine, and wait."""
    client = hh.Client(
        fifth_adapter(),
        api_key="sk-canary-0451-never-to-be-seen",
        base_url=base_url,
        store=hh.PostgresStore(url, schema=schema, takeover_after=3.0),
        engine=hh.DBOSEngine(schema=f"{schema}_dbos", polling_interval=0.2),
        poll=hh.PollSchedule(interval=0.2),
    )
    async with client:
        print("open", flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
