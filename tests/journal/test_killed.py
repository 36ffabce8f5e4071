"""
A process that is killed, in earnest, while it submits: whatever was paid is known, or openly unknown.

`HAPPYHORSE_KILLS=50 HAPPYHORSE_JOBS=200 pytest tests/journal/test_killed.py` does it more often and with more jobs.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import happyhorse_async as hh
from happyhorse_async.job import Job, JobState

KILLS = int(os.environ.get("HAPPYHORSE_KILLS", "3"))
JOBS = int(os.environ.get("HAPPYHORSE_JOBS", "60"))
SCRIPT = Path(__file__).with_name("submit_many.py")


class Provider:
    """Bills every request that arrives, and takes its time to answer."""

    def __init__(self, gateway: Any, *, idempotent: bool) -> None:
        self.bills: Counter[str] = Counter()
        self.keys: dict[str, set[tuple[str, bytes]]] = {}
        self._gateway = gateway
        self._idempotent = idempotent
        self._ids: dict[str, str] = {}
        gateway.on("POST", "/videos", self._take)

    def _take(self, seen: Any) -> Any:
        prompt, key = json.loads(seen.body)["prompt"], seen.headers.get("idempotency-key", "")
        self.keys.setdefault(prompt, set()).add((key, seen.body))
        if not (self._idempotent and key in self._ids):
            self.bills[prompt] += 1
        task_id = self._ids.setdefault(key, f"t-{prompt}") if self._idempotent else f"t-{prompt}"
        answered = asyncio.Event()
        asyncio.get_running_loop().call_later(random.uniform(0.0, 0.05), answered.set)
        return self._gateway.reply({"id": task_id, "status": "queued"}, after=answered)


async def run(gateway: Any, path: Path, *, idempotent: bool, count: int, lives: float | None) -> int:
    """Let the script run, for *lives* seconds from its first request or to its end."""
    before = len(gateway.requests)
    arguments = (str(path), gateway.url, str(idempotent), str(count))
    process = await asyncio.create_subprocess_exec(sys.executable, str(SCRIPT), *arguments)
    if lives is not None:
        while len(gateway.requests) == before and process.returncode is None:
            await asyncio.sleep(0.001)
        await asyncio.sleep(lives)
        if process.returncode is None:
            process.kill()
    return await process.wait()


async def jobs_in(path: Path) -> dict[str, Job]:
    """Read the journal."""
    store = hh.SQLiteStore(path)
    await store.open()
    jobs = {f"video {number}": await store.by_key(f"order-{number}") for number in range(JOBS * (KILLS + 1))}
    await store.aclose()
    return {prompt: job for prompt, job in jobs.items() if job is not None}


@pytest.mark.fault(75)
@pytest.mark.timeout(300 + 60 * KILLS)
@pytest.mark.parametrize("idempotent", [False, True], ids=["without a key", "with a key"])
async def test_a_process_that_is_killed(gateway: Any, fifth: Any, tmp_path: Path, idempotent: bool) -> None:
    """After any number of kills, every bill is a known task or an openly unknown outcome, and no job has two."""
    provider, path = Provider(gateway, idempotent=idempotent), tmp_path / "jobs.sqlite"

    for kill in range(KILLS):
        # Few of the instants are wasted on a process that has finished.
        lives = random.uniform(0.0, 0.0015 * JOBS)
        await run(gateway, path, idempotent=idempotent, count=JOBS * (kill + 1), lives=lives)
    code = await run(gateway, path, idempotent=idempotent, count=JOBS * (KILLS + 1), lives=None)
    jobs = await jobs_in(path)
    known = {prompt for prompt, job in jobs.items() if job.task_id is not None}
    unknown = {prompt for prompt, job in jobs.items() if job.state is JobState.OUTCOME_UNKNOWN}
    billed = set(provider.bills)
    print(f"\n{KILLS} kills: {len(known)} known, {len(unknown)} unknown ({len(unknown - billed)} not billed)")

    assert 0 == code
    assert JOBS * (KILLS + 1) == len(known) + len(unknown)
    assert known <= billed <= known | unknown
    assert {1} == set(provider.bills.values())
    assert {1} == {len(sent) for sent in provider.keys.values()}
    if idempotent:
        assert set() == unknown
    else:
        assert len(gateway.requests) == len(billed)
