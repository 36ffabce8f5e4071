"""Ctrl-C and SIGTERM at every stage of a real process: a ref is never lost."""

from __future__ import annotations

import asyncio
import json
import shlex
import signal
import socket
from typing import Any

import pytest

from happyhorse_async.emulator import Scenario

SIGNALS = (signal.SIGINT, signal.SIGTERM)
# Two signals within one iteration of the other process's event loop count as one.
_REACTION = 0.3


@pytest.mark.fault(76)
@pytest.mark.parametrize("number", SIGNALS)
async def test_while_waiting(program: Any, emulate: Any, number: signal.Signals) -> None:
    """An interrupted `generate` prints the very command that brings the video after all."""
    async with emulate(Scenario(queue=(0, 0), run=(60, 60))):
        options = ("--resolution", "720P", "--no-watermark", "-o", "my horse.mp4")
        process = await program.start("generate", "a horse", *options)
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


@pytest.mark.fault(76)
@pytest.mark.parametrize("number", SIGNALS)
async def test_while_the_submit_is_unanswered(program: Any, emulate: Any, gated: Any, number: signal.Signals) -> None:
    """The response to a paid request in flight is waited for, and its ref printed."""
    async with emulate() as emulator, gated(emulator) as gate:
        process = await program.start("submit", "a horse", "--resolution", "720P")
        await gate.arrived.wait()
        process.send_signal(number)
        seen = await process.stderr.readline()
        gate.opened.set()
        run = await program.end(process, seen)
        ref = run.err.splitlines()[-1].split()[-1]
        status = await program.run("status", ref)

    assert (130, "") == (run.code, run.out)
    assert run.err.startswith("waiting for the response to the paid request")
    assert f"submitted {ref}\n" in run.err
    assert status.code == 0


async def test_while_the_submit_is_unanswered_in_json(program: Any, emulate: Any, gated: Any) -> None:
    """With --json the ref is on the standard output, and in the error with the command that resumes."""
    async with emulate() as emulator, gated(emulator, store=True) as gate:
        process = await program.start("generate", "a horse", "--resolution", "720P", "--json")
        await gate.arrived.wait()
        process.send_signal(signal.SIGINT)
        await asyncio.sleep(_REACTION)
        gate.opened.set()
        run = await program.end(process)
    [submitted] = run.objects

    assert (130, "submitted") == (run.code, submitted["event"])
    assert ("Interrupted", submitted["ref"]) == (run.error["class"], run.error["ref"])
    assert f"happyhorse wait {submitted['ref']} -o ." == run.error["resume"]


async def interrupted_twice(program: Any, gate: Any, *options: str) -> Any:
    """Interrupt a submit while it is unanswered, and again while it waits for its answer."""
    process = await program.start("submit", "a horse", "--resolution", "720P", *options)
    await gate.arrived.wait()
    process.send_signal(signal.SIGINT)
    seen = await process.stderr.readline()
    await asyncio.sleep(_REACTION)
    process.send_signal(signal.SIGINT)
    return await program.end(process, seen)


@pytest.mark.fault(76)
async def test_a_second_interruption(program: Any, emulate: Any, gated: Any) -> None:
    """A second interruption prints the job, which a later run finds and can resolve."""
    async with emulate() as emulator, gated(emulator, "dashscope", store=True) as gate:
        run = await interrupted_twice(program, gate)
        command = shlex.split(run.err.splitlines()[-1])
        pending = await program.run("list", "--pending", "--json")
        settled = await program.run(*command[1:], "--write-off")
    [job] = pending.objects

    assert 130 == run.code
    assert "it may have been billed; to resolve it" in run.err
    assert ["happyhorse", "resolve", job["job_id"]] == command
    assert ("OUTCOME_UNKNOWN", None) == (job["state"], job["ref"])
    assert 0 == settled.code
    assert 1 == len(gate.bodies)


@pytest.mark.fault(76)
async def test_a_second_interruption_without_a_store(program: Any, emulate: Any, gated: Any) -> None:
    """With --no-store no command is suggested that cannot work."""
    async with emulate() as emulator, gated(emulator) as gate:
        run = await interrupted_twice(program, gate, "--no-store")

    assert 130 == run.code
    assert "with --no-store, nothing remembers the job" in run.err
    assert "happyhorse resolve" not in run.err


@pytest.mark.fault(76)
async def test_before_the_submit_is_sent(program: Any) -> None:
    """A job that no provider has accepted is not retried after the interruption, and nothing is to be resumed."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        program.configure({"hiapi": f"http://127.0.0.1:{taken.getsockname()[1]}"}, store=True)
        process = await program.start("submit", "a horse", "--resolution", "720P")
        job: list[Any] = []
        while not job:
            await asyncio.sleep(0.05)
            job = (await program.run("list", "--pending", "--json")).objects
        process.send_signal(signal.SIGINT)
        run = await program.end(process)
        pending = await program.run("list", "--pending", "--json")

    assert (130, "") == (run.code, run.out)
    assert "happyhorse" not in run.err
    assert [] == pending.objects


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
