"""`--key`, `resume`, `resolve` and `list --pending`: commands that work with the journal."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from happyhorse_async import Client, TextToVideo
from happyhorse_async.emulator import Emulator, Scenario

QUICK = Scenario(queue=(0, 0), run=(3, 3))
CHEAP = ("--resolution", "720P", "--duration", "3")


@pytest.fixture
async def stored(emulate: Any) -> AsyncGenerator[Emulator]:
    """Serve an emulator whose tasks end soon, and configure a journal on disk."""
    async with emulate(QUICK, store=True) as emulator:
        yield emulator


async def submitted(program: Any, *arguments: str) -> str:
    """Submit a task and return its ref."""
    run = await program.run("submit", "a horse", *CHEAP, *arguments)
    assert run.code == 0
    return str(run.out.strip())


async def test_the_same_key_is_the_same_task(program: Any, stored: Emulator) -> None:
    """A request that is repeated under its key is not paid again, and its video comes all the same."""
    ref = await submitted(program, "--key", "order-1")
    again = await submitted(program, "--key", "order-1")
    other = await submitted(program)
    video = await program.run("generate", "a horse", *CHEAP, "--key", "order-1", "-o", "horse.mp4")

    assert ref == again
    assert ref != other
    assert (0, "horse.mp4\n") == (video.code, video.out)
    assert f"submitted {ref}\n" in video.err


async def test_a_key_with_another_request(program: Any, stored: Emulator) -> None:
    """A key that was used for another request is bad input."""
    await submitted(program, "--key", "order-1")
    run = await program.run("submit", "a cow", *CHEAP, "--key", "order-1", "--json")

    assert (2, "InvalidRequestError") == (run.code, run.error["class"])


async def test_a_key_without_a_store(program: Any, emulator: Emulator) -> None:
    """With --no-store a key is accepted with a warning: nothing will remember it."""
    run = await program.run("submit", "a horse", *CHEAP, "--key", "order-1", "--no-store")

    assert 0 == run.code
    assert "warning: --key order-1: with --no-store" in run.err


@pytest.mark.parametrize("key", ["", " "])
async def test_an_empty_key(program: Any, stored: Emulator, key: str) -> None:
    """A key has something in it."""
    run = await program.run("submit", "a horse", "--key", key)

    assert 2 == run.code


async def test_pending_jobs(program: Any, emulate: Any) -> None:
    """`list --pending` shows the jobs that have not ended, and sends no request."""
    async with emulate(Scenario(stuck=1.0), store=True):
        first = await submitted(program, "--key", "order-1")
        second = await submitted(program, "--provider", "hiapi")
    run = await program.run("list", "--pending")
    of_one = await program.run("list", "--pending", "--provider", "dashscope")
    as_json = await program.run("list", "--pending", "--json", "--provider", "hiapi")
    nothing = await program.run("list", "--pending", "--provider", "imini")
    [job] = as_json.objects

    assert (0, 0, 0) == (run.code, as_json.code, nothing.code)
    assert first in run.out
    assert "order-1" in run.out
    assert second in run.out
    assert (True, False) == (first in of_one.out, second in of_one.out)
    assert (second, "ACCEPTED") == (job["ref"], job["state"])
    assert ("", "nothing is pending\n") == (nothing.out, nothing.err)


async def test_resume_everything(program: Any, stored: Emulator) -> None:
    """`resume` waits for every pending job of the provider, downloads it, and submits nothing."""
    program.folder("out")
    refs = {await submitted(program) for _ in range(3)}
    run = await program.run("resume", "-o", "out")
    again = await program.run("resume", "-o", "out")
    listed = await program.run("list", "--json")

    assert (0, {f"out/{ref.partition(':')[2]}.mp4" for ref in refs}) == (run.code, set(run.out.splitlines()))
    assert all(b"ftyp" == program.read(path)[4:8] for path in run.out.splitlines())
    assert refs == {task["ref"] for task in listed.objects}
    assert (0, "", "nothing is pending\n") == (again.code, again.out, again.err)


async def test_resume_by_name(program: Any, stored: Emulator) -> None:
    """Refs and job ids name what is taken up, of several providers at once."""
    ref = await submitted(program)
    other = await submitted(program, "--provider", "hiapi")
    await submitted(program)
    pending = await program.run("list", "--pending", "--provider", "hiapi", "--json")
    run = await program.run("resume", ref, pending.objects[0]["job_id"], ref, "--json")
    outcomes = {outcome["index"]: outcome for outcome in run.objects}

    assert 0 == run.code
    assert {0: ref, 1: other} == {index: outcome["ref"] for index, outcome in outcomes.items()}
    assert {outcome["path"] for outcome in run.objects} == set(program.videos())


async def test_resume_by_ref_needs_no_store(program: Any, emulator: Emulator) -> None:
    """A ref alone is enough; without one there has to be a journal on disk."""
    ref = await submitted(program)
    run = await program.run("resume", ref)
    everything = await program.run("resume", "--no-store")
    by_job = await program.run("resume", "hh-1", "--no-store")

    assert (0, [run.out.strip()]) == (run.code, program.videos())
    assert (2, 2) == (everything.code, by_job.code)
    assert "leave --no-store out" in everything.err
    assert "leave --no-store out" in by_job.err


async def test_resume_of_what_is_not_in_the_journal(program: Any, stored: Emulator) -> None:
    """An unknown job is bad input."""
    run = await program.run("resume", "hh-1")

    assert 2 == run.code
    assert "the journal has no job 'hh-1'" in run.err


async def test_resume_out_of_time(program: Any, emulate: Any) -> None:
    """What has not ended in time goes on, and the run ends in 5."""
    async with emulate(Scenario(stuck=1.0), store=True):
        ref = await submitted(program)
        run = await program.run("resume", "--timeout", "0.2", "--json")
    [outcome] = run.objects

    assert (5, ref) == (run.code, outcome["ref"])
    assert "WaitTimeoutError" == outcome["error"]["class"]


async def test_an_interrupted_resume(program: Any, emulate: Any, gated: Any) -> None:
    """Ctrl-C prints a command with everything that has not ended."""
    async with emulate(Scenario(stuck=1.0)) as emulator, gated(emulator, store=True, opened=True) as gate:
        refs = [await submitted(program), await submitted(program)]
        process = await program.start("resume", "--json")
        while len(gate.polls) < 2:
            await asyncio.sleep(0.05)
        process.send_signal(signal.SIGINT)
        run = await program.end(process)

    assert (130, f"happyhorse resume {' '.join(refs)} -o .") == (run.code, run.error["resume"])


async def test_a_submit_without_an_answer(program: Any, emulate: Any, gated: Any) -> None:
    """A lost response ends in 6, with the command that helps; `resolve` shows possible matches and adopts none."""
    async with (
        emulate(QUICK) as emulator,
        gated(emulator, "dashscope", store=True, spoils=True, opened=True) as gate,
    ):
        run = await program.run("submit", "a horse", *CHEAP)
        shown = await program.run("resolve", run.err.split()[-1])
        as_json = await program.run("resolve", run.err.split()[-1], "--json")
        resumed = await program.run("resume", "--json")
    [job] = as_json.objects
    [guess] = [candidate["ref"] for candidate in job["candidates"]]

    assert (6, "") == (run.code, run.out)
    assert f"\n  happyhorse resolve {job['job_id']}\n" in run.err
    assert 1 == run.err.count("outcome is unknown")
    assert "resolve('" not in run.err
    assert 0 == shown.code
    assert f"{job['job_id']} OUTCOME_UNKNOWN\n" in shown.out
    assert "  prompt: a horse\n" in shown.out
    assert "possible matches in the provider's list:\n" in shown.out
    assert f"  {guess} " in shown.out
    assert f"  happyhorse resolve {job['job_id']} --adopt {guess.partition(':')[2]}\n" in shown.err
    assert f"  happyhorse resolve {job['job_id']} --write-off\n" in shown.err
    assert "OUTCOME_UNKNOWN" == job["state"]
    assert (6, job["job_id"]) == (resumed.code, resumed.objects[0]["job_id"])
    assert 1 == len(gate.bodies)


async def test_adopting_a_task(program: Any, emulate: Any, gated: Any) -> None:
    """A job whose task was found is pending like any other, and its video is downloaded by `resume`."""
    async with emulate(QUICK) as emulator, gated(emulator, "dashscope", store=True, spoils=True, opened=True):
        run = await program.run("submit", "a horse", *CHEAP, "--json")
        job_id = run.error["job_id"]
        listed = await program.run("list", "--json")
        [ref] = [task["ref"] for task in listed.objects]
        adopted = await program.run("resolve", job_id, "--adopt", ref.partition(":")[2])
        again = await program.run("resolve", job_id, "--adopt", ref)
        shown = await program.run("resolve", job_id)
        resumed = await program.run("resume", job_id)

    assert f"happyhorse resolve {job_id}" == run.error["resume"]
    assert (0, f"{ref}\n") == (adopted.code, adopted.out)
    assert f"happyhorse wait {ref} -o ." in adopted.err
    assert (2, 0) == (again.code, shown.code)
    assert "there is nothing to resolve" in shown.err
    assert (0, [resumed.out.strip()]) == (resumed.code, program.videos())


async def test_writing_a_job_off(program: Any, emulate: Any, gated: Any) -> None:
    """A job that is written off is not pending any more, and its key is free again."""
    async with emulate(QUICK) as emulator, gated(emulator, "dashscope", store=True, spoils=True, opened=True) as gate:
        run = await program.run("submit", "a horse", *CHEAP, "--key", "order-1", "--json")
        blocked = await program.run("submit", "a horse", *CHEAP, "--key", "order-1", "--json")
        settled = await program.run("resolve", run.error["job_id"], "--write-off")
        pending = await program.run("list", "--pending", "--json")
        await program.run("submit", "a horse", *CHEAP, "--key", "order-1")

    assert (6, run.error["job_id"]) == (blocked.code, blocked.error["job_id"])
    assert (0, f"{run.error['job_id']} is written off\n") == (settled.code, settled.out)
    assert [] == pending.objects
    assert 2 == len(gate.bodies)


async def test_a_provider_without_a_list(program: Any, emulate: Any, gated: Any) -> None:
    """Without a task list, `resolve` says so and how to resolve the job."""
    async with emulate(QUICK) as emulator, gated(emulator, "imini", store=True, spoils=True, opened=True):
        run = await program.run("submit", "a horse", *CHEAP, "--json")
        shown = await program.run("resolve", run.error["job_id"])

    assert 0 == shown.code
    assert "the provider has no task list to search" in shown.err
    assert " --adopt ID\n" in shown.err


async def test_an_unknown_outcome_without_a_store(program: Any, emulate: Any, gated: Any) -> None:
    """With --no-store there is nothing to resolve; the newest tasks of the provider are suggested instead."""
    async with emulate(QUICK) as emulator, gated(emulator, "dashscope", spoils=True, opened=True):
        run = await program.run("submit", "a horse", *CHEAP, "--no-store")
        resolve = await program.run("resolve", "hh-1", "--no-store")

    assert (6, 2) == (run.code, resolve.code)
    assert "nothing remembers the job" in run.err
    assert "happyhorse resolve" not in run.err
    assert run.err.endswith("  happyhorse list --provider dashscope --limit 5 --no-store\n")
    assert "resolve needs a journal" in resolve.err


async def test_adopt_and_write_off_contradict_each_other(program: Any, stored: Emulator) -> None:
    """A job is adopted or written off, not both."""
    run = await program.run("resolve", "hh-1", "--adopt", "1", "--write-off")

    assert 2 == run.code


def cows(gate: Any) -> int:
    """Count the cows that were asked for."""
    return sum(b"a cow" in body for body in gate.bodies)


async def test_commands_that_only_read_pay_nothing(program: Any, emulate: Any, gated: Any) -> None:
    """Only commands that submit send what a crashed process was about to send."""
    async with emulate(QUICK) as emulator, gated(emulator, "dashscope", store=True, opened=True) as gate:
        ref = await submitted(program)
        async with Client.from_config() as client:
            # It is closed before the limits let it send more than a few.
            handles = [await client.enqueue(TextToVideo("a cow", duration=3)) for _ in range(40)]
        left = handles[-1].job_id
        before = cows(gate)
        for words in (
            ["status", ref],
            ["wait", ref],
            ["download", ref],
            ["cancel", ref],
            ["list"],
            ["list", "--pending"],
            ["resolve", left],
        ):
            await program.run(*words)
        resumed = await program.run("resume", left, "--json")
        after = cows(gate)
        await submitted(program)

    assert before < 40
    assert before == after
    assert (5, left) == (resumed.code, resumed.objects[0]["job_id"])
    assert "its process has ended" in resumed.objects[0]["error"]["message"]
    assert cows(gate) > after
