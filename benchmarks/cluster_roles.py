"""
The processes of `cluster.py` beside `happyhorse worker`: one enqueues, one waits, one does everything alone.

    python benchmarks/cluster_roles.py enqueue|wait|alone CONFIG JOBS SPEED WAITERS
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path

import happyhorse_async as hh

SECONDS = 30.0
"""How long a job takes."""


async def enqueue(client: hh.Client, jobs: int, speed: float) -> None:
    """Write all jobs down. After a kill they are the same jobs, by their keys."""
    number = 0
    while number < jobs:
        try:
            await client.enqueue(hh.TextToVideo(prompt(number, speed)), key=f"order-{number}")
        except hh.SubmitOutcomeUnknownError:
            # Its worker was killed in the meantime.
            number += 1
        except hh.StoreError:
            # The server was away for long. With the key it is the same job, if it was recorded.
            await asyncio.sleep(0.5)
        else:
            number += 1


async def wait_for_all(client: hh.Client, jobs: int, waiters: int) -> list[tuple[int, float, str]]:
    """Wait for every job. Return the job of each waiter, when it was woken, and the outcome."""

    async def wait(number: int) -> tuple[int, float, str]:
        handle = client.resume_job(key=f"order-{number}")
        try:
            outcome = (await handle).status.value
        except hh.SubmitOutcomeUnknownError:
            outcome = "UNKNOWN"
        except hh.HappyHorseError as error:
            outcome = repr(error)
        return number, time.monotonic(), outcome

    return await asyncio.gather(*(wait(number % jobs) for number in range(max(waiters, jobs))))


async def play(role: str, config: Path, jobs: int, speed: float, waiters: int) -> None:
    """Be one of the processes."""
    async with hh.Client.from_config(config, work=role == "alone") as client:
        say("open")
        cpu = time.process_time()
        if role != "wait":
            await enqueue(client, jobs, speed)
            say("enqueued")
        if role == "enqueue":
            await asyncio.Event().wait()
        began = time.monotonic()
        woken = await wait_for_all(client, jobs, waiters)
        say({"woken": woken, "began": began, "cpu": time.process_time() - cpu})


def say(what: object) -> None:
    print(json.dumps(what), flush=True)


def prompt(number: int, speed: float) -> str:
    return f"{SECONDS / speed:g} s for video {number}"


if __name__ == "__main__":
    asyncio.run(play(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]), int(sys.argv[5])))
