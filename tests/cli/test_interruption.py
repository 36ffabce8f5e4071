"""Ctrl-C and SIGTERM at every stage of a real process: a ref is never lost."""

from __future__ import annotations

import asyncio
import json
import shlex
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from attrs import field, frozen

from happyhorse_async.emulator import Emulator, Scenario

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@frozen
class Gate:
    """Holds every paid request back on its way to the emulator, until it is opened."""

    arrived: asyncio.Event = field(factory=asyncio.Event)
    opened: asyncio.Event = field(factory=asyncio.Event)


@asynccontextmanager
async def gate(program: Any, emulator: Emulator) -> AsyncIterator[Gate]:
    """Serve a gate before the emulated HiAPI, and configure the command for it."""
    gate = Gate()

    async def forward(request: web.Request) -> web.StreamResponse:
        body = await request.read()
        if request.method == "POST":
            gate.arrived.set()
            await gate.opened.wait()
        headers = {"Authorization": request.headers["Authorization"], "Content-Type": "application/json"}
        url = emulator.url("hiapi") + request.path_qs
        async with (
            aiohttp.ClientSession() as session,
            session.request(request.method, url, data=body, headers=headers) as answer,
        ):
            return web.Response(status=answer.status, body=await answer.read(), content_type="application/json")

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", forward)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    program.write(
        "happyhorse.toml",
        f'[providers.hiapi]\nbase_url = "http://127.0.0.1:{runner.addresses[0][1]}"\napi_key_env = "EMULATOR_KEY"\n',
    )
    try:
        yield gate
    finally:
        gate.opened.set()
        await runner.cleanup()


@pytest.mark.parametrize("number", SIGNALS)
async def test_while_waiting(program: Any, emulate: Any, number: signal.Signals) -> None:
    """An interrupted `generate` prints the very command that brings the video after all."""
    async with emulate(Scenario(queue=(0, 0), run=(60, 60))):
        process = await program.start("generate", "a horse", "--resolution", "720P", "-o", "my horse.mp4")
        seen = await process.stderr.readline()
        process.send_signal(number)
        run = await program.end(process, seen)
        command = shlex.split(run.err.splitlines()[-1])
        resumed = await program.run(*command[1:])

    assert (130, "") == (run.code, run.out)
    assert run.err.startswith("submitted dashscope:")
    assert "\nerror: interrupted\n" in run.err
    assert ["happyhorse", "wait"] == command[:2]
    assert (0, "my horse.mp4\n") == (resumed.code, resumed.out)
    assert ["my horse.mp4"] == program.videos()


@pytest.mark.parametrize("number", SIGNALS)
async def test_while_the_submit_is_unanswered(program: Any, emulate: Any, number: signal.Signals) -> None:
    """The answer to a paid request on its way is waited for, and its ref printed."""
    async with emulate() as emulator, gate(program, emulator) as held:
        process = await program.start("submit", "a horse", "--resolution", "720P")
        await held.arrived.wait()
        process.send_signal(number)
        seen = await process.stderr.readline()
        held.opened.set()
        run = await program.end(process, seen)
        ref = run.err.splitlines()[-1].split()[-1]
        status = await program.run("status", ref)

    assert (130, "") == (run.code, run.out)
    assert run.err.startswith("waiting for the answer to the paid request")
    assert f"submitted {ref}\n" in run.err
    assert status.code == 0


async def test_while_the_submit_is_unanswered_in_json(program: Any, emulate: Any) -> None:
    """With --json the ref is on the standard output, and in the error beside the way to resume."""
    async with emulate() as emulator, gate(program, emulator) as held:
        process = await program.start("generate", "a horse", "--resolution", "720P", "--json")
        await held.arrived.wait()
        process.send_signal(signal.SIGINT)
        held.opened.set()
        run = await program.end(process)
    [submitted] = run.objects

    assert (130, "submitted") == (run.code, submitted["event"])
    assert ("Interrupted", submitted["ref"]) == (run.error["class"], run.error["ref"])
    assert f"happyhorse wait {submitted['ref']} -o ." == run.error["resume"]


async def test_a_second_interruption(program: Any, emulate: Any) -> None:
    """Who interrupts twice still learns of the task from the log, if its answer comes while the client closes."""
    async with emulate() as emulator, gate(program, emulator) as held:
        process = await program.start("submit", "a horse", "--resolution", "720P")
        await held.arrived.wait()
        process.send_signal(signal.SIGINT)
        seen = await process.stderr.readline()
        process.send_signal(signal.SIGINT)
        seen += await process.stderr.readline()
        held.opened.set()
        run = await program.end(process, seen)

    assert run.code == 130
    assert " was accepted as hiapi:" in run.err


async def test_an_interrupted_wait(program: Any, emulate: Any) -> None:
    """An interrupted `wait` names itself."""
    async with emulate(Scenario(stuck=1.0)):
        submitted = await program.run("submit", "a horse")
        ref = submitted.out.strip()
        process = await program.start("wait", ref, "--json")
        seen = await process.stdout.readline()
        process.send_signal(signal.SIGINT)
        run = await program.end(process)

    assert ref == json.loads(seen)["ref"]
    assert (130, f"happyhorse wait {ref}") == (run.code, run.error["resume"])


async def test_a_reader_that_goes_away(program: Any, emulate: Any) -> None:
    """Who closes the pipe to which the objects go still finds the ref on the standard error."""
    async with emulate(Scenario(queue=(0, 0), run=(60, 60))):
        process = await program.start("generate", "a horse", "--resolution", "720P", "--json")
        seen = json.loads(await process.stdout.readline())
        process._transport.get_pipe_transport(1).close()
        err = (await process.stderr.read()).decode()
        await process.wait()

    assert process.returncode == 1
    assert seen["ref"] == json.loads(err.splitlines()[-1])["error"]["ref"]
    assert "Traceback" not in err
