"""`happyhorse worker`, as real processes on one journal: they are killed, stopped and told to end."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from asyncio.subprocess import Process
from pathlib import Path
from typing import Any

import aiohttp
import pytest

import happyhorse_async as hh
from happyhorse_async.emulator import Scenario

# They run for a second or so, in which their worker can be killed.
SLOW = Scenario(queue=(20.0, 30.0), run=(60.0, 90.0))

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")


async def event(process: Process, name: str) -> dict[str, Any]:
    """Return the next event of a worker that is called *name*."""
    assert process.stdout is not None
    async with asyncio.timeout(150):
        while line := await process.stdout.readline():
            found: dict[str, Any] = json.loads(line)
            if found["event"] == name:
                return found
    _, err = await process.communicate()
    raise AssertionError(f"the worker has ended without {name}: {err.decode()}")


async def start(program: Any, *arguments: str) -> Process:
    process: Process = await program.start("worker", "--json", *arguments)
    await event(process, "working")
    return process


async def stop(process: Process) -> int:
    process.send_signal(signal.SIGTERM)
    await process.communicate()
    assert process.returncode is not None
    return process.returncode


async def taken(client: hh.Client, handles: list[hh.JobHandle]) -> None:
    """Wait until every job was accepted."""
    async with asyncio.timeout(150):
        while None in [(await client.job(handle.job_id)).ref for handle in handles]:
            await asyncio.sleep(0.02)


def made(emulator: Any, provider: str = "hiapi") -> set[str]:
    """Return the tasks that were made at a provider, each of which is paid."""
    return {
        request.task_id
        for request in emulator.requests
        if request.operation == "submit" and request.provider == provider and request.task_id is not None
    }


async def test_a_killed_worker_is_replaced(program: Any, emulate: Any) -> None:
    """Another one goes on with its jobs within seconds. Who enqueued them gets every video, and each is paid once."""
    async with emulate(SLOW, store=True) as emulator:
        workers = [await start(program), await start(program)]
        async with hh.Client.from_config("happyhorse.toml", provider="hiapi", work=False) as client:
            handles = [await client.enqueue(hh.TextToVideo(f"video {number}")) for number in range(6)]
            await taken(client, handles)
            workers[0].kill()
            await workers[0].communicate()
            async with asyncio.timeout(150):
                tasks = [await handle for handle in handles]
        code = await stop(workers[1])

    assert 0 == code
    assert {task.id for task in tasks} == made(emulator)
    assert 6 == len(made(emulator))


async def test_a_worker_that_is_stopped_goes_on_afterwards(program: Any, emulate: Any) -> None:
    """It is alive all the time, and no other worker sends or polls its jobs."""
    async with emulate(SLOW, store=True) as emulator:
        worker = await start(program)
        async with hh.Client.from_config("happyhorse.toml", provider="hiapi", work=False) as client:
            handles = [await client.enqueue(hh.TextToVideo(f"video {number}")) for number in range(3)]
            await taken(client, handles)
            other = await start(program)
            os.kill(worker.pid, signal.SIGSTOP)
            await asyncio.sleep(1.5)
            health = await client.health()
            os.kill(worker.pid, signal.SIGCONT)
            async with asyncio.timeout(150):
                tasks = [await handle for handle in handles]
        codes = [await stop(worker), await stop(other)]

    assert health.is_ready
    assert [0, 0] == codes
    assert {task.id for task in tasks} == made(emulator)
    assert 3 == len(made(emulator))


async def test_a_worker_that_is_told_to_stop_waits_for_a_request_on_its_way(
    program: Any, emulate: Any, gated: Any
) -> None:
    """It says so on its health port, takes nothing new, and the task is known to the next worker."""
    async with emulate() as emulator, gated(emulator, store=True) as gate:
        worker = await program.start("worker", "--json", "--health-port", "0")
        port = (await event(worker, "health"))["port"]
        await event(worker, "working")
        async with hh.Client.from_config("happyhorse.toml", work=False) as client, aiohttp.ClientSession() as session:
            handle = await client.enqueue(hh.TextToVideo("video"))
            await gate.arrived.wait()
            async with session.get(f"http://127.0.0.1:{port}/healthz") as answer:
                working = answer.status, (await answer.json())["ready"]
            worker.send_signal(signal.SIGTERM)
            await event(worker, "stopping")
            async with session.get(f"http://127.0.0.1:{port}/healthz") as answer:
                stopping = answer.status, (await answer.json())["stopping"]
            late = await client.enqueue(hh.TextToVideo("late"))
            gate.opened.set()
            await worker.communicate()
            accepted, queued = await client.job(handle.job_id), await client.job(late.job_id)

    assert ((200, True), (503, True)) == (working, stopping)
    assert 0 == worker.returncode
    assert ("ACCEPTED", "QUEUED") == (accepted.state, queued.state)
    assert 1 == len(gate.bodies)


def test_a_worker_in_the_background_of_a_shell_stops_on_sigterm(program: Any) -> None:
    """There SIGINT is ignored, which must not hide the other signal."""
    program.write("happyhorse.toml", '[providers.hiapi]\napi_key_env = "EMULATOR_KEY"\n[store]\npath = "jobs.sqlite"\n')
    happyhorse = Path(sys.executable).with_name("happyhorse")
    script = f"trap '' INT; exec {happyhorse} worker --json"
    with subprocess.Popen(["/bin/sh", "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert b"working" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=150)

    assert 0 == process.returncode
    assert b"stopped" in out


async def test_a_worker_of_one_account_leaves_the_others_alone(program: Any, emulate: Any) -> None:
    """It takes only what was enqueued for the account that it was told."""
    async with emulate(store=True) as emulator:
        async with hh.Client.from_config("happyhorse.toml", provider="imini", work=False) as client:
            left = await client.enqueue(hh.TextToVideo("left"))
            wanted = await client.enqueue(hh.TextToVideo("wanted"), provider="hiapi")
            worker = await start(program, "--provider", "hiapi", "--concurrency", "2")
            async with asyncio.timeout(150):
                await wanted
            await asyncio.sleep(1.2)
            state = (await client.job(left.job_id)).state
        await stop(worker)

    assert "QUEUED" == state
    assert (1, 0) == (len(made(emulator)), len(made(emulator, "imini")))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--no-store"], "needs a journal"),
        (["--provider", "nothing"], "nothing"),
        (["--concurrency", "0"], "concurrency"),
        (["--health-port", "70000"], "health-port"),
    ],
)
async def test_a_worker_that_cannot_work(program: Any, arguments: list[str], words: str) -> None:
    """It says why, and ends with the code of bad input."""
    program.write("happyhorse.toml", '[providers.hiapi]\napi_key_env = "EMULATOR_KEY"\n[store]\npath = "jobs.sqlite"\n')
    run = await program.run("worker", *arguments)

    assert 2 == run.code
    assert words in run.err


async def test_the_configuration_may_leave_the_work_to_workers(program: Any, emulate: Any) -> None:
    """With `work = false` in its store, a program only enqueues; a worker with the same file works."""
    async with emulate(store=True) as emulator:
        text = program.read("happyhorse.toml").decode()
        program.write("happyhorse.toml", text.replace('path = "jobs.sqlite"', 'path = "jobs.sqlite"\nwork = false'))
        async with hh.Client.from_config("happyhorse.toml", provider="hiapi") as client:
            handle = await client.enqueue(hh.TextToVideo("video"))
            await asyncio.sleep(0.5)
            before = len(made(emulator))
            worker = await start(program)
            async with asyncio.timeout(150):
                task = await handle
        await stop(worker)

    assert 0 == before
    assert hh.TaskStatus.SUCCEEDED is task.status
